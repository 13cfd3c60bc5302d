"""The first page, and what every page knows: the installation's executor and version, how many runs are under way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import CharField, Count, Func, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_GET

from kfdash import __version__
from kfdash.system import stand
from kfdash.undone import undone
from kfdash.words import counted
from pipelines.models import Pipeline, PipelineVersion
from pipelines.samples import SAMPLES
from pipelines.views import pipeline_rows, with_newest_version
from runs.models import Run, StorageState
from runs.views.lists import NAMESPACE, active_runs
from runs.views.rows import run_rows, with_pipeline

_SECTIONS = {"home": "home", "run": "runs", "artifact": "runs", "pipeline": "pipelines", "version": "pipelines"}
_SECTIONS |= {"launch": "pipelines", "upload": "pipelines", "experiment": "experiments", "cache": "cache", "system": "system"}
_SECTIONS |= {"access": "system", "account": "account", "retention": "system"}
_DAYS = 14
_LOOKED_AT = 1000  # runs, newest first, when looking for failures: home stays quick however many there are
_CHART_HEIGHT = 58.0  # of the tallest day's column


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Context of every template: `executor` (`local`, `kubernetes`), `kfdash_version`, `section`, `active_runs`, `upload_limit`."""
    name = request.resolver_match.url_name if request.resolver_match else None
    return {
        "executor": settings.EXECUTOR,
        "kfdash_version": __version__,
        "section": _SECTIONS.get((name or "").partition("-")[0], ""),
        "active_runs": SimpleLazyObject(active_runs().count),
        "upload_limit": settings.UPLOAD_LIMIT,
        "system_mark": SimpleLazyObject(stand.mark),
    }


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """What runs, what failed and nobody ran again, the pipelines that were used or uploaded last, the last two weeks."""
    active = list(with_pipeline(active_runs()).order_by("-created_at", "-id")[:8])
    failed = list(with_pipeline(Run.objects.filter(pk__in=_failed_lately())).order_by("-created_at", "-id"))
    rows = run_rows([*active, *failed], width=112)
    pipelines = _pipelines_in_use()
    context = {
        "last": None if active else _runs().exclude(finished_at=None).order_by("-created_at", "-id").first(),
        "active": rows[: len(active)],
        "failed": rows[len(active) :],
        "pipelines": pipeline_rows(pipelines),
        "days": _days(),
        "empty": not active and not failed and not pipelines and not _runs().exists(),
        "samples": SAMPLES,
        "undone": undone(request),
    }
    return render(request, "home.html", context)


def _runs() -> QuerySet[Run]:
    return Run.objects.filter(namespace=NAMESPACE, storage_state=StorageState.AVAILABLE)


def _failed_lately(most: int = 6) -> list[UUID]:
    """The newest runs of their pipelines, of the last two weeks, that failed: those that nobody ran again.

    Packages that were not uploaded are told apart by their pipelines' names: compiled anew they are the same to their user.
    """
    recent = _runs().filter(created_at__gte=timezone.now() - timedelta(days=_DAYS)).order_by("-created_at", "-id")
    seen: set[Any] = set()
    failed = []
    for pk, state, pipeline, name in recent.values_list("pk", "state", "pipeline_key", "specification__name")[:_LOOKED_AT]:
        if (pipeline or name) not in seen and state == "FAILED":
            failed.append(pk)
        seen.add(pipeline or name)
    return failed[:most]


def _pipelines_in_use(most: int = 6) -> list[Pipeline]:
    """The pipelines that were run or got a version last, newest first."""
    ran = _runs().exclude(pipeline_key=None).order_by("-created_at", "-id").values_list("pipeline_key", "created_at")[:60]
    uploaded = PipelineVersion.objects.order_by("-created_at").values_list("pipeline_id", "created_at")[:60]
    newest: dict[Any, Any] = {}
    for key, at in sorted([*ran, *uploaded], key=lambda pair: pair[1], reverse=True):
        newest.setdefault(key, at)
    found = {pipeline.pk: pipeline for pipeline in with_newest_version(Pipeline.objects.filter(pk__in=list(newest)))}
    chosen = [found[key] for key in newest if key in found][:most]
    for pipeline in chosen:
        pipeline.used_at = newest[pipeline.pk]  # type: ignore[attr-defined]
    return chosen


# --- the last two weeks ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Day:
    """A day's column in the chart: boxes as (y, height), the failed ones at the foot."""

    x: int
    title: str
    succeeded: tuple[float, float] | None
    failed: tuple[float, float] | None


@dataclass(frozen=True)
class Days:
    """Runs of the last two weeks, by day and by how they ended."""

    columns: tuple[Day, ...]
    first: datetime
    succeeded: int
    failed: int


class _Date(Func):
    """The day of a time in UTC, `2026-03-05`. Django would have SQLite ask Python for each row: many times as long."""

    template = "TO_CHAR(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    output_field = CharField()

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, template="SUBSTR(%(expressions)s, 1, 10)")


def _days() -> Days:
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight - timedelta(days=_DAYS - 1 - index) for index in range(_DAYS)]
    lately = _runs().filter(created_at__gte=days[0]).order_by()
    rows = lately.values_list(_Date("created_at"), "state").annotate(count=Count("*"))
    counts = {(day, state): count for day, state, count in rows}
    succeeded, failed = ([counts.get((f"{day:%Y-%m-%d}", state), 0) for day in days] for state in ("SUCCEEDED", "FAILED"))
    most = max(map(sum, zip(succeeded, failed, strict=True))) or 1
    columns = tuple(_column(index, day, succeeded[index], failed[index], most) for index, day in enumerate(days))
    return Days(columns, days[0], sum(succeeded), sum(failed))


def _column(index: int, day: datetime, succeeded: int, failed: int, most: int) -> Day:
    foot = 64.0
    red = max(2.7, round(_CHART_HEIGHT * failed / most, 1)) if failed else 0.0
    green = max(2.7, round(_CHART_HEIGHT * succeeded / most, 1)) if succeeded else 0.0
    green_foot = foot - red - (2 if red else 0)
    title = f"{day.day} {day:%b}: {counted(succeeded, 'run')} succeeded, {failed} failed"
    return Day(
        x=index * 21,
        title=title,
        succeeded=(round(green_foot - green, 1), green) if succeeded else None,
        failed=(round(foot - red, 1), red) if failed else None,
    )
