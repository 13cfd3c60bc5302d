"""How long the steps of a pipeline usually take: the median of earlier successes, where there are enough to say so."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from runs import models
from runs.engine.model import State

LEAST = 3  # successes
RUNS = 30  # that are looked at; however many a pipeline has, it is the latest that say what is usual
_CHUNK = 400  # paths in one IN


def usual_times(run: models.Run, paths: Collection[str]) -> dict[str, float]:
    """Seconds by path, of those steps that have succeeded often enough in the runs of the pipeline before this one.

    Two queries (one more for each further 400 paths), both by an index; a step that was reused from a cache says nothing.
    """
    if run.pipeline_key is None or not paths:
        return {}
    earlier = models.Run.objects.filter(pipeline_key=run.pipeline_key, created_at__lt=run.created_at).order_by("-created_at", "-id")
    runs = list(earlier.values_list("pk", flat=True)[:RUNS])
    if len(runs) < LEAST:
        return {}
    taken: dict[str, list[float]] = defaultdict(list)
    wanted = sorted(paths)
    for start in range(0, len(wanted), _CHUNK):
        tasks = models.Task.objects.filter(run_id__in=runs, path__in=wanted[start : start + _CHUNK])
        done = tasks.filter(state=State.SUCCEEDED, cached_from="")
        for path, started, ready, finished in done.values_list("path", "started_at", "ready_at", "finished_at"):
            if (seconds := _seconds(started or ready, finished)) is not None:
                taken[path].append(seconds)
    return {path: statistics.median(times) for path, times in taken.items() if len(times) >= LEAST}


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return max(0.0, (end - begin).total_seconds()) if begin is not None and end is not None else None
