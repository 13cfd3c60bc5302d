"""What people are shown of an attempt's pod: its document without noise and secrets, and what the cluster tells of it.

While there is a pod the cluster is asked; when its end is recorded a copy is laid beside the result documents, so that a run's
page can show it long after the pod is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import obstore

from runs.executors.base import AttemptKey, ExecutorUnavailable
from runs.executors.kubernetes.client import Client, Refused, core_path
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.diagnosis.podview import when
from runs.executors.kubernetes.shown import shown, shown_event
from runs.store import NotReadable, explained, open_store

Json = Any

_MOST_EVENTS = 50
_LARGEST = 4 * 1024 * 1024  # bytes of a copy


def describe(client: Client, config: Config, key: AttemptKey) -> dict[str, Json] | None:
    """`{"pod", "events", "gone"}` of an attempt; None where there never was a pod. Raises ExecutorUnavailable."""
    pod = client.found("GET", core_path(client.namespace, "pods", key.name))
    if pod is None:
        return kept(config, key)
    return {"pod": shown(pod), "events": events_of(client, key.name), "gone": False}


def events_of(client: Client, name: str) -> list[dict[str, Json]]:
    """What the cluster tells of a pod, oldest first; nothing where kfdash may not read events."""
    query = {"fieldSelector": f"involvedObject.kind=Pod,involvedObject.name={name}", "limit": _MOST_EVENTS}
    try:
        found = client.request("GET", core_path(client.namespace, "events"), query=query)["items"]
    except Refused:
        return []
    return [shown_event(event) for event in sorted(found, key=when)]


def keep(config: Config, key: AttemptKey, pod: Mapping[str, Json], events: Sequence[Mapping[str, Json]]) -> None:
    """Lays a copy beside the result documents. Raises ExecutorUnavailable where the store does not answer."""
    text = json.dumps({"pod": shown(pod), "events": list(events)}, ensure_ascii=False, separators=(",", ":"))
    uri = _uri(config, key)
    try:
        opened = open_store(uri, config.store_options)
        with explained(uri):
            obstore.put(opened.store, opened.key, text.encode())
    except NotReadable as error:
        raise ExecutorUnavailable(f"The store of results does not answer: {error}") from None


def kept(config: Config, key: AttemptKey) -> dict[str, Json] | None:
    """The copy of a pod that is gone; None where there is none. Raises ExecutorUnavailable."""
    uri = _uri(config, key)
    try:
        opened = open_store(uri, config.store_options)
        with explained(uri):
            try:
                found = obstore.get(opened.store, opened.key)
            except FileNotFoundError:
                return None
            text = bytes(found.bytes()) if found.meta["size"] <= _LARGEST else b""
    except NotReadable as error:
        raise ExecutorUnavailable(f"The store of results does not answer: {error}") from None
    try:
        document = json.loads(text)
        return {"pod": dict(document["pod"]), "events": list(document["events"]), "gone": True}
    except (ValueError, KeyError, TypeError):
        return None


def _uri(config: Config, key: AttemptKey) -> str:
    return f"{config.results_root}/{key.run_id}/{key.name}.pod.json"
