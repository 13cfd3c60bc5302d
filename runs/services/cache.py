"""The cache, understood: what its entries are worth, taking them out, and why a step was not answered from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.db.models import F, FloatField, QuerySet, Sum

from access.services import record
from pipelines import specifications
from pipelines.spec.model import PipelineSpec
from runs import caching, models, tallying
from runs.earlier import again_value
from runs.engine.again import Earlier
from runs.engine.model import CacheUse, Kind, State, Task
from runs.engine.places import Places
from runs.execution.fingerprint import Difference, differences
from runs.rows import task_value, task_values

_COMPARED = 50  # earlier runs of the pipeline that are compared
_CHUNK = 400  # ids in one IN
_TASK_NAMES = tuple(field.name for field in fields(Task))


# --- entries --------------------------------------------------------------------------------------------------------


def cache_entries(*, namespace: str = "") -> QuerySet[models.CacheEntry]:
    """All entries with their runs, newest first; `saved` is the seconds that their hits have saved."""
    rows = models.CacheEntry.objects.filter(namespace=namespace).select_related("run")
    return rows.annotate(saved=F("hits") * F("seconds")).order_by("-created_at", "-id")


def cache_summary(*, namespace: str = "") -> dict[str, float]:
    """`{entries, hits, saved}` of the whole cache; `saved` in seconds."""
    if (counted := tallying.cache_sums(namespace=namespace)) is not None:
        return counted
    rows = models.CacheEntry.objects.filter(namespace=namespace)
    summed = rows.aggregate(used=Sum("hits"), saved=Sum(F("hits") * F("seconds"), output_field=FloatField()))
    return {"entries": rows.count(), "hits": summed["used"] or 0, "saved": summed["saved"] or 0.0}


def entry_sizes(entries: Iterable[models.CacheEntry]) -> dict[int, int]:
    """Entry id → bytes of its artifacts, as far as they are known: one statement for a page of entries."""
    artifacts = {
        entry.pk: [value["id"] for values in entry.outputs.get("artifacts", {}).values() for value in values] for entry in entries
    }
    ids = list({pk for pks in artifacts.values() for pk in pks})
    sizes: dict[int, int] = {}
    for start in range(0, len(ids), _CHUNK):
        known = models.Artifact.objects.filter(pk__in=ids[start : start + _CHUNK], size__isnull=False)
        sizes |= dict(known.values_list("pk", "size"))
    return {entry: sum(sizes.get(pk, 0) for pk in pks) for entry, pks in artifacts.items()}


def cached_tasks_of(run: models.Run, path: str) -> QuerySet[models.Task]:
    """The tasks of other runs that were answered with the outputs of this one's task at `path`, newest first."""
    return models.Task.objects.filter(cached_from=f"{run.pk}:{path}").select_related("run").order_by("-run__created_at")


def evict_entries(ids: Collection[int]) -> int:
    """Takes entries out; the artifacts stay with their runs. Returns how many there were."""
    return _evicted(models.CacheEntry.objects.filter(pk__in=ids), "chosen")


def evict_pipeline(pipeline_name: str, *, namespace: str = "") -> int:
    """Takes all entries of a pipeline out; returns how many there were."""
    return _evicted(models.CacheEntry.objects.filter(namespace=namespace, pipeline_name=pipeline_name), pipeline_name)


def evict_before(before: datetime, *, pipeline_name: str = "", namespace: str = "") -> int:
    """Takes out the entries, of one pipeline or all, that were neither made nor used since `before`; returns how many."""
    return _evicted(unused_since(before, pipeline_name=pipeline_name, namespace=namespace), f"{pipeline_name or 'all'}, unused")


def _evicted(rows: QuerySet[models.CacheEntry], which: str) -> int:
    count = rows.delete()[0]
    record(verb="evicted", what="cache", name=which, detail=f"{count} entries")
    return count


def unused_since(before: datetime, *, pipeline_name: str = "", namespace: str = "") -> QuerySet[models.CacheEntry]:
    """The entries that `evict_before` takes out."""
    rows = models.CacheEntry.objects.filter(namespace=namespace, created_at__lt=before)
    if pipeline_name:
        rows = rows.filter(pipeline_name=pipeline_name)
    return rows.exclude(last_hit_at__gte=before)


