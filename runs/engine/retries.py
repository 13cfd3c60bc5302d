"""Whether and when a step is tried again."""

from __future__ import annotations

from datetime import datetime, timedelta

from runs.engine.draft import Draft
from runs.engine.model import State, Task, WakeLater

MOST_LOSSES = 10  # in a row; then the fault is not a passing one
_LONGEST_PAUSE = 60.0  # seconds between attempts that were lost
_MOST_SECONDS = 10 * 365 * 86400.0  # a back-off that grows beyond any sense must not overflow a date


def next_try(draft: Draft, task: Task) -> datetime | None:
    """When the next attempt is due after a failure, None where none is left: `failures` counts this one already."""
    policy = draft.places[task.path].retry
    if policy is None or task.failures > policy.max_retries:
        return None
    try:
        seconds = min(policy.delay * policy.factor ** (task.failures - 1), _MOST_SECONDS)
    except OverflowError:
        seconds = _MOST_SECONDS
    due = draft.now + timedelta(seconds=max(0.0, seconds))
    first = task.started_at or task.ready_at or draft.now
    if policy.max_window is not None and (due - first).total_seconds() > policy.max_window:
        return None
    return due


def try_again(draft: Draft, task: Task, due: datetime, reason: str) -> None:
    """Puts a failed step back to wait for its next attempt."""
    policy = draft.places[task.path].retry
    most = policy.max_retries if policy else 0
    told = f"Attempt {task.attempt} failed: {reason} Retry {task.failures} of {most}"
    _wait(draft, task, due, f"{told}{_pause(due, draft.now)}.", "retry")


def after_loss(draft: Draft, task: Task, reason: str, at: datetime) -> None:
    """Puts a lost step back for another attempt, unless it was lost too often in a row."""
    if task.lost >= MOST_LOSSES:
        draft.fail(task, f"It was lost {task.lost} times in a row. The last time: {reason}", "lost", at=at)
        return
    seconds = 0.0 if task.lost == 1 else min(2.0 ** (task.lost - 2), _LONGEST_PAUSE)
    due = draft.now + timedelta(seconds=seconds)
    _wait(draft, task, due, f"Attempt {task.attempt} was lost: {reason} It is started again{_pause(due, draft.now)}.", "lost")


def time_came(draft: Draft, task: Task, due: datetime) -> None:
    """Lets a step begin whose pause is over; before, orders the wake-up again: whoever handed it in has another clock."""
    if due <= draft.now:
        draft.startable[task.path] = None
    else:
        draft.orders.append(WakeLater(task.path, due))


def told(task: Task, reason: str) -> str:
    """The reason of a step that has failed for good, with the number of tries where there were several."""
    return reason if task.failures <= 1 else f"{reason.rstrip()} ({task.failures} attempts failed.)"


def _wait(draft: Draft, task: Task, due: datetime, reason: str, cause: str) -> None:
    later = due > draft.now
    if task.state is not State.PENDING:  # else it failed before its code ran
        task = draft.move(task, State.PENDING)
    draft.change(task, reason=reason, cause=cause, attention=False, retry_at=due if later else None)
    draft.tell("attempt.retry", task.path, attempt=task.attempt, reason=reason, due=due.isoformat())
    if later:
        draft.orders.append(WakeLater(task.path, due))
    else:
        draft.startable[task.path] = None


def _pause(due: datetime, now: datetime) -> str:
    seconds = (due - now).total_seconds()
    return f" in {seconds:g} s" if seconds > 0 else ""
