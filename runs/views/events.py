"""The events of a run or of one step: in words, each with the raw record and the way to its moment."""

from __future__ import annotations

import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from runs import models
from runs.events import told, told_of
from runs.tree import Tree, step_name
from runs.views.steps import Address

MOST = 500
_MOST_RAW = 4000  # characters


def events(run: models.Run, tree: Tree, path: str, address: Address) -> dict[str, Any]:
    """What happened until the moment that is looked at, newest last."""
    query = models.RunEvent.objects.filter(run=run)
    if address.at:
        query = query.filter(number__lte=address.at)
    if path != "root":
        query = query.filter(path__startswith=path)
    rows = [event for event in query.order_by("-number")[:MOST] if _belongs(event.path, path)]
    rows.reverse()
    return {
        "events": [_shown(event, tree, path, address) for event in rows],
        "events_cut": len(rows) == MOST,
        "all_href": address.to(task="root", tab="events") if path != "root" else "",
    }


def _shown(event: models.RunEvent, tree: Tree, path: str, address: Address) -> dict[str, Any]:
    name = event_name(tree, event.path, path)
    return {
        "event": event,
        "text": told_of(event) if name else told(event),
        "name": name,
        "step_href": address.to(task=event.path, tab="events", attempt=0),
        "moment_href": address.to(at=event.number),
        "on": event.number == address.at,
        "raw": _raw(event),
    }


def _raw(event: models.RunEvent) -> str:
    text = json.dumps(event.data, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1) if event.data else ""
    return text if len(text) <= _MOST_RAW else f"{text[:_MOST_RAW]}\n… {len(text) - _MOST_RAW:,} more characters"


def _belongs(event_path: str, path: str) -> bool:
    return path == "root" or event_path == path or event_path.startswith((f"{path}/", f"{path}["))


def event_name(tree: Tree, event_path: str, path: str = "root") -> str:
    """What the step of an event is called, empty where it is the one that is looked at."""
    if event_path in ("", path):
        return ""
    try:
        return step_name(tree.spec, event_path)
    except (KeyError, AssertionError):
        return event_path
