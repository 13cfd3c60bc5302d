"""The list of runs: filter bar, pages, archive; and what is done to one run or several from it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from kfdash import keyset
from kfdash.words import counted, size
from pipelines.samples import SAMPLES
from runs import filters, services
from runs.models import Run, StorageState
from runs.views.rows import run_rows, with_pipeline

PAGE_SIZE = 50
ACTIVE = ("PENDING", "RUNNING", "CANCELING")
NAMESPACE = ""  # there is one user; naming it lets the database use the index of newest runs


def active_runs() -> QuerySet[Run]:
    """The runs under way. Without the namespace: the index of states is the one that helps here."""
    return Run.objects.filter(state__in=ACTIVE, storage_state=StorageState.AVAILABLE)


def is_partial(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of the page (going back asks for the whole)."""
    return bool(request.htmx) and not request.htmx.history_restore_request and not request.htmx.boosted  # type: ignore[attr-defined]


@require_GET
def run_list(request: HttpRequest) -> HttpResponse:
    """All runs, newest first, or those in the archive (`view=archive`)."""
    context = listing(request, Run.objects.filter(namespace=NAMESPACE))
    context["empty"] = not context["page"].rows and not context["tokens"] and not context["archived"]
    context["samples"] = SAMPLES
    return render(request, "runs/_table.html" if is_partial(request) else "runs/list.html", context)


def listing(request: HttpRequest, runs: QuerySet[Run]) -> dict[str, Any]:
    """The context of `runs/_table.html` for a set of runs: filtered by the query, one page of it."""
    archived = request.GET.get("view") == "archive"
    tokens = filters.parse(request.GET.get("q", ""), now=timezone.now())
    chosen = runs.filter(storage_state=StorageState.ARCHIVED if archived else StorageState.AVAILABLE)
    page = keyset.page(with_pipeline(filters.apply(chosen, tokens)), request.GET, size=PAGE_SIZE)
    return {
        "page": page,
        "rows": run_rows(page.rows),
        "tokens": tokens,
        "archived": archived,
        "address": request.path,
        "newest_number": page.rows[0].number if page.rows else 0,
    }


@require_GET
def run_list_rows(request: HttpRequest) -> HttpResponse:
    """The rows of the runs `id=…&id=…`, for keeping a list fresh; unknown ids are left out."""
    ids = [found for text in request.GET.getlist("id")[:PAGE_SIZE] if (found := _uuid(text))]
    rows = run_rows(list(with_pipeline(Run.objects.filter(pk__in=ids))))
    response = render(request, "runs/_rows.html", {"rows": rows})
    response["X-Active-Runs"] = str(active_runs().count())
    return response


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


# --- archive, restore, delete ---------------------------------------------------------------------------------------


@require_POST
def run_archive(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """Puts a run into the archive."""
    run = get_object_or_404(Run, pk=run_id)
    services.archive_run(run)
    messages.success(request, f"{run.name} #{run.number} is in the archive.")
    return redirect(_back(request))


@require_POST
def run_restore(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """Takes a run out of the archive."""
    run = get_object_or_404(Run, pk=run_id)
    try:
        services.restore_run(run)
    except services.ExperimentArchived as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{run.name} #{run.number} is back from the archive.")
    return redirect(_back(request))


@require_http_methods(["GET", "POST"])
def run_delete(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """Asks first, saying how much goes; then deletes."""
    run = get_object_or_404(Run, pk=run_id)
    if request.method == "GET":
        return _confirm_deletion(request, [run])
    services.delete_run(run)
    messages.success(request, f"{run.name} #{run.number} was deleted.")
    return redirect(_back(request, gone=run))


@require_http_methods(["GET", "POST"])
def runs_bulk(request: HttpRequest) -> HttpResponse:
    """Does `action` (archive, restore, delete) to the runs `id=…`; a GET is the question before a deletion."""
    query = request.GET if request.method == "GET" else request.POST
    runs = list(Run.objects.select_related("experiment").filter(pk__in=_ids(query)).order_by("-created_at", "-id"))
    if not runs:
        return HttpResponse("No run is selected.", status=404, content_type="text/plain; charset=utf-8")
    if request.method == "GET":
        return _confirm_deletion(request, runs)
    action = query.get("action", "")
    if action not in _ACTIONS:
        return HttpResponse(f"There is no action {action!r}.", status=400, content_type="text/plain; charset=utf-8")
    do, done, undo = _ACTIONS[action]
    problems = [problem for run in runs if (problem := do(run))]
    text = problems[0] if problems else f"{counted(len(runs), 'run')} {done}"
    response = HttpResponse(status=204)
    toast = {"text": text, "failed": bool(problems), "undoAction": "" if problems else undo, "ids": [str(run.pk) for run in runs]}
    response["HX-Trigger"] = json.dumps({"runs:done": toast})
    return response


def _ids(query: QueryDict) -> list[uuid.UUID]:
    return [found for text in query.getlist("id") if (found := _uuid(text))]


def _restore(run: Run) -> str:
    try:
        services.restore_run(run)
    except services.ExperimentArchived as error:
        return str(error)
    return ""


def _quietly(service: Callable[[Run], None]) -> Callable[[Run], str]:
    def do(run: Run) -> str:
        service(run)
        return ""

    return do


# action → what to do (gives a sentence where it cannot), how the result is said, and what undoes it
_ACTIONS: dict[str, tuple[Callable[[Run], str], str, str]] = {
    "archive": (_quietly(services.archive_run), "archived", "restore"),
    "restore": (_restore, "restored", "archive"),
    "delete": (_quietly(services.delete_run), "deleted", ""),
}


def _confirm_deletion(request: HttpRequest, runs: list[Run]) -> HttpResponse:
    """The dialog before a deletion: what goes, and what it means for others."""
    previews = [services.deletion_preview(run) for run in runs]
    total = {key: sum(preview[key] for preview in previews) for key in previews[0]}
    running = sum(not run.finished_at for run in runs)
    what = f"{runs[0].name} #{runs[0].number}" if len(runs) == 1 else counted(len(runs), "run")
    goes = f"{counted(total['steps'], 'step')} with {'its log' if total['steps'] == 1 else 'their logs'}"
    goes += f" and {counted(total['artifacts'], 'output')}" if total["artifacts"] else ""
    context = {
        "runs": runs,
        "what": what,
        "goes": goes + (f" ({size(total['bytes'])})" if total["bytes"] else ""),
        "cache_entries": total["cache_entries"],
        "running": running,
        "single": runs[0] if len(runs) == 1 else None,
        "next": request.GET.get("next", ""),
    }
    return render(request, "runs/_delete.html", context)


def _back(request: HttpRequest, gone: Run | None = None) -> str:
    """Where one came from, if that is a page of ours that still exists; else the list."""
    wanted = request.POST.get("next", "")
    own = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted
    if own and not (gone and str(gone.pk) in wanted):
        return wanted
    return reverse("run-list")
