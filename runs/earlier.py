"""The earlier run that a run takes over from, as the engine reads it. What is in the store no more is not there for it either."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from pipelines import specifications
from pipelines.models import Specification
from runs import models
from runs.engine.memory import MemoryTasks
from runs.engine.model import Again, Step, Task
from runs.execution.order import uses_workspace
from runs.rows import RowTasks, task_values

_CHUNK = 400  # ids in one IN


class EarlierTasks(RowTasks):
    """The tasks of an earlier run, without those whose outputs are gone."""

    def _load(self, where: str, parameters: Sequence[Any]) -> list[str]:
        found = super()._load(where, parameters)
        lost = paths_with_lost_outputs(self.tasks[path] for path in found if path in self.tasks)
        for path in lost:
            del self.tasks[path]
        return [path for path in found if path not in lost]


def again_value(row: models.Run) -> Again | None:
    """How a run takes over from another; None where it does not, or where that one was deleted."""
    kept = row.again_from
    if not kept or row.origin_id is None:
        return None
    try:
        spec, old_spec = specifications.load(row.specification_id), specifications.load(kept["specification"])
    except Specification.DoesNotExist:
        return None
    return Again(
        str(row.origin_id),
        old_spec,
        EarlierTasks(str(row.origin_id)),
        frozenset(kept["paths"]),
        frozenset(kept["same"]),
        partial(uses_workspace, spec),
        _memory(str(row.pk)),
    )


@lru_cache(maxsize=64)
def _memory(run_id: str) -> dict[str, Mapping[str, str]]:
    """What the engine remembers of a run's choice from one drive to the next: it follows from what never changes."""
    return {}


def all_tasks(run: models.Run) -> tuple[MemoryTasks, list[str]]:
    """All tasks of an earlier run in memory, those with lost outputs left out; and all its paths."""
    every = {task.path: task for task in task_values(models.Task.objects.filter(run=run).order_by("id"))}
    lost = paths_with_lost_outputs(every.values())
    tasks = MemoryTasks()
    tasks.apply(Step(run=None, tasks={path: task for path, task in every.items() if path not in lost}))  # type: ignore[arg-type]
    return tasks, list(every)


def paths_with_lost_outputs(tasks: Iterable[Task]) -> set[str]:
    """The paths of tasks that have an output artifact which is in the store no more."""
    by_artifact: dict[int, set[str]] = {}
    for task in tasks:
        if task.outputs is None or task.kind.is_group:
            continue
        for values in task.outputs.artifacts.values():
            for value in values:
                by_artifact.setdefault(value["id"], set()).add(task.path)
    ids = list(by_artifact)
    lost: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        gone = models.Artifact.objects.filter(pk__in=ids[start : start + _CHUNK], gone_at__isnull=False)
        for pk in gone.values_list("pk", flat=True):
            lost |= by_artifact[pk]
    return lost
