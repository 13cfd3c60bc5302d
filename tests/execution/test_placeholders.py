"""Placeholders and structures in a step's argument list."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.execution.locations import container_path
from runs.execution.placeholders import PlaceholderError, arguments

URI = "minio://kfdash/v2/artifacts/p/r/make/u/data"
INPUT = {
    "inputs": {
        "parameterValues": {
            "text": "it's",
            "n": 3,
            "big": 1234567.5,
            "flag": True,
            "list": ["a", "b"],
            "object": {"b": 1, "a": "<"},
            "null": None,
            "evil": "{{$}} {{$.inputs.parameters['text']}}",
        },
        "artifacts": {
            "data": {"artifacts": [{"name": "7", "uri": URI, "metadata": {"rows": 10, "owner": {"x": [1]}}}]},
            "many": {"artifacts": [{"name": "8", "uri": URI + "1"}, {"name": "9", "uri": URI + "2"}]},
            "custom": {"artifacts": [{"name": "10", "uri": "gs://b/k", "customPath": "/somewhere/else"}]},
            "shared": {"artifacts": [{"name": "11", "uri": "gs://b/k", "metadata": {"_kfp_workspace": True}}]},
        },
    },
    "outputs": {
        "parameters": {"Output": {"outputFile": "/tmp/kfp/outputs/Output"}},
        "artifacts": {"model": {"artifacts": [{"name": "model", "uri": "s3://b/model", "metadata": {"framework": "none"}}]}},
        "outputFile": "/minio/kfdash/v2/artifacts/p/r/train/u/output_metadata.json",
    },
}
CONSTANTS = {"{{$.pipeline_job_name}}": "my run", "{{$.workspace_path}}": "/kfp-workspace"}


def argv(*elements: str) -> list[str]:
    """The argument list of a program with these arguments, without the program."""
    return arguments(["program", *elements], INPUT, CONSTANTS, container_path)[1:]


@pytest.mark.parametrize(
    ("placeholder", "text"),
    [
        ("{{$.inputs.parameters['text']}}", "it's"),
        ("{{$.inputs.parameters['n']}}", "3"),
        ("{{$.inputs.parameters['big']}}", "1234567.5"),
        ("{{$.inputs.parameters['flag']}}", "true"),
        ("{{$.inputs.parameters['list']}}", '["a","b"]'),
        ("{{$.inputs.parameters['object']}}", '{"a":"\\u003c","b":1}'),
        ("{{$.inputs.parameters['null']}}", ""),
        ("{{$.inputs.parameters['absent']}}", ""),
        ("{{$.inputs.artifacts['data'].uri}}", URI),
        ("{{$.inputs.artifacts['data'].path}}", "/minio/kfdash/v2/artifacts/p/r/make/u/data"),
        ("{{$.inputs.artifacts['data'].metadata}}", '{"owner":{"x":[1]},"rows":10}'),
        ("{{$.inputs.artifacts['data'].metadata['rows']}}", "10"),
        ("{{$.inputs.artifacts['data'].metadata['owner']}}", '{"x":[1]}'),
        ("{{$.inputs.artifacts['many'].uri}}", URI + "1"),
        ("{{$.inputs.artifacts['custom'].path}}", "/somewhere/else"),
        ("{{$.inputs.artifacts['shared'].path}}", "/kfp-workspace/.artifacts/gcs/b/k"),
        ("{{$.inputs.artifacts['absent'].path}}", ""),
        ("{{$.outputs.parameters['Output'].output_file}}", "/tmp/kfp/outputs/Output"),
        ("{{$.outputs.artifacts['model'].uri}}", "s3://b/model"),
        ("{{$.outputs.artifacts['model'].path}}", "/s3/b/model"),
        ("{{$.outputs.artifacts['model'].metadata['framework']}}", "none"),
        ("{{$.outputs.output_file}}", "/minio/kfdash/v2/artifacts/p/r/train/u/output_metadata.json"),
        ("{{$.outputMetadataUri}}", "/minio/kfdash/v2/artifacts/p/r/train/u/output_metadata.json"),
        ("{{$.pipeline_job_name}}", "my run"),
        ("{{$.workspace_path}}", "/kfp-workspace"),
    ],
)
def test_every_placeholder_is_replaced_anywhere_in_an_argument(placeholder: str, text: str) -> None:
    assert argv(placeholder, f"--x={placeholder}/y{placeholder}") == [text, f"--x={text}/y{text}"]


def test_the_executor_input_is_json() -> None:
    [text] = argv("{{$}}")
    assert json.loads(text) == INPUT


def test_a_whole_artifact_is_the_list_of_its_members() -> None:
    [text] = argv("{{$.inputs.artifacts['many']}}")
    assert [member["uri"] for member in json.loads(text)] == [URI + "1", URI + "2"]


@pytest.mark.parametrize(
    "text",
    [
        "{{$.unknown}}",
        "{{$.outputs.parameters['x'].output_file}}",
        "{{ $ }}",
        "{{$.json_escape[1]}}",
        "{{$.inputs.parameters['n'].x}}",
    ],
)
def test_what_is_no_placeholder_stays(text: str) -> None:
    assert argv(text) == [text]


def test_placeholders_in_values_stay_text() -> None:
    evil = INPUT["inputs"]["parameterValues"]["evil"]
    assert argv("{{$.inputs.parameters['evil']}}") == [evil]
    assert argv('{"Concat": ["a", "{{$.inputs.parameters[\'evil\']}}"]}') == ["a" + str(evil)]


@given(st.text(), st.text())
def test_any_value_comes_through_unchanged(first: str, second: str) -> None:
    input = {"inputs": {"parameterValues": {"a": first, "b": second}}}
    elements = ["p", "{{$.inputs.parameters['a']}}|{{$.inputs.parameters['b']}}"]
    if "\0" in first + second:
        with pytest.raises(PlaceholderError, match="NUL"):
            arguments(elements, input, {}, container_path)
    else:
        assert arguments(elements, input, {}, container_path) == ["p", f"{first}|{second}"]


# --- the program ---


def test_the_program_takes_inputs_but_no_outputs() -> None:
    found = arguments(["{{$.inputs.parameters['text']}}"], INPUT, CONSTANTS, container_path)
    assert found == ["it's"]
    literal = "{{$.outputs.parameters['Output'].output_file}}{{$.inputs.parameters['n']}}"
    assert arguments([literal], INPUT, CONSTANTS, container_path) == [literal]


def test_only_the_first_of_several_from_a_structure_is_the_program() -> None:
    structure = {"IfPresent": {"InputName": "data", "Then": ["echo", "{{$.inputs.artifacts['data'].uri}}"]}}
    assert arguments([json.dumps(structure)], INPUT, CONSTANTS, container_path) == ["echo", URI]
    absent = json.dumps({"IfPresent": {"InputName": "absent", "Then": "wrapper"}})
    assert arguments([absent, "{{$.outputs.output_file}}"], INPUT, CONSTANTS, container_path) == ["{{$.outputs.output_file}}"]


def test_no_command_and_no_arguments_give_no_argument_list() -> None:
    assert arguments([], INPUT, CONSTANTS, container_path) == []


# --- structures ---


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ({"Concat": ["a", "{{$.inputs.parameters['n']}}", "b"]}, ["a3b"]),
        ({"Concat": []}, [""]),
        ({"IfPresent": {"InputName": "text", "Then": "yes", "Else": "no"}}, ["yes"]),
        ({"IfPresent": {"InputName": "null", "Then": "yes", "Else": "no"}}, ["no"]),
        ({"IfPresent": {"InputName": "absent", "Then": "yes", "Else": ["no", "none"]}}, ["no", "none"]),
        ({"IfPresent": {"InputName": "absent", "Then": "yes"}}, []),
        ({"IfPresent": {"InputName": "data", "Then": ["--data", "{{$.inputs.artifacts['data'].uri}}"]}}, ["--data", URI]),
        (
            {"IfPresent": {"InputName": "text", "Then": ["--out", "{{$.outputs.artifacts['model'].path}}"]}},
            ["--out", "/s3/b/model"],
        ),
        ({"Concat": ["x", {"IfPresent": {"InputName": "absent", "Then": "y"}}, {"Concat": ["z"]}]}, ["xz"]),
        (
            {
                "IfPresent": {
                    "InputName": "text",
                    "Then": ["a", {"Concat": ["b", "c"]}, {"IfPresent": {"InputName": "no", "Then": "d"}}],
                }
            },
            ["a", "bc"],
        ),
        ({"IfPresent": {"InputName": "text", "Then": {"IfPresent": {"InputName": "n", "Then": ["deep"]}}}}, ["deep"]),
        ({"IfPresent": {"InputName": "text", "Then": ['{"Concat": ["in", "text"]}']}}, ["intext"]),
    ],
)
def test_structures_are_resolved_before_placeholders(structure: object, expected: list[str]) -> None:
    assert argv("first", json.dumps(structure), "last") == ["first", *expected, "last"]


@pytest.mark.parametrize(
    "text", ['{"Other": []}', '{"Concat": broken', '{"IfPresent": {}, "x": 1}', '["Concat"]', '{"a": {"Concat": []}}']
)
def test_other_json_is_an_ordinary_argument(text: str) -> None:
    assert argv(text) == [text]


@pytest.mark.parametrize(
    "structure",
    [
        {"Concat": ["a", ["b"]]},
        {"Concat": [{"IfPresent": {"InputName": "text", "Then": ["a", "b"]}}]},
        {"Concat": [3]},
        {"Concat": "x"},
    ],
)
def test_a_structure_that_means_nothing_is_refused(structure: object) -> None:
    with pytest.raises(PlaceholderError):
        argv(json.dumps(structure))
