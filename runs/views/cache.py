"""The page of the cache: what is kept, what it has saved, and taking entries out of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from kfdash import keyset
from kfdash.containing import contains
from kfdash.words import counted, duration
from pipelines.spec.storable import storable_text
from runs import services, tallying
from runs.models import CacheEntry, CacheTally, Run
from runs.views.lists import NAMESPACE, is_partial

PAGE_SIZE = 50
AGES = (("1", "a day"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days"))
_MOST_RUNS = 500  # whose ids are looked up first: the database then sees how few entries they have
_MOST_PIPELINES = 500  # in the list to choose from


@require_GET
def cache_list(request: HttpRequest) -> HttpResponse:
    """All entries, newest first; `q` looks in pipelines, steps and runs (`#12`), `pipeline` is the name of one pipeline."""
    words, pipeline = storable_text(request.GET.get("q", "")).strip(), storable_text(request.GET.get("pipeline", ""))
    entries = services.cache_entries(namespace=NAMESPACE)
    if pipeline:
        entries = entries.filter(pipeline_name=pipeline)
    for word in words.split():
        entries = entries.filter(_has(word))
    page = keyset.page(entries.defer("run__parameters", "run__arguments", "run__state_history"), request.GET, size=PAGE_SIZE)
    context: dict[str, Any] = {
        "page": page,
        "rows": _rows(page.rows),
        "words": words,
        "pipeline": pipeline,
        "filtered": bool(words or pipeline),
        "address": request.path,
    }
    if is_partial(request):
        return render(request, "runs/_cache_table.html", context)
    summary = services.cache_summary(namespace=NAMESPACE)
    context |= {"summary": summary, "summary_text": _summary(summary), "empty": not summary["entries"]}
    return render(request, "runs/cache.html", context)


@require_http_methods(["GET", "POST"])
def cache_evict(request: HttpRequest) -> HttpResponse:
    """The question, with what goes; posted, it evicts: one entry (`id`), or those of a `pipeline` unused for `days`."""
    query = request.GET if request.method == "GET" else request.POST
    chosen = _chosen(query)
    if request.method == "POST":
        count = services.evict_entries(list(chosen.values_list("pk", flat=True))) if query.get("id") else _evict(query)
        messages.success(request, f"{counted(count, 'entry', 'entries')} evicted." if count else "There was nothing to evict.")
        return redirect("cache-list")
    found = chosen.aggregate(entries=Count("pk"), hits=Sum("hits"))
    context = {
        "single": query.get("id", ""),
        "entry": chosen.select_related("run").first() if query.get("id") else None,
        "count": found["entries"],
        "goes": _goes(found["entries"], found["hits"] or 0),
        "pipeline": query.get("pipeline", ""),
        "days": query.get("days", ""),
        "ages": AGES,
        "pipelines": _pipelines() if not query.get("id") else [],
    }
    return render(request, "runs/_evict_said.html" if "said" in query else "runs/_evict.html", context)


def _has(word: str) -> Q:
    number = word.removeprefix("#")
    if word.startswith("#") and number.isdecimal() and len(number) < 19:
        return Q(run__number=int(number))
    named = list(Run.objects.filter(contains("name", word), namespace=NAMESPACE).values_list("pk", flat=True)[: _MOST_RUNS + 1])
    of_runs = Q(run__in=named) if len(named) <= _MOST_RUNS else contains("run__name", word)
    return contains("pipeline_name", word) | contains("path", word) | of_runs


def _rows(entries: Iterable[CacheEntry]) -> list[dict[str, Any]]:
    entries = list(entries)
    sizes = services.entry_sizes(entries)
    return [
        {
            "entry": entry,
            "step": entry.path.removeprefix("root/"),
            "size": sizes.get(entry.pk) or None,
            "saved": entry.hits * entry.seconds if entry.hits else None,
        }
        for entry in entries
    ]


def _summary(summary: dict[str, float]) -> str:
    count, hits = int(summary["entries"]), int(summary["hits"])
    used = f"used {counted(hits, 'time')}, which saved {duration(summary['saved'])}" if hits else "not used yet"
    return f"{counted(count, 'entry', 'entries')}, {used}"


# --- evicting -------------------------------------------------------------------------------------------------------


def _chosen(query: QueryDict) -> QuerySet[CacheEntry]:
    """The entries that are meant; none where nothing was said."""
    rows = CacheEntry.objects.filter(namespace=NAMESPACE)
    if identifier := query.get("id", ""):
        return rows.filter(pk=int(identifier)) if identifier.isdecimal() and len(identifier) < 19 else rows.none()
    pipeline, days = storable_text(query.get("pipeline", "")), _days(query)
    if days:
        return services.unused_since(timezone.now() - timedelta(days=days), pipeline_name=pipeline, namespace=NAMESPACE)
    return rows.filter(pipeline_name=pipeline) if pipeline else rows


def _evict(query: QueryDict) -> int:
    pipeline, days = storable_text(query.get("pipeline", "")), _days(query)
    if days:
        return services.evict_before(timezone.now() - timedelta(days=days), pipeline_name=pipeline, namespace=NAMESPACE)
    if pipeline:
        return services.evict_pipeline(pipeline, namespace=NAMESPACE)
    return services.evict_before(timezone.now() + timedelta(days=1), namespace=NAMESPACE)


def _days(query: QueryDict) -> int:
    text = query.get("days", "")
    return int(text) if text in dict(AGES) else 0


def _goes(count: int, hits: int) -> str:
    if not count:
        return "No entry is like that: nothing would go."
    one = count == 1
    used = f" {'It was' if one else 'They were'} used {counted(hits, 'time')}." if hits else ""
    return (
        f"{counted(count, 'entry', 'entries')} will go.{used} What {'it names stays' if one else 'they name stays'} with "
        f"{'its run' if one else 'their runs'}; the next {'run of the step does' if one else 'runs of the steps do'} the work anew."
    )


def _pipelines() -> list[dict[str, Any]]:
    """Names of pipelines with entries, and how many."""
    counted_ones = tallying.counted_values(CacheTally, "pipeline", "pipeline_name", namespace=NAMESPACE)
    if counted_ones is not None:
        return [{"pipeline_name": name, "count": count} for name, count in counted_ones[:_MOST_PIPELINES]]
    rows = CacheEntry.objects.filter(namespace=NAMESPACE).order_by("pipeline_name")
    return list(rows.values("pipeline_name").annotate(count=Count("pk"))[:_MOST_PIPELINES])
