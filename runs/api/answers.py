"""Runs, their tasks and experiments as they stand on KFP's wire.

A run that was stopped is CANCELED in our rows. On the wire it is CANCELING and then FAILED with an error that says who stopped
it, as in KFP: the SDK's wait never ends on CANCELED.

Two states are held for a moment, because KFP's clients and tests read a run right after they asked for something, and KFP is
slow: a run is PENDING for at least half a second, and one that was stopped is CANCELING for two seconds.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from kfdash.wire.errors import Code
from kfdash.wire.messages import compact, stamp
from pipelines.api.answers import specification_answer
from pipelines.models import Specification
from pipelines.spec import paths
from pipelines.spec.constants import task_uuid
from runs import models
from runs.engine.model import Kind, State
from runs.execution.order import attempt_name

_WIRE_STATES = {State.CANCELED: State.FAILED}
_PENDING_FOR = timedelta(seconds=0.5)
_STOPPING_FOR = timedelta(seconds=2)
_MOST_TASKS_IN_LIST = 5_000
_TASK_COLUMNS = ("run_id", "path", "kind", "state", "reason", "attempt", "created_at", "ready_at", "started_at", "finished_at")
_VALUE_COLUMNS = ("inputs", "outputs")


def experiment_answer(row: models.Experiment) -> dict[str, Any]:
    """An experiment's message."""
    return compact(
        {
            "experiment_id": str(row.pk),
            "display_name": row.name,
            "description": row.description,
            "created_at": stamp(row.created_at),
            "storage_state": row.storage_state,
            "last_run_created_at": stamp(row.last_run_created_at),
        }
    )


def run_answer(row: models.Run) -> dict[str, Any]:
    """A run's message with all its tasks: three statements at most."""
    tasks = models.Task.objects.filter(run=row).order_by("id").values(*_TASK_COLUMNS, *_VALUE_COLUMNS)
    specifications = _inline_specifications([row])
    return _run(row, [] if row.state == State.PENDING else tasks, specifications)


def new_run_answer(row: models.Run) -> dict[str, Any]:
    """The message of a run that was just made: it has no tasks."""
    return _run(row, [], {row.specification_id: row.specification})


def run_answers(rows: Sequence[models.Run]) -> list[dict[str, Any]]:
    """The messages of a page of runs: two statements. Where they have very many tasks, all are without `run_details`."""
    begun = [row.pk for row in rows if row.state != State.PENDING]
    tasks = models.Task.objects.filter(run__in=begun).order_by("id").values(*_TASK_COLUMNS)
    found = list(tasks[: _MOST_TASKS_IN_LIST + 1]) if begun else []
    by_run: dict[uuid.UUID, list[Mapping[str, Any]]] = {row.pk: [] for row in rows}
    if len(found) <= _MOST_TASKS_IN_LIST:
        for task in found:
            by_run[task["run_id"]].append(task)
    specifications = _inline_specifications(rows)
    return [_run(row, by_run[row.pk], specifications) for row in rows]


def _inline_specifications(rows: Sequence[models.Run]) -> dict[str, Specification]:
    wanted = {row.specification_id for row in rows if row.version_key is None}
    return Specification.objects.in_bulk(wanted) if wanted else {}


def _run(row: models.Run, tasks: Iterable[Mapping[str, Any]], specifications: Mapping[str, Specification]) -> dict[str, Any]:
    held = _held(row)
    details = [] if held is State.PENDING else [_task(task) for task in tasks]
    return compact(
        {
            "experiment_id": str(row.experiment_key),
            "run_id": str(row.pk),
            "display_name": row.name,
            "storage_state": row.storage_state,
            "description": row.description,
            "pipeline_version_reference": _reference(row),
            "pipeline_spec": None if row.version_key else specification_answer(specifications[row.specification_id]),
            "runtime_config": compact({"parameters": row.parameters, "pipeline_root": row.requested_root}),
            "service_account": row.service_account,
            "created_at": stamp(row.created_at),
            "scheduled_at": stamp(row.scheduled_at or row.created_at),
            "finished_at": stamp(None if held else row.finished_at),
            "state": held.value if held else _wire_state(row.state),
            "error": None if held else _stopped(row),
            "state_history": _history(row, held),
            "run_details": {"task_details": _with_children(details)} if details else None,
        }
    )


