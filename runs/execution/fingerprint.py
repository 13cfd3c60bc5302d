"""KFP's cache fingerprint of a task: what must be equal for its outputs to be used again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Difference:
    """Something in which two fingerprints differ: what, a name where it has one, and both values where they can be shown."""

    what: str  # `input`, `input-artifact`, `image`, `command`, `volumes`, `output`, `cache-key`
    name: str = ""
    before: Json = None
    after: Json = None

    @property
    def sentence(self) -> str:
        """In words: "`threshold` 0.5 → 0.6"."""
        match self.what:
            case "input":
                return f"`{self.name}` {_short(self.before)} → {_short(self.after)}"
            case "input-artifact":
                return f"input artifact `{self.name}` is another one"
            case "image":
                return f"image {self.before} → {self.after}"
            case "command":
                return "code or command changed"
            case "volumes":
                return "mounted volumes changed"
            case "cache-key":
                return f"cache key {_short(self.before)} → {_short(self.after)}"
        return f"output `{self.name}` is declared differently"


def differences(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[Difference]:
    """In what the `parts` of two fingerprints differ, inputs first. A value that only one of them has is None in the other."""
    found = [
        Difference("input", name, old, new)
        for name, old, new in _unequal(before.get("inputParameterValues", {}), after.get("inputParameterValues", {}))
    ]
    found += [
        Difference("input-artifact", name)
        for name, _, _ in _unequal(before.get("inputArtifactNames", {}), after.get("inputArtifactNames", {}))
    ]
    old_container, new_container = before.get("containerSpec", {}), after.get("containerSpec", {})
    for member, what in (("image", "image"), ("cmdArgs", "command"), ("pvcNames", "volumes")):
        old, new = old_container.get(member), new_container.get(member)
        if old != new:
            found.append(Difference(what, "", old, new) if what == "image" else Difference(what))
    for section in ("outputParametersSpec", "outputArtifactsSpec"):
        found += [Difference("output", name) for name, _, _ in _unequal(before.get(section, {}), after.get(section, {}))]
    return found


def _unequal(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[tuple[str, Json, Json]]:
    pairs = ((name, before.get(name), after.get(name)) for name in dict.fromkeys([*after, *before]))
    return [(name, old, new) for name, old, new in pairs if to_json_text(old) != to_json_text(new)]


def _short(value: Json, limit: int = 60) -> str:
    if value is None:
        return "nothing"
    text = to_json_text(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _type(type: ArtifactType) -> dict[str, str]:
    if type.instance_schema:
        return {"instanceSchema": type.instance_schema}
    return {"schemaTitle": type.title, "schemaVersion": type.version}


def _without_empty(message: Mapping[str, Json]) -> dict[str, Json]:
    """A message as protobuf's JSON has it: members at their defaults are left out."""
    return {name: value for name, value in message.items() if value not in ("", [], {})}
