"""Component YAML of v1, made into pipelines of one step."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import yaml

from pipelines.spec.model import ContainerSpec, ParameterType
from pipelines.spec.parse import Document, parse_text
from pipelines.spec.problems import Refused

Json = Any

TRAIN = """
name: Train A Model!
description: Trains it.
metadata: {annotations: {author: nobody}}
inputs:
- {name: Data Path, type: Dataset}
- {name: Rate, type: Float, default: '0.5'}
- {name: Steps, type: Integer, default: '3'}
- {name: Flag, type: Bool, default: 'True'}
- {name: Words, type: JsonArray, default: '["a"]'}
- {name: Note, type: String, optional: true}
- {name: Anything}
- {name: Vertex, type: google.VertexModel, optional: true}
- {name: Structured, type: {GCSPath: {data_type: CSV}}}
outputs:
- {name: Model Out, type: Model}
- {name: Loss, type: Float}
- {name: Names, type: 'typing.List[str]'}
implementation:
  container:
    image: python:3.11
    command: [python3, -c, "print(1)"]
    args:
    - --data
    - {inputPath: Data Path}
    - {inputValue: Rate}
    - {concat: [a, {inputValue: Steps}, b]}
    - if:
        cond: {isPresent: Note}
        then: [--note, {inputValue: Note}]
        else: [--none]
    - if:
        cond: {isPresent: Flag}
        then: --flag
    - {outputPath: Model Out}
    - {outputPath: Loss}
    - {outputPath: Names}
    - {outputUri: Model Out}
    - {inputUri: Anything}
    - {executorInput: null}
    env: {MODE: fast}
"""

SDK = """
import json, sys
from google.protobuf import json_format
from kfp import components
print(json.dumps(json_format.MessageToDict(components.load_component_from_text(sys.stdin.read()).pipeline_spec)))
"""


def component(**changes: Json) -> Json:
    return {"name": "c", "implementation": {"container": {"image": "x", "command": ["a"]}}} | changes


def converted(document: Json) -> Document:
    return parse_text(yaml.safe_dump(document))


def messages(document: Json) -> list[str]:
    with pytest.raises(Refused) as caught:
        converted(document)
    assert all(problem.line for problem in caught.value.problems)
    return [problem.message for problem in caught.value.problems]


def without(value: Json, *names: str) -> Json:
    """The value without the fields that only one of the two conversions gives."""
    if isinstance(value, dict):
        return {key: without(item, *names) for key, item in value.items() if key not in names}
    return [without(item, *names) for item in value] if isinstance(value, list) else value


def test_the_conversion_is_that_of_the_sdk() -> None:
    pytest.importorskip("kfp")
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", SDK], input=TRAIN, cwd=root, capture_output=True, text=True, check=True)
    ours = without(parse_text(TRAIN).pipeline, "sdkVersion", "description")
    assert ours == without(json.loads(done.stdout), "sdkVersion", "description")


def test_names_types_and_defaults_are_made_fit() -> None:
    spec = parse_text(TRAIN).spec
    made = spec.components["comp-train-a-model"]
    assert spec.name == "train-a-model" and spec.description == "Trains it."
    defaults = {name: item.default for name, item in made.input_parameters.items() if item.has_default}
    assert defaults == {"rate": 0.5, "steps": 3, "flag": True, "words": ["a"]}
    assert made.output_parameters["names"].type is ParameterType.LIST
    assert {name: item.type.title for name, item in made.input_artifacts.items()} == {
        "anything": "system.Artifact",
        "data_path": "system.Dataset",
        "structured": "system.Artifact",
        "vertex": "google.VertexModel",
    }
    assert spec.root.dag is not None and spec.root.dag.tasks["train-a-model"].caching.enabled


def test_an_untyped_input_of_which_only_the_value_is_used_is_text() -> None:
    container = {"image": "x", "args": [{"inputValue": "A"}, {"concat": [{"inputValue": "B"}]}, {"inputPath": "B"}]}
    inputs = [{"name": "A", "type": "GCSPath"}, {"name": "B", "type": "String"}]
    made = messages(component(inputs=inputs, implementation={"container": container}))
    assert made == ["`B` is a parameter; only artifacts have a path or a URI. Use inputValue."]
    container["args"].pop()  # type: ignore[attr-defined]
    spec = converted(component(inputs=inputs, implementation={"container": container})).spec
    assert spec.root.input_parameters["a"].type is ParameterType.STRING
    executor = spec.executors["exec-c"]
    assert isinstance(executor, ContainerSpec)
    assert executor.args == ("{{$.inputs.parameters['a']}}", '{"Concat": ["{{$.inputs.parameters[\'b\']}}"]}')


def test_a_component_without_a_name_is_called_name() -> None:
    assert converted(component(name=None)).spec.name == "name"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"implementation": {"graph": {}}}, "Only components with `implementation.container`"),
        ({"implementation": {"container": {"command": ["a"]}}}, "The component has no image"),
        ({"inputs": {"a": 1}}, "`inputs` must be a list"),
        ({"inputs": [{"type": "String"}]}, "has no name"),
        ({"inputs": [{"name": "A b"}, {"name": "a_b"}]}, "stands twice"),
        ({"inputs": [{"name": "a", "type": "Integer", "default": "many"}]}, "The default of `a` cannot be read as NUMBER_INTEGER"),
        ({"inputs": [{"name": "a", "type": "Bool", "default": "perhaps"}]}, "cannot be read as BOOLEAN"),
        ({"inputs": [{"name": "a", "type": "JsonObject", "default": "{"}]}, "cannot be read as STRUCT"),
        ({"implementation": {"container": {"image": "x", "args": [{"inputValue": "b"}]}}}, "The component has no input `b`"),
        ({"implementation": {"container": {"image": "x", "args": [{"outputPath": "b"}]}}}, "The component has no output `b`"),
        ({"implementation": {"container": {"image": "x", "args": [{"what": "b"}]}}}, "There is no placeholder `what`"),
        ({"implementation": {"container": {"image": "x", "args": [["b"]]}}}, "must be text or one placeholder, not a list"),
        ({"implementation": {"container": {"image": "x", "args": [{"if": {"then": "a"}}]}}}, "An `if` needs"),
        ({"implementation": {"container": {"image": "x", "args": "b"}}}, "`args` must be a list"),
    ],
)
def test_a_component_that_is_wrong_is_refused_with_its_own_places(changes: Json, sentence: str) -> None:
    assert any(sentence in message for message in messages(component(**changes)))