def _held(row: models.Run) -> State | None:
    """The state that a run is still shown in for a moment, though it is further on; None where that moment is over."""
    now = timezone.now()
    if row.state == State.CANCELED:
        return State.CANCELING if row.finished_at is not None and now - row.finished_at < _STOPPING_FOR else None
    return State.PENDING if row.state != State.CANCELING and now - row.created_at < _PENDING_FOR else None


def _reference(row: models.Run) -> dict[str, str] | None:
    if row.version_key is None:
        return None
    return compact({"pipeline_id": str(row.pipeline_key or ""), "pipeline_version_id": str(row.version_key)})


def _wire_state(state: str) -> str:
    return _WIRE_STATES.get(State(state), State(state)).value


def _stopped(row: models.Run) -> dict[str, Any] | None:
    """The error of a run that was stopped: who did it."""
    if row.state != State.CANCELED:
        return None
    by = f" by {row.stopped_by}" if row.stopped_by else ""
    return {"code": int(Code.CANCELLED), "message": f"The run was stopped{by}."}


def _history(row: models.Run, held: State | None) -> list[dict[str, Any]]:
    found = []
    for entry in row.state_history[:1] if held is State.PENDING else row.state_history:
        canceled = entry["state"] == State.CANCELED
        if canceled and held:
            continue
        found.append(
            compact(
                {
                    "update_time": stamp(datetime.fromisoformat(entry["update_time"])),
                    "state": _wire_state(entry["state"]),
                    "error": _stopped(row) if canceled else None,
                }
            )
        )
    return found


# --- tasks ----------------------------------------------------------------------------------------------------------


def _task(task: Mapping[str, Any]) -> dict[str, Any]:
    run_id, path = str(task["run_id"]), task["path"]
    parent = paths.parent(path)
    failed = task["state"] in (State.FAILED, State.CANCELED)
    is_step = task["attempt"] and not Kind(task["kind"]).is_group
    return compact(
        {
            "run_id": run_id,
            "task_id": task_uuid(run_id, path),
            "display_name": display_name(path),
            "create_time": stamp(task["created_at"] or task["ready_at"]),
            "start_time": stamp(task["started_at"]),
            "end_time": stamp(task["finished_at"]),
            "state": _wire_state(task["state"]),
            "inputs": _artifact_ids(task.get("inputs")),
            "outputs": _artifact_ids(task.get("outputs")),
            "parent_task_id": task_uuid(run_id, parent) if parent else "",
            "error": {"code": int(Code.UNKNOWN), "message": task["reason"]} if failed and task["reason"] else None,
            "pod_name": attempt_name(run_id, path, task["attempt"]) if is_step else "",
        }
    )


def display_name(path: str) -> str:
    """A task's name; an iteration's is its loop's with the index from 0."""
    index = paths.index(path)
    return paths.key(path) if index is None else f"{paths.key(path)}-iteration-{index}"


def _artifact_ids(values: Mapping[str, Any] | None) -> dict[str, Any]:
    artifacts = (values or {}).get("artifacts") or {}
    return {name: {"artifact_ids": [str(artifact["id"]) for artifact in found]} for name, found in artifacts.items() if found}


def _with_children(details: list[dict[str, Any]]) -> list[dict[str, Any]]:
    children: dict[str, list[dict[str, str]]] = {}
    for detail in details:
        if parent := detail.get("parent_task_id"):
            children.setdefault(parent, []).append({"task_id": detail["task_id"]})
    return [detail | {"child_tasks": found} if (found := children.get(detail["task_id"])) else detail for detail in details]
