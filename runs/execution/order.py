"""Makes an order complete: from what the engine decided to all that an executor needs."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pipelines.spec import paths
from pipelines.spec.constants import run_constants, task_uuid
from pipelines.spec.model import ArtifactType, ComponentSpec, ContainerSpec, PipelineSpec
from pipelines.spec.values import WORKSPACE_PATH, normalise, to_text
from runs.engine.model import ArtifactValue, Run, Task, Values
from runs.execution import locations
from runs.execution.attempt import AttemptOrder
from runs.execution.platform import InvalidOrder, Resolver, resolve_platform, task_config

__all__ = [
    "AttemptOrder",
    "InvalidOrder",
    "attempt_name",
    "complete",
    "executor_input",
    "mounted_claims",
    "task_root",
    "uses_workspace",
    "workspace_name",
]

Json = Any

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_WHOLE_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']*)'\]\}\}")
_WORKSPACE_MARKS = (WORKSPACE_PATH, "{{$.workspace_path}}")


def attempt_name(run_id: str, path: str, number: int) -> str:
    """The attempt's name: at most 52 characters of `a-z 0-9 -`, the same every time, no other attempt's."""
    slug = _NOT_IN_NAMES.sub("-", paths.key(path).lower()).strip("-")[:28].strip("-") or "task"
    digest = hashlib.sha256(f"{run_id}\0{path}\0{number}".encode()).digest()
    return f"{slug}-{base64.b32encode(digest[:10]).decode().lower()}-{number}"


def complete(
    *,
    spec: PipelineSpec,
    component: ComponentSpec,
    run: Run,
    task: Task,
    number: int,
    resolve: Resolver | None = None,
    service_account: str = "",
    pod_template: Mapping[str, Json] | None = None,
) -> AttemptOrder:
    """The complete order for attempt `number` of a container task whose inputs are resolved.

    `resolve` gives the value of an input-parameter spec of the
    platform document (`{"componentInputParameter": "x"}`, …) in the scope of the enclosing DAG; without it, constants
    alone are resolved. Raises InvalidOrder (a ValueError) with a sentence for what no other try can mend.
    """
    container = spec.executor_of(component)
    if not isinstance(container, ContainerSpec):
        raise InvalidOrder(f"The task '{paths.key(task.path)}' has no container to run.")
    platform = resolve_platform(spec.platform.executors.get(container.label, {}), resolve)
    inputs = task.inputs or Values()
    parameters = with_defaults(component, inputs)
    resources = _resources(container, parameters)
    platform, config = task_config(component, platform, container.env, resources)
    parameters.update(config.inputs)
    built = executor_input(component, inputs.artifacts, parameters, run, task.path)
    name = attempt_name(run.id, task.path, number)
    in_workspace = uses_workspace(spec, component, Values(parameters, inputs.artifacts))
    return AttemptOrder(
        name=name,
        run_id=run.id,
        path=task.path,
        number=number,
        image=_image(container, parameters),
        command=container.command,
        args=container.args,
        env=(("KFP_POD_NAME", name), ("KFP_RETRY_INDEX", str(number - 1)), *(container.env if config.env_applies else ())),
        executor_input=built,
        output_parameters={key: definition.type.value for key, definition in component.output_parameters.items()},
        output_artifacts={key: definition.type.title for key, definition in component.output_artifacts.items()},
        log=f"{run.id}/{name}",
        timeout=_timeout(platform),
        resources=resources if config.resources_apply else {},
        workspace=run.id if in_workspace else "",
        platform=platform,
        placeholders=_constants(run, task.path),
        workspace_claim=_workspace_claim(spec, run) if in_workspace else {},
        service_account=service_account,
        pod_template=pod_template or {},
    )


def _workspace_claim(spec: PipelineSpec, run: Run) -> dict[str, Json]:
    """The run's workspace as a volume claim: its name, and the platform document's `workspace` as it is there."""
    return {"name": workspace_name(run.resource_name), "workspace": dict(spec.platform.pipeline["workspace"])}


def workspace_name(resource_name: str) -> str:
    """The name of the volume claim that is a run's workspace."""
    return f"{resource_name}-kfp-workspace"


def with_defaults(component: ComponentSpec, inputs: Values) -> dict[str, Json]:
    """The parameters that are supplied, and the component's defaults for the others; null means not supplied."""
    found = {name: normalise(value) for name, value in inputs.parameters.items() if value is not None}
    for name, definition in component.input_parameters.items():
        if name not in found and definition.has_default and definition.default is not None:
            found[name] = normalise(definition.default)
    return found


def executor_input(
    component: ComponentSpec,
    artifacts: Mapping[str, list[ArtifactValue]],
    parameters: Mapping[str, Json],
    run: Run,
    path: str,
) -> dict[str, Json]:
    """KFP's ExecutorInput as JSON in camelCase, with canonical URIs and with container paths for files."""
    root = task_root(run, path)
    inputs: dict[str, Json] = {}
    if parameters:
        inputs["parameterValues"] = dict(parameters)
    if any(artifacts.values()):
        inputs["artifacts"] = {
            name: {"artifacts": [_input_artifact(component, name, value) for value in values]}
            for name, values in artifacts.items()
            if values
        }
    outputs: dict[str, Json] = {}
    if component.output_parameters:
        outputs["parameters"] = {
            name: {"outputFile": f"{locations.PARAMETERS_FOLDER}/{_segment(name)}"} for name in component.output_parameters
        }
    if component.output_artifacts:
        outputs["artifacts"] = {
            name: {
                "artifacts": [
                    {
                        "name": name,
                        "uri": f"{root}/{_segment(name)}",
                        "type": _type(definition.type),
                        "metadata": dict(normalise(definition.metadata)),
                    }
                ]
            }
            for name, definition in component.output_artifacts.items()
        }
    folder = locations.container_path(root) if "://" in root else None
    outputs["outputFile"] = f"{folder}/{locations.OUTPUT_FILE}" if folder else locations.FALLBACK_OUTPUT_FILE
    return {"inputs": inputs, "outputs": outputs}


