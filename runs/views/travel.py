"""Time travel: the bar with the slider over a run's events, and the words for the moment it stands at."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from runs import models
from runs.events import told, told_of
from runs.replay import Moment
from runs.views.events import event_name
from runs.views.steps import Address

_FAILURES = ("task.failed", "attempt.failed", "attempt.lost", "run.failed")
_MOST_TICKS = 200


def context(run: models.Run, seen: Moment, address: Address) -> dict[str, Any]:
    """The context of `runs/_travel.html`."""
    failed = models.RunEvent.objects.filter(run=run, kind__in=_FAILURES).order_by("number").values_list("number", flat=True)
    name = event_name(seen.tree, seen.event.path)
    text = told_of(seen.event) if name else told(seen.event)
    return {
        "number": seen.number,
        "of": seen.of,
        "at": seen.at,
        "name": name,
        "text": text,
        "step_href": address.to(task=seen.event.path, tab="overview", attempt=0) if name else "",
        "first": address.to(at=1),
        "previous": address.to(at=seen.number - 1) if seen.number > 1 else "",
        "next": address.to(at=seen.number + 1) if seen.number < seen.of else "",
        "now": address.to(at=0),
        "ticks": [round((number - 1) / max(seen.of - 1, 1) * 100, 2) for number in failed[:_MOST_TICKS]],
        "hidden": parse_qsl(address.to(at=0)[1:]),
    }
