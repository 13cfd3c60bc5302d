"""The pod of a step, in the panel: asked of the cluster when the rest of the page is there already."""

from __future__ import annotations

import uuid
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_safe

from pipelines import specifications
from pipelines.source import marked
from pipelines.spec.model import ROOT
from runs import models, services

LATEST = 6  # events beside the reason
_SAYS_LITTLE = ("MissingClusterDNS",)  # said of every pod of some clusters


def address(run: models.Run, path: str, attempt: models.Attempt | None) -> str:
    """Where the pod of an attempt is shown; without one, the pod that will be made."""
    query = {"task": path} | ({"attempt": attempt.number} if attempt is not None else {})
    return f"{reverse('run-pod', args=[run.pk])}?{urlencode(query)}"


@require_safe
def run_pod(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """The pod of attempt `attempt` of step `task`, or the one that will be made; `part=events` the cluster's events alone."""
    if not services.has_pods():
        raise Http404("Steps are no pods here.")
    run = get_object_or_404(models.Run, pk=run_id)
    path, number = request.GET.get("task", ""), request.GET.get("attempt", "")
    only_events = request.GET.get("part") == "events"
    spec = specifications.load(run.specification_id)
    try:
        if path.partition("/")[0] != ROOT:
            raise KeyError(path)
        spec.at(path)
    except (KeyError, AssertionError):
        raise Http404(f"The run has no step at {path!r}.") from None
    context = {"run": run, "path": path, "pod": None, "problem": ""}
    try:
        if number.isdecimal() and len(number) <= 5 and int(number):
            context["pod"] = services.pod_of(run, path, int(number))
        elif not only_events:
            context["pod"] = services.planned_pod(spec, path, run)
    except services.PodUnknown as error:
        context["problem"] = str(error)
    return render(request, "runs/_podevents.html" if only_events else "runs/_pod.html", context | shown(context["pod"]))


def shown(pod: services.PodShown | None) -> dict[str, object]:
    """What templates show of a pod: its text with the syntax marked, events with their times read."""
    if pod is None:
        return {}
    events = [{**event, "time": parse_datetime(str(event["at"])) if event["at"] else None} for event in pod.events]
    telling = [event for event in events if event["reason"] not in _SAYS_LITTLE]
    return {"pod_text": marked(pod.text, "yaml"), "pod_events": events, "latest": telling[-LATEST:]}
