"""Claims of devices that pods wait for: nobody but the API tells that one is not there."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from runs.executors.base import ExecutorUnavailable
from runs.executors.kubernetes.client import Client, Refused

Json = Any

_REFUSED = 600.0  # seconds until it is asked again by somebody who may not


class DeviceClaims:
    """Whether claims that pods name are there. Safe in threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._until = 0.0  # monotonic; before it nothing is asked

    def absent(self, pod: Mapping[str, Json]) -> tuple[str, ...]:
        """The claims that a pod names and that do not exist; none for a pod that the scheduler looks at already."""
        named = [claim["resourceClaimName"] for claim in _claims(pod) if claim.get("resourceClaimName")]
        if not named or (pod.get("status") or {}).get("conditions"):
            return ()
        return tuple(name for name in named if not self._is_there(name))

    def _is_there(self, name: str) -> bool:
        """Also where that cannot be known."""
        with self._lock:
            if time.monotonic() < self._until:
                return True
        path = f"/apis/resource.k8s.io/v1/namespaces/{self._client.namespace}/resourceclaims"
        try:
            self._client.request("GET", f"{path}/{name}")
        except Refused as refused:
            if refused.status == 404 and refused.reason == "NotFound":
                return False
            with self._lock:
                self._until = time.monotonic() + _REFUSED
        except ExecutorUnavailable:
            pass
        return True


def _claims(pod: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    return (pod.get("spec") or {}).get("resourceClaims") or []
