"""What kfdash is in a cluster itself: the image of the pod that this process runs in."""

from __future__ import annotations

from runs.executors.base import ExecutorUnavailable
from runs.executors.kubernetes.client import Client, Refused, core_path
from runs.executors.kubernetes.config import Config


def image(config: Config, pod: str) -> str:
    """The image of a pod's first container. Raises ExecutorUnavailable."""
    client = Client(config)
    try:
        found = client.request("GET", core_path(client.namespace, "pods", pod))
        return str(found["spec"]["containers"][0]["image"])
    except Refused as refused:
        raise ExecutorUnavailable(f"The pod {pod} cannot be looked at ({refused}).") from None
    finally:
        client.close()
