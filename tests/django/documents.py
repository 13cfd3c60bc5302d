"""Small pipeline documents for tests of what stands around the engine."""

from __future__ import annotations

import json
from typing import Any

from pipelines import specifications
from pipelines.models import Specification
from pipelines.spec.parse import parse_text


def container(image: str = "alpine", command: list[str] | None = None) -> dict[str, Any]:
    """A container executor."""
    return {"container": {"image": image, "command": command or ["true"]}}


def chain(length: int = 2, *, cached: bool = False, artifacts: bool = False) -> str:
    """A pipeline of steps `s0` to `s<n>`, each taking the output of the one before; JSON text."""
    tasks: dict[str, Any] = {}
    components: dict[str, Any] = {}
    executors: dict[str, Any] = {}
    for i in range(length):
        key = f"s{i}"
        component: dict[str, Any] = {
            "executorLabel": f"exec-{key}",
            "inputDefinitions": {"parameters": {"x": {"parameterType": "NUMBER_INTEGER"}}},
            "outputDefinitions": {"parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}},
        }
        source: dict[str, Any] = {"componentInputParameter": "start"}
        task: dict[str, Any] = {"taskInfo": {"name": key}, "componentRef": {"name": f"comp-{key}"}}
        if i:
            source = {"taskOutputParameter": {"producerTask": f"s{i - 1}", "outputParameterKey": "Output"}}
            task["dependentTasks"] = [f"s{i - 1}"]
        task["inputs"] = {"parameters": {"x": source}}
        if artifacts:
            component["outputDefinitions"]["artifacts"] = {
                "data": {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
            }
            if i:
                component["inputDefinitions"]["artifacts"] = {
                    "data": {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
                }
                task["inputs"]["artifacts"] = {
                    "data": {"taskOutputArtifact": {"producerTask": f"s{i - 1}", "outputArtifactKey": "data"}}
                }
        if cached:
            task["cachingOptions"] = {"enableCache": True}
        tasks[key], components[f"comp-{key}"], executors[f"exec-{key}"] = task, component, container()
    return json.dumps(
        {
            "pipelineInfo": {"name": "chain"},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.0",
            "root": {
                "inputDefinitions": {
                    "parameters": {"start": {"parameterType": "NUMBER_INTEGER", "defaultValue": 1, "isOptional": True}}
                },
                "dag": {"tasks": tasks},
            },
            "components": components,
            "deploymentSpec": {"executors": executors},
        }
    )


def stored(text: str) -> Specification:
    """The row of a document."""
    return specifications.store(parse_text(text))