def task_root(run: Run, path: str) -> str:
    """The URI under which all outputs of a task lie."""
    root = run.pipeline_root.partition("?")[0].rstrip("/")
    return f"{root}/{_segment(paths.key(path))}/{task_uuid(run.id, path)}"


def _segment(name: str) -> str:
    """A key or name as one segment of a URI and as a file name; ordinary ones stay as they are."""
    if name in (".", ".."):
        return name.replace(".", "%2E")
    return quote(name, safe=" !$&'()*+,:;=@[]~") if not re.fullmatch(r"[\w.-]+", name, re.ASCII) else name


def _input_artifact(component: ComponentSpec, name: str, value: ArtifactValue) -> dict[str, Json]:
    definition = component.input_artifacts.get(name)
    if value["type"]:
        type = {"schemaTitle": value["type"], "schemaVersion": value["schema_version"] or "0.0.1"}
    else:
        type = _type(definition.type if definition else ArtifactType())
    found = {"name": str(value["id"] or value["name"]), "uri": value["uri"], "type": type, "metadata": dict(value["metadata"])}
    if value["custom_path"]:
        found["customPath"] = value["custom_path"]
    return found


def _type(type: ArtifactType) -> dict[str, str]:
    if type.instance_schema:
        return {"instanceSchema": type.instance_schema}
    return {"schemaTitle": type.title, "schemaVersion": type.version}


def _image(container: ContainerSpec, parameters: Mapping[str, Json]) -> str:
    found = _WHOLE_PARAMETER.search(container.image)
    if not found:
        return container.image
    value = parameters.get(found.group(1))
    if not isinstance(value, str) or not value:
        raise InvalidOrder(f"The image is to come from the input '{found.group(1)}', which is not a text with an image's name.")
    return value


def _resources(container: ContainerSpec, parameters: Mapping[str, Json]) -> dict[str, str]:
    """Quantities by the document's names; what is empty after its parameter was put in is left out."""
    spec = container.resources
    quantities = {
        "cpuLimit": spec.cpu_limit,
        "memoryLimit": spec.memory_limit,
        "cpuRequest": spec.cpu_request,
        "memoryRequest": spec.memory_request,
        "acceleratorType": spec.accelerator_type,
        "acceleratorCount": spec.accelerator_count,
    }
    found = {}
    for name, text in quantities.items():
        if placeholder := _WHOLE_PARAMETER.search(text):
            value = parameters.get(placeholder.group(1))
            text = to_text(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
        if text:
            found[name] = text
    return found


def _timeout(platform: Mapping[str, Json]) -> float | None:
    try:
        seconds = float(platform.get("activeDeadlineSeconds") or 0)
    except (TypeError, ValueError):
        raise InvalidOrder("The step's time limit (activeDeadlineSeconds) is not a number of seconds.") from None
    return seconds if seconds > 0 else None


def uses_workspace(spec: PipelineSpec, component: ComponentSpec, inputs: Values) -> bool:
    """Whether the step sees the run's workspace: there is one, and its argument list, a value or an artifact is about it."""
    if not spec.platform.pipeline.get("workspace"):
        return False
    if any(value["metadata"].get(locations.IN_WORKSPACE) is True for values in inputs.artifacts.values() for value in values):
        return True
    container = spec.executor_of(component)
    texts = [*container.command, *container.args] if isinstance(container, ContainerSpec) else []
    return _mentions_workspace([texts, dict(inputs.parameters)])


def mounted_claims(spec: PipelineSpec, component: ComponentSpec, inputs: Values, resource_name: str) -> tuple[str, ...]:
    """Names of the volume claims that the step mounts, as far as the document says them; they are part of its fingerprint.

    A mount that cannot be is one that no other step has: the order is refused when it is made complete.
    """
    mounts = spec.platform.executors.get(component.executor, {}).get("pvcMount", [])
    try:
        mounts = resolve_platform({"pvcMount": mounts}, None).get("pvcMount", [])
        names = [entry["pvcName"] for entry in mounts if isinstance(entry.get("pvcName"), str)]
    except InvalidOrder:
        names = [to_text(mounts)]
    if uses_workspace(spec, component, inputs):
        names.append(workspace_name(resource_name))
    return tuple(sorted(set(names)))


def _mentions_workspace(value: Json) -> bool:
    if isinstance(value, str):
        return any(mark in value for mark in _WORKSPACE_MARKS)
    if isinstance(value, list):
        return any(_mentions_workspace(item) for item in value)
    if isinstance(value, dict):
        return any(_mentions_workspace(item) for item in value.values())
    return False


def _constants(run: Run, path: str) -> dict[str, str]:
    return run_constants(
        run_id=run.id,
        run_name=run.name,
        resource_name=run.resource_name,
        pipeline_root=run.pipeline_root,
        task_key=paths.key(path),
        task_uuid=task_uuid(run.id, path),
        created_at=run.created_at,
        scheduled_at=run.scheduled_at,
    )
