"""The platform document: what it refers to, and what a workspace needs. (Its shape is checked by `platform`.)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.spec.build import EXECUTORS, KUBERNETES
from pipelines.spec.check.scope import Scope, scopes
from pipelines.spec.model import PipelineSpec
from pipelines.spec.problems import Finding, Place

Json = Any

_CLAIM_SOURCES = frozenset({"pvcNameParameter", "constant", "taskOutputParameter", "componentInputParameter"})


def check(spec: PipelineSpec) -> Iterator[Finding]:
    """References into the enclosing DAG, claims without a name, the workspace."""
    for scope in scopes(spec):
        for task in scope.dag.tasks.values():
            component = spec.components.get(task.component)
            config = spec.platform.executors.get(component.executor) if component else None
            if component is not None and config:
                yield from _references(scope, config, (*KUBERNETES, *EXECUTORS, component.executor))
    for label, config in spec.platform.executors.items():
        place = (*KUBERNETES, *EXECUTORS, label)
        for index, mount in enumerate(config.get("pvcMount", ())):
            if not _CLAIM_SOURCES & mount.keys():
                yield Finding((*place, "pvcMount", index), "This does not say which claim to mount (pvcNameParameter).")
    yield from _workspace(spec.platform.pipeline)


def _references(scope: Scope, value: Json, place: Place) -> Iterator[Finding]:
    """Everything in a configuration that names an input or a task's output, in the scope of the enclosing DAG."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(scope, item, (*place, index))
    elif isinstance(value, Mapping):
        name = value.get("componentInputParameter")
        if isinstance(name, str) and name and name not in scope.component.input_parameters:
            yield Finding((*place, "componentInputParameter"), f"There is no input parameter `{name}` in {scope.title}.")
        output = value.get("taskOutputParameter")
        if isinstance(output, Mapping):
            yield from _output(scope, output, (*place, "taskOutputParameter"))
        for key, item in value.items():
            yield from _references(scope, item, (*place, key))


def _output(scope: Scope, output: Mapping[str, Json], place: Place) -> Iterator[Finding]:
    producer, key = str(output.get("producerTask", "")), str(output.get("outputParameterKey", ""))
    component = scope.component_of(producer)
    if producer not in scope.dag.tasks:
        yield Finding(place, scope.missing_task(producer))
    elif component and key not in component.output_parameters:
        yield Finding(place, f"The task `{producer}` has no output parameter `{key}`.")


def _workspace(config: Mapping[str, Json]) -> Iterator[Finding]:
    place: Place = (*KUBERNETES, "pipelineConfig")
    if config.get("activeDeadlineSeconds", 0) < 0:
        yield Finding((*place, "activeDeadlineSeconds"), "The run's time limit is below zero.")
    if "workspace" not in config:
        return
    workspace = config["workspace"]
    here = (*place, "workspace")
    if not workspace.get("size"):
        yield Finding(here, "The workspace has no size.")
    patch = workspace.get("kubernetes", {}).get("pvcSpecPatch", {})
    if patch.get("storageClassName") == "":
        yield Finding(
            (*here, "kubernetes", "pvcSpecPatch"), "The workspace's storageClassName is empty; leave it out for the default."
        )
