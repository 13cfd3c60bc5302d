"""Rows as the engine's values, and back. Loads what is asked for, remembers what changed, writes it in few statements."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db.models import QuerySet

from pipelines.spec import paths
from runs import models
from runs.engine.model import Attempt, CacheUse, Kind, Phase, Run, State, Step, Stop, Task, Values

_TASK_FIELDS = tuple(field.name for field in dataclasses.fields(Task))
_ATTEMPT_FIELDS = tuple(field.name for field in dataclasses.fields(Attempt))
_TASK_UPDATES = [name for name in _TASK_FIELDS if name not in ("path", "kind", "created_at")]
_ATTEMPT_UPDATES = [name for name in _ATTEMPT_FIELDS if name not in ("path", "number")]
_CHUNK = 400  # paths in one IN


def run_value(row: models.Run, *, most_iterations: int) -> Run:
    """A run's row as the engine's value."""
    return Run(
        id=str(row.id),
        name=row.name,
        resource_name=row.resource_name,
        state=State(row.state),
        arguments=row.arguments,
        created_at=row.created_at,
        scheduled_at=row.scheduled_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        pipeline_root=row.pipeline_root,
        cache=CacheUse(row.cache),
        stop=Stop(row.stop),
        stopped_by=row.stopped_by,
        paused=row.paused,
        reason=row.reason,
        most_iterations=most_iterations,
    )


def task_value(fields: Mapping[str, Any]) -> Task:
    """A task's columns as the engine's value."""
    return Task(
        **{
            **fields,
            "kind": Kind(fields["kind"]),
            "state": State(fields["state"]),
            "inputs": Values.from_json(fields["inputs"]),
            "outputs": Values.from_json(fields["outputs"]),
        }
    )


def task_values(queryset: QuerySet[models.Task]) -> Iterator[Task]:
    """The tasks of a queryset as the engine's values."""
    for row in queryset.values(*_TASK_FIELDS):
        yield task_value(row)


def attempt_value(fields: Mapping[str, Any]) -> Attempt:
    """An attempt's columns as the engine's value."""
    return Attempt(**{**fields, "state": State(fields["state"]), "phase": Phase(fields["phase"])})


class RowTasks:
    """A TaskSource over the rows of one run, with what steps changed laid over them."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.before: dict[str, Task | None] = {}  # as the rows have them; None where there is no row
        self.tasks: dict[str, Task] = {}
        self.attempts: dict[str, Attempt | None] = {}
        self.changed_attempts: dict[tuple[str, int], Attempt] = {}

    # --- TaskSource ---

    def get(self, path: str) -> Task | None:
        if path not in self.before:
            self.prefetch((path,))
        return self.tasks.get(path)

    def prefetch(self, wanted: Iterable[str]) -> None:
        missing = [path for path in dict.fromkeys(wanted) if path not in self.before]
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            self._load(self._rows().filter(path__in=chunk))
        for path in missing:
            self.before.setdefault(path, None)

    def children(self, path: str) -> list[Task]:
        found = self._load(self._rows().filter(parent=path).order_by("id"))
        found += [child for child, task in self.tasks.items() if self.before[child] is None and paths.parent(child) == path]
        if found and paths.index(found[0]) is not None:
            found.sort(key=lambda child: paths.index(child) or 0)
        return [self.tasks[child] for child in found]

    def unfinished(self) -> list[Task]:
        finals = [state.value for state in State if state.is_final]
        self._load(self._rows().exclude(state__in=finals).order_by("id"))
        return [task for task in self.tasks.values() if not task.state.is_final]

    def attempt(self, path: str) -> Attempt | None:
        if path not in self.attempts:
            rows = models.Attempt.objects.filter(run_id=self.run_id, path=path).order_by("-number")
            fields = rows.values(*_ATTEMPT_FIELDS).first()
            self.attempts[path] = attempt_value(fields) if fields else None
        return self.attempts[path]

    # --- what steps changed ---

    def apply(self, step: Step) -> None:
        """Lays what a step changed over the rows."""
        for path, task in step.tasks.items():
            if path not in self.before:
                self.before[path] = None  # the engine asks before it changes: a path never asked for is new
            self.tasks[path] = task
        for (path, number), attempt in step.attempts.items():
            self.changed_attempts[path, number] = attempt
            known = self.attempts.get(path)
            if known is None or known.number <= number:
                self.attempts[path] = attempt

    def changed(self) -> dict[str, Task]:
        """All tasks that are not as their rows have them, new ones among them."""
        return {path: task for path, task in self.tasks.items() if self.before[path] != task}

    def save(self, attempt_name: Any) -> dict[str, Task]:
        """Writes what changed; `attempt_name(run_id, path, number)` names new attempts. Returns the changed tasks."""
        changed = self.changed()
        models.Task.objects.bulk_create(
            [self._task_row(task) for task in changed.values()],
            update_conflicts=True,
            unique_fields=["run", "path"],
            update_fields=_TASK_UPDATES,
        )
        models.Attempt.objects.bulk_create(
            [self._attempt_row(attempt, attempt_name) for attempt in self.changed_attempts.values()],
            update_conflicts=True,
            unique_fields=["run", "path", "number"],
            update_fields=_ATTEMPT_UPDATES,
        )
        return changed

    # --- inside ---

    def _rows(self) -> QuerySet[models.Task]:
        return models.Task.objects.filter(run_id=self.run_id)

    def _load(self, queryset: QuerySet[models.Task]) -> list[str]:
        found = []
        for task in task_values(queryset):
            if self.before.get(task.path) is None:
                self.before[task.path] = task
                self.tasks.setdefault(task.path, task)
            found.append(task.path)
        return found

    def _task_row(self, task: Task) -> models.Task:
        fields = {name: getattr(task, name) for name in _TASK_FIELDS}
        fields["inputs"] = task.inputs.to_json() if task.inputs is not None else None
        fields["outputs"] = task.outputs.to_json() if task.outputs is not None else None
        return models.Task(run_id=self.run_id, parent=paths.parent(task.path), **fields)

    def _attempt_row(self, attempt: Attempt, attempt_name: Any) -> models.Attempt:
        fields = {name: getattr(attempt, name) for name in _ATTEMPT_FIELDS}
        return models.Attempt(run_id=self.run_id, name=attempt_name(self.run_id, attempt.path, attempt.number), **fields)
