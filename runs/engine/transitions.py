"""The one table of allowed moves between states."""

from __future__ import annotations

from collections.abc import Mapping

from runs.engine.model import InvalidTransition, State, Task

MOVES: Mapping[State, frozenset[State]] = {
    # Anything may happen to what waits: a cached step succeeds at once, one that is queued is told to end.
    State.PENDING: frozenset(set(State) - {State.PENDING}),
    # Back to PENDING: the next attempt.
    State.RUNNING: frozenset({State.PENDING, State.SUCCEEDED, State.FAILED, State.CANCELING}),
    State.CANCELING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED}),
    State.SUCCEEDED: frozenset(),
    State.SKIPPED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
}

# Retrying a run: what did not succeed is to be done again; skipped is what was never reached.
RETRY_MOVES: Mapping[State, frozenset[State]] = {
    State.FAILED: frozenset({State.PENDING}),
    State.CANCELED: frozenset({State.PENDING}),
    State.SKIPPED: frozenset({State.PENDING}),
}


def check_move(task: Task, state: State, moves: Mapping[State, frozenset[State]] = MOVES) -> None:
    """Raises InvalidTransition where the table does not allow the move."""
    if state not in moves.get(task.state, frozenset()):
        raise InvalidTransition(f"{task.path} cannot go from {task.state} to {state}. Its story: {story(task)}.")


def story(task: Task) -> str:
    """What the engine knows of a task, in one line."""
    told = [f"kind {task.kind}"]
    for word, at in (
        ("created", task.created_at),
        ("ready", task.ready_at),
        ("started", task.started_at),
        ("ended", task.finished_at),
    ):
        if at is not None:
            told.append(f"{word} {at.isoformat()}")
    if task.kind.is_group:
        told.append(f"{task.ended} of {task.children} children ended, {task.failed} failed, {task.canceled} canceled")
    else:
        told.append(f"attempt {task.attempt}{' under way' if task.under_way else ''}, {task.failures} failed, {task.lost} lost")
    if task.waiting_on:
        told.append(f"waiting on {task.waiting_on}")
    if task.reason:
        told.append(f"reason: {task.reason}")
    return ", ".join(told)
