"""A pod and its events as people read them. Pure: no cluster, no package of Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runs.executors.kubernetes.diagnosis.podview import when
from runs.executors.kubernetes.names import TOKEN

Json = Any

HIDDEN = "(hidden)"
_NOISE = ("managedFields", "selfLink", "resourceVersion", "generation", "generateName", "ownerReferences")


def shown(pod: Mapping[str, Json]) -> dict[str, Json]:
    """A pod's document as people read it: without what only machines need, and without its attempt's token."""
    metadata = {name: value for name, value in pod.get("metadata", {}).items() if name not in _NOISE}
    if TOKEN in metadata.get("annotations", {}):
        metadata["annotations"] = {**metadata["annotations"], TOKEN: HIDDEN}
    rest = {name: value for name, value in pod.items() if name not in ("metadata", "apiVersion", "kind")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **rest}


def shown_event(event: Mapping[str, Json]) -> dict[str, Json]:
    """An event as people read it: `{at, warning, reason, message, count, by}`; `at` is ISO time."""
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    return {
        "at": when(event),
        "warning": event.get("type") == "Warning",
        "reason": str(event.get("reason") or ""),
        "message": str(event.get("message") or ""),
        "count": count if isinstance(count, int) else 1,
        "by": str((event.get("source") or {}).get("component") or event.get("reportingComponent") or ""),
    }
