"""Small documents that tests change and break."""

from __future__ import annotations

from typing import Any

import yaml

from pipelines.spec.parse import Document, parse_text
from pipelines.spec.problems import Problem, Refused

Json = Any


def container(*args: str, image: str = "python:3.11", **more: Json) -> Json:
    """An executor that runs a command."""
    return {"container": {"image": image, "command": ["echo"], "args": list(args), **more}}


def step(label: str, *, inputs: Json = None, outputs: Json = None, artifacts_in: Json = None, artifacts_out: Json = None) -> Json:
    """A component with an executor; inputs and outputs are given as name → type."""
    component: Json = {"executorLabel": label}
    for section, parameters, artifacts in (
        ("inputDefinitions", inputs, artifacts_in),
        ("outputDefinitions", outputs, artifacts_out),
    ):
        definitions: Json = {}
        if parameters:
            definitions["parameters"] = {name: {"parameterType": kind} for name, kind in parameters.items()}
        if artifacts:
            definitions["artifacts"] = {
                name: {"artifactType": {"schemaTitle": kind, "schemaVersion": "0.0.1"}} for name, kind in artifacts.items()
            }
        if definitions:
            component[section] = definitions
    return component


def task(component: str, *, after: list[str] | None = None, parameters: Json = None, artifacts: Json = None, **more: Json) -> Json:
    """A task of a component."""
    made: Json = {"componentRef": {"name": component}, "taskInfo": {"name": component}, **more}
    if after:
        made["dependentTasks"] = after
    if parameters or artifacts:
        made["inputs"] = {"parameters": parameters or {}, "artifacts": artifacts or {}}
    return made


def constant(value: Json) -> Json:
    """An input that is a constant."""
    return {"runtimeValue": {"constant": value}}


def output(producer: str, key: str = "out") -> Json:
    """An input that is another task's output parameter."""
    return {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": key}}


def artifact(producer: str, key: str = "data") -> Json:
    """An input that is another task's output artifact."""
    return {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": key}}


def pipeline(tasks: Json = None, components: Json = None, executors: Json = None, **more: Json) -> Json:
    """A pipeline: `make` gives the text `out` and the dataset `data`, `use` takes the number `n` and the dataset `data`."""
    return {
        "pipelineInfo": {"name": "small"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "components": {
            "make": step("make", outputs={"out": "STRING", "count": "NUMBER_INTEGER"}, artifacts_out={"data": "system.Dataset"}),
            "use": step("use", inputs={"n": "NUMBER_INTEGER"}),
            "read": step("read", artifacts_in={"data": "system.Dataset"}),
            **(components or {}),
        },
        "deploymentSpec": {"executors": {label: container() for label in ("make", "use", "read")} | (executors or {})},
        "root": {"dag": {"tasks": {"make": task("make")} if tasks is None else tasks}},
        **more,
    }


def use(value: Json, **more: Json) -> Json:
    """A task of `use`, with this input."""
    return task("use", parameters={"n": value}, **more)


def two(value: Json, **more: Json) -> Json:
    """Tasks: one that makes, one that uses this input."""
    return {"make": task("make"), "use": use(value, **more)}


def loop(items: Json, item: str = "n", kind: str = "NUMBER_INTEGER", **parameters: Json) -> Json:
    """A pipeline with a loop over items, each given as the input `n` of a type; more parameters are lists."""
    each = task("each", parameters=parameters, parameterIterator={"items": items, "itemInput": item})
    inputs = {"n": kind} | dict.fromkeys(parameters, "LIST")
    return pipeline({"make": task("make"), "each": each}, {"each": step("use", inputs=inputs)})


def commanded(*args: str, **more: Json) -> Json:
    """A pipeline whose `use` has these arguments in its command."""
    return pipeline(two(constant(1)), executors={"use": container(*args, **more)})


def parsed(document: Json, platform: Json = None) -> Document:
    """The document as parsed from its YAML."""
    return parse_text(yaml.dump_all([document] + ([platform] if platform else []), Dumper=yaml.CSafeDumper, sort_keys=False))


def problems_of(document: Json, platform: Json = None) -> list[Problem]:
    """Everything for which the document is refused; empty where it is taken."""
    try:
        parsed(document, platform)
    except Refused as refused:
        return list(refused.problems)
    return []


def kubernetes(executors: Json = None, config: Json = None) -> Json:
    """A platform document."""
    inner: Json = {"deploymentSpec": {"executors": executors or {}}}
    if config:
        inner["pipelineConfig"] = config
    return {"platforms": {"kubernetes": inner}}
