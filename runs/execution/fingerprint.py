"""KFP's cache fingerprint of a task: what must be equal for its outputs to be used again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.spec.model import ArtifactType, ComponentSpec, ContainerSpec, PipelineSpec, TaskSpec
from pipelines.spec.values import to_json_text
from runs.engine.model import Values

Json = Any

_LOGS: Mapping[str, Json] = {"name": "executor-logs", "type": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}


def fingerprint(
    *,
    spec: PipelineSpec,
    component: ComponentSpec,
    task_spec: TaskSpec | None,
    inputs: Values,
    claims: Iterable[str] = (),
) -> str:
    """The fingerprint, SHA-256 in hex; with the user's own cache key, that of component and key alone.

    `inputs` are the resolved ones, without component defaults. `claims` are the names of mounted volume claims.
    """
    if task_spec is not None and task_spec.caching.key:
        return hashlib.sha256(f"{task_spec.component}\0{task_spec.caching.key}".encode()).hexdigest()
    return hashlib.sha256(to_json_text(parts(spec=spec, component=component, inputs=inputs, claims=claims)).encode()).hexdigest()


def parts(*, spec: PipelineSpec, component: ComponentSpec, inputs: Values, claims: Iterable[str] = ()) -> dict[str, Json]:
    """What the fingerprint is made of, as KFP's CacheKey in JSON: also what explains a miss."""
    executor = spec.executor_of(component)
    assert isinstance(executor, ContainerSpec), f"{component.name} has no container, and so no fingerprint"
    container = {"image": executor.image, "cmdArgs": [*executor.command, *executor.args], "pvcNames": sorted(set(claims))}
    outputs = {
        name: {"name": name, "type": _type(definition.type), "metadata": dict(definition.metadata)}
        for name, definition in component.output_artifacts.items()
    }
    whole: dict[str, Json] = {
        "containerSpec": _without_empty(container),
        "inputParameterValues": dict(inputs.parameters),
        "inputArtifactNames": {
            name: {"artifactNames": [str(value["id"]) for value in values]} for name, values in inputs.artifacts.items()
        },
        "outputParametersSpec": {name: definition.type.value for name, definition in component.output_parameters.items()},
        "outputArtifactsSpec": {"executor-logs": _LOGS, **{name: _without_empty(value) for name, value in outputs.items()}},
    }
    return _without_empty(whole)


def _type(type: ArtifactType) -> dict[str, str]:
    if type.instance_schema:
        return {"instanceSchema": type.instance_schema}
    return {"schemaTitle": type.title, "schemaVersion": type.version}


def _without_empty(message: Mapping[str, Json]) -> dict[str, Json]:
    """A message as protobuf's JSON has it: members at their defaults are left out."""
    return {name: value for name, value in message.items() if value not in ("", [], {})}
