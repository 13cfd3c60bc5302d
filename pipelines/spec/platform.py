"""The Kubernetes document of a package: read by its shape, and what of it has no meaning outside a cluster."""

from __future__ import annotations

from typing import Any

from pipelines.spec.problems import Finding, Place
from pipelines.spec.values import normalise

Json = Any


def read_executor(data: Json, place: Place) -> tuple[dict[str, Json], list[Finding]]:
    """A KubernetesExecutorConfig with camelCase keys, and what in it has the wrong shape."""
    return normalise(data), []
