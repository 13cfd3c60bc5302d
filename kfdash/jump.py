"""Jump: a few letters lead to a run, a pipeline or an experiment."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from kfdash.containing import contains
from pipelines.models import Pipeline
from runs.models import Experiment, Run, StorageState
from runs.views.lists import NAMESPACE

_MOST = 6  # of each kind


@dataclass(frozen=True)
class Goal:
    """A place to jump to; `state` of a run, else `icon`."""

    name: str
    address: str
    kind: str
    icon: str = ""
    state: str = ""


@require_GET
def jump(request: HttpRequest) -> HttpResponse:
    """Where the letters of `q` may lead, as a list for the dialog: `#1284`, a part of a name."""
    words = request.GET.get("q", "").strip()
    goals = [*_runs(words), *_pipelines(words), *_experiments(words)]
    return render(request, "_jump.html", {"goals": goals, "words": words})


def _runs(words: str) -> list[Goal]:
    number = words.removeprefix("#")
    is_number = number.isascii() and number.isdigit() and len(number) < 19
    wanted = Q(number=int(number)) if is_number else contains("name", words)
    found = Run.objects.filter(wanted, namespace=NAMESPACE, storage_state=StorageState.AVAILABLE).order_by("-created_at", "-id")
    rows = found.only("pk", "name", "number", "state", "created_at")[:_MOST]
    return [Goal(f"{run.name} #{run.number}", reverse("run-detail", args=[run.pk]), "run", state=run.state) for run in rows]


def _pipelines(words: str) -> list[Goal]:
    rows = Pipeline.objects.filter(contains("display_name", words), namespace=NAMESPACE).order_by("-created_at", "-id")[:_MOST]
    return [Goal(row.display_name, reverse("pipeline-detail", args=[row.pk]), "pipeline", icon="pipe") for row in rows]


def _experiments(words: str) -> list[Goal]:
    found = Experiment.objects.filter(contains("name", words), namespace=NAMESPACE, storage_state=StorageState.AVAILABLE)
    rows = found.order_by("-created_at", "-id")[:_MOST]
    return [Goal(row.name, reverse("experiment-detail", args=[row.pk]), "experiment", icon="exp") for row in rows]
