"""The list of runs: filter bar, pages, archive; and what is done to a run from it (`bulk`: to many)."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from kfdash import keyset
from pipelines.samples import SAMPLES
from runs import filters, services
from runs.models import Run, StorageState
from runs.views.bulk import confirm_deletion, run_ids
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
    found, loaded = with_pipeline(filters.apply(chosen, tokens)), with_pipeline(Run.objects.all())
    page = keyset.page(found, request.GET, size=PAGE_SIZE, loaded=loaded)
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
    rows = run_rows(list(with_pipeline(Run.objects.filter(pk__in=run_ids(request.GET)[:PAGE_SIZE]))))
    response = render(request, "runs/_rows.html", {"rows": rows})
    response["X-Active-Runs"] = str(active_runs().count())
    return response


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
        return confirm_deletion(request, [run])
    services.delete_run(run)
    messages.success(request, f"{run.name} #{run.number} was deleted.")
    return redirect(_back(request, gone=run))


def _back(request: HttpRequest, gone: Run | None = None) -> str:
    """Where one came from, if that is a page of ours that still exists; else the list."""
    wanted = request.POST.get("next", "")
    own = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted
    if own and not (gone and str(gone.pk) in wanted):
        return wanted
    return reverse("run-list")
