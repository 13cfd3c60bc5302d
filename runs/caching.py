"""The cache as the driver and a plan ask it: a task's fingerprint, and the newest entry for one."""

from __future__ import annotations

from typing import Any

from pipelines.spec.model import PipelineSpec
from runs import models
from runs.engine.model import Task
from runs.execution import fingerprint
from runs.execution.order import mounted_claims


def key_of(spec: PipelineSpec, resource_name: str, task: Task) -> str:
    """The fingerprint of a step whose inputs are there. `resource_name` is its run's."""
    assert task.inputs is not None, f"{task.path} was looked up in the cache without inputs"
    task_spec, component = spec.at(task.path)
    claims = mounted_claims(spec, component, task.inputs, resource_name)
    return fingerprint.fingerprint(spec=spec, component=component, task_spec=task_spec, inputs=task.inputs, claims=claims)


def parts_of(spec: PipelineSpec, resource_name: str, task: Task) -> dict[str, Any]:
    """What that fingerprint is made of."""
    assert task.inputs is not None, f"{task.path} has no inputs, and so no fingerprint"
    _, component = spec.at(task.path)
    claims = mounted_claims(spec, component, task.inputs, resource_name)
    return fingerprint.parts(spec=spec, component=component, inputs=task.inputs, claims=claims)


def find(namespace: str, pipeline_name: str, key: str) -> models.CacheEntry | None:
    """The newest entry for a fingerprint. Entries whose artifacts are gone are deleted, and so are not found."""
    entries = models.CacheEntry.objects.filter(namespace=namespace, pipeline_name=pipeline_name, fingerprint=key)
    return entries.order_by("-created_at", "-id").first()