# --- misses ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Explanation:
    """Why a step was not answered from the cache: a sentence, and the nearest earlier task with what differed from it."""

    why: str
    nearest: tuple[str, int, str] | None = None  # run id, run number, path
    differences: tuple[Difference, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """`{why, nearest: {run_id, number, path} | None, differences: [{what, name, before, after, sentence}]}`."""
        nearest = None
        if self.nearest:
            run_id, number, path = self.nearest
            nearest = {"run_id": run_id, "number": number, "path": path}
        told = [
            {"what": one.what, "name": one.name, "before": one.before, "after": one.after, "sentence": one.sentence}
            for one in self.differences
        ]
        return {"why": self.why, "nearest": nearest, "differences": told}


def explain_miss(run: models.Run, path: str) -> Explanation:
    """Why the task at `path` was not answered from the cache. Raises Task.DoesNotExist where the run has none there."""
    task = next(task_values(models.Task.objects.filter(run=run, path=path)), None)
    if task is None:
        raise models.Task.DoesNotExist(f"Run #{run.number} has no step at {path}.")
    spec = specifications.load(run.specification_id)
    if (why := _never_asked(run, spec, task)) is not None:
        return Explanation(why)
    return _against_earlier(run, spec, task)


def _never_asked(run: models.Run, spec: PipelineSpec, task: Task) -> str | None:
    """The sentence for a task that was a hit or that the cache was not asked for; None where it was a miss."""
    task_spec, _ = spec.at(task.path)
    if task.kind is not Kind.CONTAINER:
        return "Only steps with a container are kept in the cache."
    if task.cached_from:
        return "It was answered with the outputs of an earlier run."
    if task_spec is None or not task_spec.caching.enabled:
        return "The pipeline says that this step is not to be cached."
    if run.cache == CacheUse.OFF:
        return "The run was launched without the cache."
    if task.ready_at is None or task.inputs is None:
        return "Its turn has not come, or it was skipped: the cache was not asked."
    if run.cache == CacheUse.REFRESH:
        return "The run was launched to run everything and to refresh the cache."
    if (again := again_value(run)) is not None and (why := Earlier(again).why_again(Places(spec), task.path)):
        return f"The run was launched to run it again. {why}"
    return None


def _against_earlier(run: models.Run, spec: PipelineSpec, task: Task) -> Explanation:
    task_spec, _ = spec.at(task.path)
    mine = caching.parts_of(spec, run.resource_name, task)
    nearest: tuple[models.Run, list[Difference]] | None = None
    for earlier, candidate in _candidates(run, task.path):
        other_spec = specifications.load(earlier.specification_id)
        other_task, _ = other_spec.at(task.path)
        found = differences(caching.parts_of(other_spec, earlier.resource_name, candidate), mine)
        if task_spec and other_task and task_spec.caching.key != other_task.caching.key:
            found.insert(0, Difference("cache-key", "", other_task.caching.key or None, task_spec.caching.key or None))
        if nearest is None or len(found) < len(nearest[1]):
            nearest = (earlier, found)
        if not found:
            break
    if nearest is None:
        return Explanation("No earlier run of this pipeline has a step here that succeeded.")
    earlier, found = nearest
    where = (str(earlier.pk), earlier.number, task.path)
    if found:
        told = "; ".join(one.sentence for one in found[:5])
        return Explanation(f"The nearest is in run #{earlier.number}, and differs: {told}.", where, tuple(found))
    return Explanation(
        f"Run #{earlier.number} had the same step with the same inputs, and its outputs were not in the cache.", where
    )


def _candidates(run: models.Run, path: str) -> list[tuple[models.Run, Task]]:
    """The tasks at the same path that succeeded in earlier runs of the pipeline, newest first: two statements."""
    earlier = models.Run.objects.filter(
        namespace=run.namespace, specification__name=run.specification.name, created_at__lt=run.created_at
    )
    rows = earlier.only("number", "resource_name", "specification_id").order_by("-created_at", "-id")[:_COMPARED]
    runs = {row.pk: row for row in rows}
    wanted = models.Task.objects.filter(
        run__in=runs, path=path, kind=Kind.CONTAINER.value, state=State.SUCCEEDED.value, inputs__isnull=False
    )
    tasks = {row.pop("run_id"): task_value(row) for row in wanted.values("run_id", *_TASK_NAMES)}
    return [(row, tasks[pk]) for pk, row in runs.items() if pk in tasks]
