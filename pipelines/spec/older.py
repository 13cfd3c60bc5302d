"""What came before KFP v2: component YAML of v1, made into a pipeline of one step, and v1's Argo workflows, which are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.spec.problems import Finding, Place
from pipelines.spec.values import kind_of

Json = Any

ARGO_REFUSAL = (
    "This is a KFP v1 package (an Argo Workflow), which cannot be run here. Install `kfp` 2 or later and compile the pipeline's"
    " source again: `kfp dsl compile --py pipeline.py --output pipeline.yaml`."
)

_PARAMETER_TYPES = {
    "integer": "NUMBER_INTEGER",
    "int": "NUMBER_INTEGER",
    "double": "NUMBER_DOUBLE",
    "float": "NUMBER_DOUBLE",
    "string": "STRING",
    "str": "STRING",
    "text": "STRING",
    "bool": "BOOLEAN",
    "boolean": "BOOLEAN",
    "dict": "STRUCT",
    "jsonobject": "STRUCT",
    "list": "LIST",
    "jsonarray": "LIST",
    "pipelinetaskfinalstatus": "TASK_FINAL_STATUS",
}
_ARTIFACT_TITLES = (
    "Artifact",
    "Model",
    "Dataset",
    "Metrics",
    "ClassificationMetrics",
    "SlicedClassificationMetrics",
    "HTML",
    "Markdown",
)
_ARTIFACT_TYPES = {title.lower(): f"system.{title}" for title in _ARTIFACT_TITLES}
_GOOGLE_TYPE = re.compile(r"google\.[A-Za-z]+")
_TRUE, _FALSE = frozenset({"y", "yes", "t", "true", "on", "1"}), frozenset({"n", "no", "f", "false", "off", "0"})


def is_argo(document: Mapping[str, Json]) -> bool:
    """Whether a document is an Argo Workflow, as KFP v1 compiled them."""
    return str(document.get("apiVersion", "")).startswith("argoproj.io/")


def pipeline_from_component(component: Mapping[str, Json]) -> tuple[dict[str, Json], list[Finding]]:
    """A v1 component as a PipelineSpec of one step (canonical names), and what is wrong with it, in its own places."""
    conversion = _Conversion(component)
    return conversion.pipeline(), conversion.findings


class _Conversion:
    """One component on its way into a pipeline."""

    def __init__(self, component: Mapping[str, Json]) -> None:
        self.findings: list[Finding] = []
        self._component = component
        self._inputs = self._entries("inputs")
        self._outputs = self._entries("outputs")
        self._container = self._container_of(component)
        elements = [*self._list("command"), *self._list("args"), *self._mapping("env").values()]
        # Untyped inputs were common in v1; one that is only asked for its value is text, not a file.
        self._values = set(_references(elements, "inputValue")) - {
            name for kind in ("inputPath", "inputUri") for name in _references(elements, kind)
        }

    def pipeline(self) -> dict[str, Json]:
        raw_name = self._component.get("name")
        title = raw_name if isinstance(raw_name, str) else ""
        name = re.sub("[^-0-9a-z]+", "-", title.lower()).strip("-")[:128] or "name"
        inputs = self._definitions(self._inputs, "inputs")
        outputs = self._definitions(self._outputs, "outputs")
        interface = {"inputDefinitions": inputs, "outputDefinitions": outputs}
        interface = {key: value for key, value in interface.items() if value}
        task: dict[str, Json] = {
            "taskInfo": {"name": name},
            "componentRef": {"name": f"comp-{name}"},
            "cachingOptions": {"enableCache": True},
        }
        if inputs:
            task["inputs"] = _handed_on(inputs)
        dag: dict[str, Json] = {"tasks": {name: task}}
        if outputs:
            dag["outputs"] = _handed_out(outputs, name)
        info = {"name": name}
        description = self._component.get("description")
        if isinstance(description, str) and description:
            info["description"] = description
        return {
            "pipelineInfo": info,
            "schemaVersion": "2.1.0",
            "components": {f"comp-{name}": {"executorLabel": f"exec-{name}", **interface}},
            "deploymentSpec": {"executors": {f"exec-{name}": {"container": self._executor()}}},
            "root": {"dag": dag, **interface},
        }

    # --- reading the component --------------------------------------------------------------------------------------

    def _note(self, place: Place, message: str) -> None:
        self.findings.append(Finding(place, message))

    def _container_of(self, component: Mapping[str, Json]) -> Mapping[str, Json]:
        implementation = component.get("implementation")
        container = implementation.get("container") if isinstance(implementation, dict) else None
        if not isinstance(container, dict):
            self._note(("implementation",), "Only components with `implementation.container` can be used; this one has none.")
            return {}
        if not isinstance(container.get("image"), str) or not container["image"]:
            self._note(("implementation", "container"), "The component has no image.")
        return container

    def _entries(self, section: str) -> list[Mapping[str, Json]]:
        entries = self._component.get(section) or []
        if not isinstance(entries, list):
            self._note((section,), f"`{section}` must be a list.")
            return []
        good = []
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str) or not _io_name(name):
                self._note((section, index), f"This entry of `{section}` has no name.")
            elif _io_name(name) in seen:
                self._note((section, index), f"The name `{name}` stands twice in `{section}`.")
            else:
                seen.add(_io_name(name))
                good.append(entry)
        return good

    def _list(self, name: str) -> list[Json]:
        value = self._container.get(name) or []
        if not isinstance(value, list):
            self._note(("implementation", "container", name), f"`{name}` must be a list.")
            return []
        return value

    def _mapping(self, name: str) -> dict[str, Json]:
        value = self._container.get(name) or {}
        if not isinstance(value, dict):
            self._note(("implementation", "container", name), f"`{name}` must be an object.")
            return {}
        return value

    # --- inputs and outputs -----------------------------------------------------------------------------------------

    def _definitions(self, entries: list[Mapping[str, Json]], section: str) -> dict[str, Json]:
        parameters: dict[str, Json] = {}
        artifacts: dict[str, Json] = {}
        for index, entry in enumerate(entries):
            name = _io_name(entry["name"])
            parameter = _parameter_type(entry.get("type"))
            if parameter is None and section == "inputs" and entry["name"] in self._values and not _is_artifact(entry.get("type")):
                parameter = "STRING"
            definition: dict[str, Json] = {}
            if parameter is not None:
                definition["parameterType"] = parameter
                parameters[name] = definition
            else:
                definition["artifactType"] = {"schemaTitle": _artifact_title(entry.get("type")), "schemaVersion": "0.0.1"}
                artifacts[name] = definition
            if isinstance(entry.get("description"), str) and entry["description"]:
                definition["description"] = entry["description"]
            if section == "inputs":
                self._optional(definition, parameter, entry, ("inputs", index, "default"))
        found = {"parameters": parameters, "artifacts": artifacts}
        return {key: value for key, value in found.items() if value}

    def _optional(self, definition: dict[str, Json], parameter: str | None, entry: Mapping[str, Json], place: Place) -> None:
        default = entry.get("default")
        if parameter == "TASK_FINAL_STATUS":
            definition["isOptional"] = True
            return
        if entry.get("optional") or "default" in entry:
            definition["isOptional"] = True
        if default is None or parameter is None:
            return
        try:
            definition["defaultValue"] = _cast(parameter, default)
        except (ValueError, TypeError, OverflowError):
            self._note(place, f"The default of `{entry['name']}` cannot be read as {parameter}.")

    # --- the executor -----------------------------------------------------------------------------------------------

    def _executor(self) -> dict[str, Json]:
        place: Place = ("implementation", "container")
        container: dict[str, Json] = {"image": self._container.get("image") or ""}
        for section in ("command", "args"):
            elements = [self._element(item, (*place, section, index)) for index, item in enumerate(self._list(section))]
            if elements:
                container[section] = [item if isinstance(item, str) else json.dumps(item) for item in elements]
        env = [
            {
                "name": name,
                "value": text if isinstance(text := self._element(item, (*place, "env", name)), str) else json.dumps(text),
            }
            for name, item in self._mapping("env").items()
        ]
        if env:
            container["env"] = env
        return container

    def _element(self, item: Json, place: Place) -> Json:
        """An element of a command as text, or as the structure of an IfPresent or Concat placeholder."""
        if isinstance(item, str | int | float) and not isinstance(item, bool):
            return str(item)
        if not isinstance(item, dict) or len(item) != 1:
            self._note(place, f"This must be text or one placeholder, not {kind_of(item)}.")
            return ""
        ((kind, body),) = item.items()
        if kind == "executorInput":
            return "{{$}}"
        if kind == "concat" and isinstance(body, list):
            return {"Concat": [self._element(part, (*place, kind, index)) for index, part in enumerate(body)]}
        if kind == "if" and isinstance(body, dict):
            return self._condition(body, (*place, kind))
        if kind in ("inputValue", "inputPath", "inputUri", "outputPath", "outputUri") and isinstance(body, str):
            return self._reference(kind, body, place)
        self._note(place, f"There is no placeholder `{kind}` of this form.")
        return ""

    def _condition(self, body: Mapping[str, Json], place: Place) -> Json:
        condition = body.get("cond")
        asked = condition.get("isPresent") if isinstance(condition, dict) else None
        if not isinstance(asked, str) or "then" not in body:
            self._note(place, "An `if` needs `cond: {isPresent: …}` and `then`.")
            return ""
        self._known(asked, self._inputs, "input", place)
        chosen: dict[str, Json] = {"InputName": _io_name(asked)}
        for key, name in (("then", "Then"), ("else", "Else")):
            branch = body.get(key)
            if branch is None:
                continue
            here = (*place, key)
            chosen[name] = (
                [self._element(part, (*here, index)) for index, part in enumerate(branch)]
                if isinstance(branch, list)
                else self._element(branch, here)
            )
        return {"IfPresent": chosen}

    def _reference(self, kind: str, name: str, place: Place) -> str:
        key = _io_name(name)
        if kind.startswith("input"):
            entry = self._known(name, self._inputs, "input", place)
            if kind == "inputValue":
                return f"{{{{$.inputs.parameters['{key}']}}}}"
            if entry is not None and _parameter_type(entry.get("type")) is not None:
                self._note(place, f"`{name}` is a parameter; only artifacts have a path or a URI. Use inputValue.")
            return f"{{{{$.inputs.artifacts['{key}'].{'path' if kind == 'inputPath' else 'uri'}}}}}"
        entry = self._known(name, self._outputs, "output", place)
        if kind == "outputUri":
            return f"{{{{$.outputs.artifacts['{key}'].uri}}}}"
        if entry is not None and _parameter_type(entry.get("type")) is not None:
            return f"{{{{$.outputs.parameters['{key}'].output_file}}}}"
        return f"{{{{$.outputs.artifacts['{key}'].path}}}}"

    def _known(self, name: str, entries: list[Mapping[str, Json]], kind: str, place: Place) -> Mapping[str, Json] | None:
        found = next((entry for entry in entries if _io_name(entry["name"]) == _io_name(name)), None)
        if found is None:
            self._note(place, f"The component has no {kind} `{name}`.")
        return found


def _io_name(name: str) -> str:
    return re.sub("[^_0-9a-z]+", "_", name.lower()).strip("_")


def _references(value: Json, kind: str) -> Iterator[str]:
    """Names that placeholders of a kind refer to, at any depth."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item, kind)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == kind and isinstance(item, str):
                yield item
            else:
                yield from _references(item, kind)


