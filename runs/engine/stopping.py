"""Stopping a run: what waits is cancelled, what runs is told to end, exit tasks still run unless it is by force.

How far that has gone is kept in the `cause` of the root, so that nothing is told twice.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pipelines.spec.model import ROOT
from runs.engine.draft import Draft
from runs.engine.groups import time_limit
from runs.engine.model import State, Stop, StopAttempt, Task, WakeLater

_STOPPING, _FORCING = "stopping", "stopping-by-force"
_DEADLINE, _DEADLINE_FORCING = "deadline", "deadline-by-force"
_FORCED = (_FORCING, _DEADLINE_FORCING)


def deadline_came(draft: Draft) -> None:
    """Stops the run where its own time limit is over; before, orders the wake-up again: whoever handed it in has another clock."""
    root, limit = draft.find(ROOT), time_limit(draft)
    if root is None or root.state is not State.RUNNING or draft.run.stop or not limit or root.started_at is None:
        return
    if draft.now < (due := root.started_at + timedelta(seconds=limit)):
        draft.orders.append(WakeLater(ROOT, due))
        return
    draft.run = replace(draft.run, stop=Stop.GRACEFUL)
    draft.change(root, cause=_DEADLINE)


def stop(draft: Draft) -> None:
    """Does what the run's `stop` asks for, as far as it is not done."""
    root = draft.find(ROOT)
    if not draft.run.stop or root is None or root.state.is_final:
        return
    force = draft.run.stop is Stop.FORCE
    if root.cause in _FORCED or (root.state is State.CANCELING and not force):
        return
    deadline = root.cause in (_DEADLINE, _DEADLINE_FORCING)
    cause = (_DEADLINE_FORCING if force else _DEADLINE) if deadline else (_FORCING if force else _STOPPING)
    for task in list(draft.unfinished()):
        if force or not draft.places[task.path].in_exit:
            _stop_task(draft, task, cause if task.path == ROOT else (_FORCING if force else _STOPPING), force)


def _stop_task(draft: Draft, task: Task, cause: str, force: bool) -> None:
    reason = "Its time limit is over: stopping." if task.path == ROOT and cause.startswith(_DEADLINE) else "Stopping."
    if task.kind.is_group:
        if task.state is State.PENDING:
            _cancel(draft, task)
        elif task.state is State.CANCELING:
            draft.change(task, cause=cause)
        else:
            draft.move(task, State.CANCELING, reason=reason, cause=cause)
    elif not task.under_way:
        _cancel(draft, task)
    else:
        draft.orders.append(StopAttempt(task.path, task.attempt, task.kind, force))
        if task.state is State.CANCELING:
            draft.change(task, cause=cause)
        else:
            draft.move(task, State.CANCELING, reason=reason, cause=cause, attention=False)


def _cancel(draft: Draft, task: Task) -> None:
    draft.end(task, State.CANCELED, reason="Stopped before it began.", cause="stopped")
