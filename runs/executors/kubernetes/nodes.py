"""The cluster's nodes, where kfdash may read them: what cannot be scheduled is then explained node by node."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from runs.executors.base import ExecutorUnavailable
from runs.executors.kubernetes.client import Client, Refused

Json = Any

_FRESH = 15.0  # seconds
_REFUSED = 600.0  # seconds until it is asked again by somebody who may not
_MOST = 50  # in larger clusters the scheduler's counts say more than names


class Nodes:
    """What was seen of the nodes a moment ago. Safe in threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._seen: Sequence[Mapping[str, Json]] = ()
        self._until = 0.0  # monotonic

    def for_pod(self, pod: Mapping[str, Json]) -> Sequence[Mapping[str, Json]]:
        """The nodes that a pod waits for; none for a pod that has one, in a large cluster, and where they may not be read."""
        if (pod.get("spec") or {}).get("nodeName") or not _unscheduled(pod):
            return ()
        with self._lock:
            if time.monotonic() > self._until:
                self._until = time.monotonic() + _FRESH
                self._seen = self._read()
            return self._seen

    def _read(self) -> Sequence[Mapping[str, Json]]:
        try:
            answer = self._client.request("GET", "/api/v1/nodes", query={"limit": _MOST})
        except Refused:
            self._until = time.monotonic() + _REFUSED
            return ()
        except ExecutorUnavailable:
            return ()
        return () if answer["metadata"].get("continue") else answer["items"]


def _unscheduled(pod: Mapping[str, Json]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "PodScheduled" and one.get("status") == "False" for one in conditions)
