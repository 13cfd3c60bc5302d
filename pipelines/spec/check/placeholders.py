"""Texts that a run fills in: commands, images, resources, constants, importers' URIs and metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.spec.build import EXECUTORS
from pipelines.spec.check.scope import components, scopes, tasks
from pipelines.spec.model import ComponentSpec, Constant, ContainerSpec, ImporterSpec, PipelineSpec
from pipelines.spec.problems import Finding, Place, suggestion

Json = Any

_PLACEHOLDER = re.compile(r"\{\{\$[^{}]*\}\}")
_KEY = r"\[(?P<quote>['\"])(?P<name>.*?)(?P=quote)\]"
_ARTIFACT = r"(?:\.uri|\.path|\.metadata(?:\[(?:'[^']*'|\"[^\"]*\")\])?)?"
_INPUT_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters" + _KEY + r"\}\}")
_REFERENCES = {
    "input parameter": _INPUT_PARAMETER,
    "input artifact": re.compile(r"\{\{\$\.inputs\.artifacts" + _KEY + _ARTIFACT + r"\}\}"),
    "output parameter": re.compile(r"\{\{\$\.outputs\.parameters" + _KEY + r"\.output_file\}\}"),
    "output artifact": re.compile(r"\{\{\$\.outputs\.artifacts" + _KEY + _ARTIFACT + r"\}\}"),
}
RUN_PLACEHOLDERS = frozenset(
    f"{{{{$.{name}}}}}"
    for name in (
        "pipeline_job_name",
        "pipeline_job_resource_name",
        "pipeline_job_uuid",
        "pipeline_job_create_time_utc",
        "pipeline_job_schedule_time_utc",
        "pipeline_task_name",
        "pipeline_task_uuid",
        "pipeline_root",
        "pipeline_google_cloud_location",
        "pipeline_google_cloud_project_id",
        "workspace_path",
    )
)
_COMMAND_PLACEHOLDERS = RUN_PLACEHOLDERS | {"{{$}}", "{{$.outputs.output_file}}", "{{$.outputMetadataUri}}"}
# Vertex AI's pipelines ask for escaped text so; it stands in packages that are otherwise fine, and stays as it is.
_VERTEX = re.compile(r"\{\{\$\.json_escape\[[0-9]+\][^{}]*\}\}")
_STRUCTURE = re.compile(r'\s*\{\s*"(IfPresent|Concat)"\s*:')
_PYTHON_EXECUTOR = "kfp.dsl.executor_main"


def check(spec: PipelineSpec) -> Iterator[Finding]:
    """All texts of all executors, seen from each component that uses them, and all constants."""
    extras: dict[str, set[str]] = {}  # component → inputs that its tasks have, declared or not
    for task, _ in tasks(spec):
        extras.setdefault(task.component, set()).update(task.parameters)
    for component, _ in components(spec):
        executor = spec.executors.get(component.executor)
        names = {
            "input parameter": {*component.input_parameters, *extras.get(component.name, ())},
            "input artifact": set(component.input_artifacts),
            "output parameter": set(component.output_parameters),
            "output artifact": set(component.output_artifacts),
        }
        if isinstance(executor, ContainerSpec):
            yield from _container(executor, component, names)
        elif isinstance(executor, ImporterSpec):
            yield from _importer(executor, names["input parameter"])
    yield from _constants(spec)


def _container(executor: ContainerSpec, component: ComponentSpec, names: Mapping[str, set[str]]) -> Iterator[Finding]:
    place = (*EXECUTORS, executor.label, "container")
    # The command of a Python component carries the user's source, in which anything may stand.
    is_python = any(_PYTHON_EXECUTOR in element for element in executor.command)
    for section, elements in (("command", () if is_python else executor.command), ("args", executor.args)):
        for index, element in enumerate(elements):
            here = (*place, section, index)
            yield from _text(element, _COMMAND_PLACEHOLDERS, names, here)
            if _STRUCTURE.match(element):
                yield from _structure_text(element, component, names, here)
    settings: dict[Place, str] = {("image",): executor.image}
    for name in ("cpu_limit", "memory_limit", "cpu_request", "memory_request", "accelerator_type", "accelerator_count"):
        settings[("resources", name)] = getattr(executor.resources, name)
    inputs = {"input parameter": names["input parameter"]}
    for where, text in settings.items():
        yield from _text(text, frozenset(), inputs, (*place, *where))


def _importer(executor: ImporterSpec, inputs: set[str]) -> Iterator[Finding]:
    place = (*EXECUTORS, executor.label, "importer")
    names = {"input parameter": inputs}
    yield from _text(executor.uri, RUN_PLACEHOLDERS, names, (*place, "artifactUri"))
    for text in _texts(executor.metadata):
        yield from _text(text, RUN_PLACEHOLDERS, names, (*place, "metadata"))


def _constants(spec: PipelineSpec) -> Iterator[Finding]:
    for scope in scopes(spec):
        for task in scope.dag.tasks.values():
            names = {"input parameter": set(task.parameters)}
            for name, given in task.parameters.items():
                if isinstance(given.source, Constant):
                    here = (*scope.task_place(task.key), "inputs", "parameters", name, "runtimeValue")
                    for text in _texts(given.source.value):
                        yield from _text(text, RUN_PLACEHOLDERS, names, here)


def _texts(value: Json) -> Iterator[str]:
    """All strings of a value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)


