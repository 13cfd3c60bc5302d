"""Orders and an installation for tests about pods."""

from __future__ import annotations

import dataclasses
from typing import Any

from runs.execution.attempt import AttemptOrder
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.manifest import manifest
from runs.store import StoreOptions
from tests.executors.watching import order

Json = Any

CONFIG = Config(
    image="kfdash:dev",
    launcher_url="http://kfdash:8001",
    key=b"k" * 32,
    installation="1234abcd",
    results_root="minio://kfdash/.results",
    store_options=StoreOptions("/artifacts"),
)


def step(platform: dict[str, Json] | None = None, **fields: Json) -> AttemptOrder:
    """A complete order with these settings of the platform document, and other fields of the order."""
    return dataclasses.replace(order(run_id="run-1"), platform=platform or {}, **fields)


def pod_of(platform: dict[str, Json] | None = None, config: Config = CONFIG, **fields: Json) -> dict[str, Json]:
    """The pod of such an order."""
    return manifest(step(platform, **fields), config, "a-token")


def container(pod: dict[str, Json], name: str = "main") -> dict[str, Json]:
    """One of its containers by name."""
    spec = pod["spec"]
    found: dict[str, Json] = next(c for c in [*spec["containers"], *spec.get("initContainers", [])] if c["name"] == name)
    return found


def volume(pod: dict[str, Json], name: str) -> dict[str, Json]:
    """One of its volumes by name."""
    found: dict[str, Json] = next(v for v in pod["spec"]["volumes"] if v["name"] == name)
    return found


def mounts(pod: dict[str, Json], name: str = "main") -> dict[str, str]:
    """Path → volume of what a container mounts."""
    return {mount["mountPath"]: mount["name"] for mount in container(pod, name).get("volumeMounts", [])}