def _outer_type(type: Json) -> str:
    """A type's name without what stands in brackets: `typing.List[str]` is `list`."""
    return type.removeprefix("typing.").partition("[")[0].strip().lower() if isinstance(type, str) else ""


def _parameter_type(type: Json) -> str | None:
    return _PARAMETER_TYPES.get(_outer_type(type))


def _is_artifact(type: Json) -> bool:
    return isinstance(type, str) and (_outer_type(type) in _ARTIFACT_TYPES or bool(_GOOGLE_TYPE.fullmatch(type)))


def _artifact_title(type: Json) -> str:
    if isinstance(type, str) and _GOOGLE_TYPE.fullmatch(type):
        return type
    return _ARTIFACT_TYPES.get(_outer_type(type), "system.Artifact")


def _cast(parameter: str, default: Json) -> Json:
    """A default, which v1 wrote as text, in its type. Raises ValueError, TypeError."""
    if parameter == "NUMBER_INTEGER":
        return int(default)
    if parameter == "NUMBER_DOUBLE":
        return float(default)
    if parameter == "STRING":
        return default if isinstance(default, str) else json.dumps(default)
    if parameter == "BOOLEAN" and isinstance(default, str):
        word = default.lower()
        if word not in _TRUE | _FALSE:
            raise ValueError(default)
        return word in _TRUE
    if parameter in ("LIST", "STRUCT") and isinstance(default, str):
        return json.loads(default)
    return default


def _handed_on(inputs: Mapping[str, Json]) -> dict[str, Json]:
    sections = {
        "parameters": {name: {"componentInputParameter": name} for name in inputs.get("parameters", ())},
        "artifacts": {name: {"componentInputArtifact": name} for name in inputs.get("artifacts", ())},
    }
    return {key: value for key, value in sections.items() if value}


def _handed_out(outputs: Mapping[str, Json], task: str) -> dict[str, Json]:
    sections = {
        "parameters": {
            name: {"valueFromParameter": {"producerSubtask": task, "outputParameterKey": name}}
            for name in outputs.get("parameters", ())
        },
        "artifacts": {
            name: {"artifactSelectors": [{"producerSubtask": task, "outputArtifactKey": name}]}
            for name in outputs.get("artifacts", ())
        },
    }
    return {key: value for key, value in sections.items() if value}