def _text(text: str, plain: frozenset[str], names: Mapping[str, set[str]], place: Place) -> Iterator[Finding]:
    """Every placeholder of a text is one that is filled in there, and refers to something that exists."""
    if "{{$" not in text:
        return
    for found in _PLACEHOLDER.findall(text):
        if found in plain or (plain and _VERTEX.fullmatch(found)):
            continue
        for kind, known in names.items():
            match = _REFERENCES[kind].fullmatch(found)
            if match is None:
                continue
            name = match.group("name")
            if name not in known:
                yield Finding(
                    place, f"The placeholder `{found}` refers to the {kind} `{name}`, which is not there{suggestion(name, known)}"
                )
            break
        else:
            yield Finding(place, f"The placeholder `{found}` is not known here.")


# --- IfPresent and Concat -------------------------------------------------------------------------------------------


def _structure_text(text: str, component: ComponentSpec, names: Mapping[str, set[str]], place: Place) -> Iterator[Finding]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        yield Finding(place, "This begins like an IfPresent or Concat placeholder, but is no JSON.")
        return
    known = names["input parameter"] | names["input artifact"]
    try:
        messages = list(_structure(value, known, component.name))
    except RecursionError:
        messages = ["This IfPresent or Concat placeholder is nested too deep."]
    for message in messages:
        yield Finding(place, message)


def _structure(value: Json, inputs: set[str], component: str) -> Iterator[str]:
    if isinstance(value, str):
        return
    if isinstance(value, dict) and list(value) == ["Concat"] and isinstance(value["Concat"], list):
        for item in value["Concat"]:
            if isinstance(item, list):
                yield "A list cannot stand inside a Concat placeholder."
            else:
                yield from _structure(item, inputs, component)
    elif isinstance(value, dict) and list(value) == ["IfPresent"] and isinstance(value["IfPresent"], dict):
        body = value["IfPresent"]
        name = body.get("InputName")
        if name not in inputs:
            yield f"IfPresent asks for the input `{name}`, which `{component}` does not have{suggestion(str(name), inputs)}"
        if "Then" not in body:
            yield "IfPresent does not say what to give (Then)."
        for branch in (body.get("Then", ""), body.get("Else", "")):
            for item in branch if isinstance(branch, list) else [branch]:
                yield from _structure(item, inputs, component)
    elif value is not None:
        yield "An IfPresent or Concat placeholder holds something that is neither text nor such a placeholder."
