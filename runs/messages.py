"""What the live view is told of a run and its tasks: small JSON objects, the same from the driver and in a snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from runs import models
from runs.engine.model import Task
from runs.wording import said


def snapshot(run: models.Run, steps: Iterable[Any]) -> dict[str, Any]:
    """A run with all its tasks and what is said of each: `{number, run, tasks}`, without what is empty."""
    tasks = [{**message, **said(message)} for message in (task_message(step) for step in steps)]
    compact = [{name: value for name, value in task.items() if value} for task in tasks]
    return {"number": run.event_number, "run": run_message(run), "tasks": compact}


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def run_message(row: models.Run) -> dict[str, Any]:
    """A run's changing facts."""
    return {
        "id": str(row.id),
        "state": row.state,
        "reason": row.reason,
        "stop": row.stop,
        "paused": row.paused,
        "started": _time(row.started_at),
        "finished": _time(row.finished_at),
    }


def task_message(task: Task | models.Task) -> dict[str, Any]:
    """A task's changing facts, from the engine's value or from a row (both have the same names)."""
    return {
        "path": task.path,
        "kind": str(task.kind),
        "state": str(task.state),
        "attention": task.attention,
        "cached": bool(task.cached_from),
        "reason": task.reason,
        "cause": task.cause,
        "attempt": task.attempt,
        "ready": _time(task.ready_at),
        "started": _time(task.started_at),
        "finished": _time(task.finished_at),
        "children": task.children,
        "ended": task.ended,
        "succeeded": task.succeeded,
        "failed": task.failed,
        "running": task.running,
        "waiting_on": task.waiting_on,
        "retry_at": _time(task.retry_at),
    }
