"""f-strings with loop items, which the SDK compiles with references to inputs that are not there."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pipelines.spec.model import FromInput
from pipelines.spec.parse import build, parse_json
from pipelines.spec.problems import Refused

ITEM, FIELD, LIST = "pipelinechannel--items-loop-item", "pipelinechannel--items-loop-item-subvar-key", "pipelinechannel--items"
WORD, WORDS = "pipelinechannel--words-loop-item", "pipelinechannel--words"


def parameter(kind: str = "STRING") -> dict[str, str]:
    return {"parameterType": kind}


def given(**sources: Any) -> dict[str, Any]:
    return {"parameters": sources}


def from_parent(name: str) -> dict[str, str]:
    return {"componentInputParameter": name}


def document(root_inputs: dict[str, Any], root_tasks: dict[str, Any], **groups: Any) -> dict[str, Any]:
    """A pipeline of groups around one step `say`."""
    return {
        "pipelineInfo": {"name": "p"},
        "schemaVersion": "2.1.0",
        "deploymentSpec": {"executors": {"exec-say": {"container": {"image": "x", "command": ["echo"]}}}},
        "components": {"comp-say": {"executorLabel": "exec-say", "inputDefinitions": {"parameters": {"s": parameter()}}}, **groups},
        "root": {"inputDefinitions": {"parameters": root_inputs}, "dag": {"tasks": root_tasks}},
    }


def group(inputs: dict[str, Any], tasks: dict[str, Any]) -> dict[str, Any]:
    return {"inputDefinitions": {"parameters": inputs}, "dag": {"tasks": tasks}}


def say(**sources: Any) -> dict[str, Any]:
    text = "".join(f"{{{{$.inputs.parameters['{name}']}}}}" for name in sources)
    return {"componentRef": {"name": "comp-say"}, "inputs": given(s={"runtimeValue": {"constant": text}}, **sources)}


def loop(name: str, items: str, item: str, **sources: Any) -> dict[str, Any]:
    return {
        "componentRef": {"name": name},
        "inputs": given(**sources),
        "parameterIterator": {"itemInput": item, "items": {"inputParameter": items}},
    }


FIELD_OF_AN_ITEM = document(
    {"items": parameter("LIST")},
    {"loop": loop("comp-loop", LIST, ITEM, **{LIST: from_parent("items"), FIELD: from_parent("items-loop-item-subvar-key")})},
    **{
        "comp-loop": group(
            {LIST: parameter("LIST"), ITEM: parameter("STRUCT"), FIELD: parameter()}, {"say": say(**{FIELD: from_parent(FIELD)})}
        )
    },
)

IN_A_LOOP_IN_A_LOOP = document(
    {"items": parameter("LIST"), "words": parameter("LIST")},
    {"outer": loop("comp-outer", LIST, ITEM, **{LIST: from_parent("items"), WORD: from_parent("words-loop-item")})},
    **{
        "comp-outer": group(
            {LIST: parameter("LIST"), ITEM: parameter("STRUCT"), WORD: parameter()},
            {"inner": loop("comp-inner", WORDS, WORD, **{WORDS: from_parent(WORDS)})},
        ),
        "comp-inner": group(
            {WORDS: parameter("LIST"), WORD: parameter()}, {"say": say(**{WORD: from_parent(WORD), FIELD: from_parent(FIELD)})}
        ),
    },
)


def test_a_field_of_the_item_is_taken_from_the_item() -> None:
    spec = parse_json(copy.deepcopy(FIELD_OF_AN_ITEM)).spec
    task = spec.root.dag.tasks["loop"]  # type: ignore[union-attr]
    assert set(task.parameters) == {LIST}
    source = spec.components["comp-loop"].dag.tasks["say"].parameters[FIELD]  # type: ignore[union-attr]
    assert source.source == FromInput(ITEM) and source.selector == 'parseJson(string_value)["key"]'


def test_what_a_loop_in_a_loop_needs_is_handed_in() -> None:
    spec = parse_json(copy.deepcopy(IN_A_LOOP_IN_A_LOOP)).spec
    outer = spec.root.dag.tasks["outer"]  # type: ignore[union-attr]
    assert set(outer.parameters) == {LIST, WORDS}
    assert set(spec.components["comp-outer"].input_parameters) == {LIST, ITEM, WORDS}
    assert set(spec.components["comp-inner"].input_parameters) == {WORDS, WORD, ITEM}


def test_a_field_that_is_asked_for_further_in_is_still_asked_for() -> None:
    further_in = copy.deepcopy(IN_A_LOOP_IN_A_LOOP)
    asked = from_parent(ITEM) | {"parameterExpressionSelector": 'parseJson(string_value)["other"]'}
    further_in["components"]["comp-inner"]["dag"]["tasks"]["say"] = say(other=asked)
    spec = parse_json(further_in).spec
    given = spec.components["comp-inner"].dag.tasks["say"].parameters["other"]  # type: ignore[union-attr]
    assert given.source == FromInput(ITEM) and given.selector == 'parseJson(string_value)["other"]'


def test_the_document_is_kept_as_it_was_put_right() -> None:
    parsed = parse_json(copy.deepcopy(IN_A_LOOP_IN_A_LOOP))
    assert build(parsed.pipeline) == parsed.spec
    assert parse_json(parsed.pipeline).pipeline == parsed.pipeline


def test_other_names_that_nothing_gives_are_still_refused() -> None:
    broken = copy.deepcopy(FIELD_OF_AN_ITEM)
    broken["root"]["dag"]["tasks"]["loop"]["inputs"]["parameters"]["pipelinechannel--other"] = from_parent("other")
    with pytest.raises(Refused) as refused:
        parse_json(broken)
    assert "other" in refused.value.problems[0].message


def test_an_item_of_no_loop_around_is_still_refused() -> None:
    alone = document({}, {"say": say(**{ITEM: from_parent("items-loop-item")})})
    with pytest.raises(Refused):
        parse_json(alone)
