"""Experiments: the list, one with its runs, and what is done to them."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from kfdash import keyset
from kfdash.rights import by
from kfdash.words import counted
from runs import services
from runs.models import Experiment, Run, StorageState
from runs.newest import newest_of_each
from runs.views.lists import is_partial, listing

PAGE_SIZE = 50


@require_GET
def experiment_list(request: HttpRequest) -> HttpResponse:
    """All experiments, newest first, or those in the archive; `q` looks in their names."""
    context = _list_context(request)
    return render(request, "experiments/_table.html" if is_partial(request) else "experiments/list.html", context)


def _list_context(request: HttpRequest) -> dict[str, Any]:
    archived = request.GET.get("view") == "archive"
    words = request.GET.get("q", "").strip()
    found = Experiment.objects.filter(storage_state=StorageState.ARCHIVED if archived else StorageState.AVAILABLE)
    if words:
        found = found.filter(name__icontains=words)
    page = keyset.page(found, request.GET, size=PAGE_SIZE)
    marks = newest_of_each("experiment_key", [experiment.pk for experiment in page.rows], count=10)
    return {
        "page": page,
        "rows": [{"experiment": experiment, "marks": marks.get(experiment.pk, [])} for experiment in page.rows],
        "words": words,
        "archived": archived,
    }


@require_POST
def experiment_create(request: HttpRequest) -> HttpResponse:
    """Makes an experiment and opens it; the list with the form again, and why, where that cannot be."""
    name, description = (request.POST.get(field, "").strip() for field in ("name", "description"))
    try:
        if not name or len(name) > 128:
            raise services.ExperimentExists("An experiment needs a name of at most 128 characters.")
        experiment = services.create_experiment(name=name, description=description, by=by(request))
    except services.ExperimentExists as error:
        fresh = {"name": name, "description": description, "error": str(error)}
        return render(request, "experiments/list.html", _list_context(request) | {"fresh": fresh})
    return redirect("experiment-detail", experiment.pk)


@require_GET
def experiment_detail(request: HttpRequest, experiment_id: uuid.UUID) -> HttpResponse:
    """An experiment and its runs."""
    experiment = get_object_or_404(Experiment, pk=experiment_id)
    context = listing(request, Run.objects.filter(experiment_key=experiment.pk))
    context |= {"experiment": experiment, "is_default": experiment.name == services.DEFAULT_EXPERIMENT}
    context["removes"] = [] if is_partial(request) else services.retention_of(experiment)
    return render(request, "runs/_table.html" if is_partial(request) else "experiments/detail.html", context)


@require_POST
def experiment_archive(request: HttpRequest, experiment_id: uuid.UUID) -> HttpResponse:
    """Archives an experiment with all its runs."""
    experiment = get_object_or_404(Experiment, pk=experiment_id)
    services.archive_experiment(experiment)
    messages.success(request, f"{experiment.name} and its runs are in the archive.")
    return redirect("experiment-list")


@require_POST
def experiment_restore(request: HttpRequest, experiment_id: uuid.UUID) -> HttpResponse:
    """Takes an experiment out of the archive; its runs stay there until they are restored."""
    experiment = get_object_or_404(Experiment, pk=experiment_id)
    services.restore_experiment(experiment)
    messages.success(request, f"{experiment.name} is back. Its archived runs can be restored one by one.")
    return redirect("experiment-detail", experiment.pk)


@require_http_methods(["GET", "POST"])
def experiment_delete(request: HttpRequest, experiment_id: uuid.UUID) -> HttpResponse:
    """Asks first; then deletes an experiment. Its runs stay."""
    experiment = get_object_or_404(Experiment, pk=experiment_id)
    if request.method == "POST":
        try:
            services.delete_experiment(experiment)
        except services.DefaultExperimentStays as error:
            messages.error(request, str(error))
            return redirect("experiment-detail", experiment.pk)
        messages.success(request, f"{experiment.name} was deleted.")
        return redirect("experiment-list")
    count = Run.objects.filter(experiment_key=experiment.pk).count()
    goes = f"Its {counted(count, 'run')} and what they made stay." if count else "It has no runs."
    return render(request, "pipelines/_delete.html", {"what": experiment.name, "goes": goes, "address": request.path})
