"""Facts about attempts, folded in. What is late, doubled or about an attempt that is over changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from runs.engine import retries
from runs.engine.draft import Draft
from runs.engine.model import (
    Attempt,
    AttemptFailed,
    AttemptLost,
    AttemptProgressed,
    AttemptStopped,
    AttemptSucceeded,
    CacheAnswered,
    Phase,
    State,
    Task,
)

AttemptFact = AttemptProgressed | AttemptSucceeded | AttemptFailed | AttemptLost | AttemptStopped

_ORDER = {phase: number for number, phase in enumerate(Phase)}
_RUNNING = _ORDER[Phase.RUNNING]
LOOKING = "cache-lookup"  # the cause of a task that waits for the cache's answer
ASKED = "cache-miss"  # the cause of one that had it and has not started


def apply(draft: Draft, fact: AttemptFact) -> None:
    """Folds a fact about an attempt in."""
    task = draft.find(fact.path)
    if task is None or not task.under_way or task.attempt != fact.number:
        return
    attempt = draft.attempt(fact.path)
    if attempt is None or attempt.number != fact.number or attempt.phase is Phase.ENDED:
        return
    match fact:
        case AttemptProgressed():
            _progressed(draft, task, attempt, fact)
        case AttemptSucceeded():
            _succeeded(draft, task, attempt, fact)
        case AttemptFailed():
            _failed(draft, task, attempt, fact)
        case AttemptLost():
            _lost(draft, task, attempt, fact)
        case AttemptStopped():
            _stopped(draft, task, attempt, fact)


def _progressed(draft: Draft, task: Task, attempt: Attempt, fact: AttemptProgressed) -> None:
    if fact.phase is Phase.ENDED or _ORDER[fact.phase] < _ORDER[attempt.phase]:
        return
    entered = fact.phase is not attempt.phase
    if not entered and (attempt.reason, attempt.attention) == (fact.reason, fact.attention):
        return
    attempt = replace(attempt, phase=fact.phase, reason=fact.reason, attention=fact.attention)
    if entered:
        attempt = _with_time(attempt, fact.phase, fact.at)
    runs = _ORDER[fact.phase] >= _RUNNING
    if runs and attempt.state is State.PENDING:
        attempt = replace(attempt, state=State.RUNNING)
    draft.put_attempt(attempt)
    if task.state is State.CANCELING:
        return
    if runs and task.state is State.PENDING:
        started = task.started_at or fact.at
        draft.move(task, State.RUNNING, at=fact.at, started_at=started, reason=fact.reason, attention=fact.attention, cause="")
        return
    told = task.reason, task.attention
    if told == (fact.reason, fact.attention):
        return
    draft.change(task, reason=fact.reason, attention=fact.attention, cause="waiting" if fact.attention else "")
    kind = "attempt.waiting" if fact.attention else "attempt.progressed"
    draft.tell(kind, task.path, at=fact.at, attempt=task.attempt, reason=fact.reason, phase=fact.phase.value)


def _with_time(attempt: Attempt, phase: Phase, at: datetime) -> Attempt:
    match phase:
        case Phase.STARTING:
            return replace(attempt, starting_at=at)
        case Phase.RUNNING:
            return replace(attempt, running_at=at)
        case Phase.COLLECTING:
            return replace(attempt, collecting_at=at)
    return attempt


def _succeeded(draft: Draft, task: Task, attempt: Attempt, fact: AttemptSucceeded) -> None:
    ran_from = attempt.running_at or fact.running_at
    draft.put_attempt(
        replace(
            attempt,
            state=State.SUCCEEDED,
            phase=Phase.ENDED,
            reason="",
            cause="",
            attention=False,
            exit_code=0,
            peak_memory=fact.peak_memory,
            running_at=ran_from,
            collecting_at=attempt.collecting_at or fact.collecting_at,
            finished_at=fact.at,
        )
    )
    started = task.started_at or ran_from or attempt.queued_at
    draft.succeed(task, fact.outputs, at=fact.at, started_at=started, lost=0)


def _failed(draft: Draft, task: Task, attempt: Attempt, fact: AttemptFailed) -> None:
    attempt = replace(
        _ended(attempt, State.FAILED, fact.at, fact.reason, fact.cause),
        exit_code=fact.exit_code,
        peak_memory=fact.peak_memory,
        running_at=attempt.running_at or fact.running_at,
    )
    draft.put_attempt(attempt)
    draft.tell(
        "attempt.failed",
        task.path,
        at=fact.at,
        attempt=task.attempt,
        reason=fact.reason,
        cause=fact.cause,
        exit_code=fact.exit_code,
    )
    if task.state is State.CANCELING:
        _cancel(draft, task, fact.at)
        return
    started = task.started_at or attempt.running_at
    task = draft.change(task, under_way=False, started_at=started, failures=task.failures + 1, lost=0)
    due = retries.next_try(draft, task) if fact.retryable else None
    if due is None:
        draft.fail(task, retries.told(task, fact.reason), fact.cause, at=fact.at)
    else:
        retries.try_again(draft, task, due, fact.reason)


def _lost(draft: Draft, task: Task, attempt: Attempt, fact: AttemptLost) -> None:
    draft.put_attempt(replace(_ended(attempt, State.FAILED, fact.at, fact.reason, "lost"), counts=False))
    draft.tell("attempt.lost", task.path, at=fact.at, attempt=task.attempt, reason=fact.reason)
    if task.state is State.CANCELING:
        _cancel(draft, task, fact.at)
        return
    task = draft.change(task, under_way=False, lost=task.lost + 1)
    retries.after_loss(draft, task, fact.reason, fact.at)


def _stopped(draft: Draft, task: Task, attempt: Attempt, fact: AttemptStopped) -> None:
    if task.state is not State.CANCELING:
        # Nobody here asked for it: somebody ended it by hand, or an order for an earlier life came late.
        _lost(draft, task, attempt, AttemptLost(fact.path, fact.number, fact.at, "The step was ended from outside."))
        return
    draft.put_attempt(replace(_ended(attempt, State.CANCELED, fact.at, "Stopped.", "stopped"), exit_code=fact.exit_code))
    _cancel(draft, task, fact.at)


def _cancel(draft: Draft, task: Task, at: datetime) -> None:
    draft.end(task, State.CANCELED, at=at, reason="Stopped.", cause="stopped")


def _ended(attempt: Attempt, state: State, at: datetime, reason: str, cause: str) -> Attempt:
    return replace(attempt, state=state, phase=Phase.ENDED, finished_at=at, reason=reason, cause=cause, attention=False)


def cache_answered(draft: Draft, fact: CacheAnswered) -> None:
    """Folds the cache's answer in: on a hit the task has its outputs, otherwise it may start."""
    task = draft.find(fact.path)
    if task is None or task.state is not State.PENDING or task.cause != LOOKING:
        return
    task = draft.change(task, fingerprint=fact.fingerprint, cause=ASKED)
    if fact.outputs is None:
        draft.startable[task.path] = None
        return
    draft.succeed(task, fact.outputs, at=fact.at, started_at=fact.at, cached_from=fact.cached_from)
