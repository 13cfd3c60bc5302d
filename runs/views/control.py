"""What is done to a run from its page: retry in place, pause, resume, tags."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from kfdash.rights import by
from pipelines.tagging import edit_tags
from runs import services
from runs.models import Run


@require_POST
def run_retry(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """Lets a run that failed or was stopped go on where it ended."""
    return _act(request, run_id, services.retry_run, "goes on where it ended. What succeeded stays.")


@require_POST
def run_pause(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """No new steps from now on."""
    return _act(request, run_id, services.pause_run, "is paused: no new steps are started.")


@require_POST
def run_resume(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """Starts what a pause held back."""
    return _act(request, run_id, services.resume_run, "goes on.")


@require_http_methods(["GET", "POST"])
def run_tags(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """The dialog with the run's tags; posted, it saves them."""
    run = get_object_or_404(Run, pk=run_id)
    what = f"{run.name} #{run.number}"
    return edit_tags(
        request, what=what, tags=run.tags, save=lambda tags: services.set_run_tags(run, tags), filtered=reverse("run-list")
    )


def same_page(request: HttpRequest, run: Run) -> str:
    """The run's page, as it was seen."""
    query = request.POST.get("query", "")
    return reverse("run-detail", args=[run.pk]) + (query if query.startswith("?") else "")


def _act(request: HttpRequest, run_id: uuid.UUID, service: Callable[..., None], done: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    try:
        service(run, by=by(request))
    except (services.NotRetriable, services.NotPausable) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{run.name} #{run.number} {done}")
    return redirect(same_page(request, run))
