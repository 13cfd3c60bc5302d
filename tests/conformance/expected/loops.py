"""KFP's pipelines with loops and fan-in."""

from __future__ import annotations

import json

from tests.conformance.expected.model import Expected
from tests.conformance.seen import Seen

_CHARS, _IDS = ("x", "y", "z"), ("s1", "s2", "s3")
_MODELS = [f"{char}-{one}" for one in _IDS for char in _CHARS]
_COLLECTING = "collecting-artifacts"


def _models_read(seen: Seen) -> None:
    """Nine models arrive flat, outer loop first, with their metadata; three in each iteration."""
    models = seen.artifacts("read-models", "models", "inputs")
    assert [one["metadata"]["model_name"] for one in models] == [f"model-artifact-inner-iteration-{one}" for one in _MODELS]
    raw = [line for line in seen.printed("read-models") if line.startswith("Model raw data")]
    assert raw == [f"Model raw data: {one}" for one in _MODELS]
    for index, one in enumerate(_IDS):
        path = f"{_COLLECTING}/for-loop-1[{index}]/read-models"
        raw = [line for line in seen.printed(path) if line.startswith("Model raw data")]
        assert raw == [f"Model raw data: {char}-{one}" for char in _CHARS]
        shown = [line for line in seen.printed(f"{_COLLECTING}/for-loop-1[{index}]/read-datasets") if line in _CHARS]
        assert shown == list(_CHARS)


_TEXTS = ["Hello", ",", " ", "world!"]
_PARAMETER = [{"A_a": "heads", "B_b": ["A", "B"]}, {"A_a": "tails", "B_b": ["X", "Y", "Z"]}]
_GENERATED = [{"A_a": "1", "B_b": ["2", "20"]}, {"A_a": "10", "B_b": ["22", "222"]}]
_DICTS = [{"a": 1, "b": 2}, {"a": 2, "b": 3}, {"a": 3, "b": 4}]


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _message(first: str, second: str = "None") -> str:
    return f"msg: {first}, msg2: {second}"


def _branch_of_the_coin(seen: Seen) -> None:
    """`condition-4` depends on the coin; all else is the same for heads and tails."""
    heads = seen.value("flip-coin-op", "Output") == "heads"
    body = "condition-1/for-loop-2[*]"
    skipped = {f"{body}/condition-3", f"{body}/condition-5", f"{body}/for-loop-12[1]/condition-13", "for-loop-14[1]/condition-15"}
    skipped |= set() if heads else {f"{body}/condition-4"}
    assert seen.in_state("SKIPPED") == {path for one in skipped for path in seen.paths(one)}
    ran = {"args-generator-op": 1, "args-generator-op-2": 1, "flip-coin-op": 1, "print-text": 2, "print-text-4": 4}
    ran |= {"print-text-5": 4, "print-text-6": 8, "print-text-7": 4, "print-text-8": 2, "print-text-9": 2}
    assert seen.ran() == ran | ({"print-text-3": 2} if heads else {})
    if heads and not any(map(seen.is_cached, seen.paths(f"{body}/condition-4/print-text-3"))):
        lines = [line for path in seen.paths(f"{body}/condition-4/print-text-3") for line in seen.printed(path)]
        assert lines == [_message(_compact(one["B_b"])) for one in _GENERATED]


_BODY = "condition-1/for-loop-2[*]"

LOOPS = {
    "artifacts_complex": Expected(
        ran={"double": 3, "double-2": 6, "add": 1, "add-2": 1, "add-two-ints": 1},
        texts={
            "for-loop-2[*]/double.out_dataset": ["2", "4", "6"],
            "for-loop-2[*]/for-loop-4[*]/condition-5/double-2.out_dataset": ["4", "6"] * 3,
            "for-loop-2.pipelinechannel--double-2-out_dataset": ["4", "6"] * 3,
            "add-two-lists-of-datasets/add.out_dataset": ["12"],
            "add-two-lists-of-datasets/add-2.out_dataset": ["30"],
            ".sum": ["42"],
            ".datasets": ["2", "4", "6"],
        },
        skipped=("for-loop-2[*]/for-loop-4[0]/condition-5",),
    ),
    "artifacts_simple": Expected(
        ran={"double": 3, "add": 1, "add-container": 1},
        texts={".Output": ["2", "4", "6"], "add.out_dataset": ["12"], "add-container.out_dataset": ["12"]},
    ),
    "collected_artifacts": Expected(
        ran={
            "split-ids": 1,
            "split-chars": 1,
            "create-file": 3,
            "read-single-file": 3,
            "create-dataset": 9,
            "read-single-dataset-generate-model": 9,
            "read-datasets": 3,
            "read-models": 4,
        },
        values={
            f"{_COLLECTING}/split-ids.Output": list(_IDS),
            f"{_COLLECTING}/split-chars.Output": list(_CHARS),
            f"{_COLLECTING}/for-loop-1[*]/read-datasets.Output": ["files read"] * 3,
            "read-models.Output": "models read",
        },
        texts={
            f"{_COLLECTING}/for-loop-1[*]/create-file.file": list(_IDS),
            f"{_COLLECTING}/for-loop-1[*]/for-loop-2[*]/single-node-dag/create-dataset.data": list(_CHARS) * 3,
            f"{_COLLECTING}/for-loop-1[*]/for-loop-2[*]/read-single-dataset-generate-model.results": _MODELS,
            f"{_COLLECTING}.Output": _MODELS,
        },
        check=_models_read,
    ),
    "conditional_producer_and_consumers": Expected(
        ran={"double": 2, "add": 1},
        values={"for-loop-2.pipelinechannel--double-Output": [4, 6], "condition-4/add.Output": 10, ".Output": 10},
        skipped=("for-loop-2[0]/condition-3",),
    ),
    "cross_loop_after_topology": Expected(
        ran={f"print-op{'' if number == 1 else f'-{number}'}": count for number, count in enumerate((2, 2, 2, 4, 2, 1, 4, 2), 1)},
        printed={
            "for-loop-2[*]/print-op": ["one"] * 2,
            "for-loop-4[*]/print-op-2": ["two"] * 2,
            "for-loop-6[*]/print-op-3": ["three"] * 2,
            "for-loop-6[*]/for-loop-8[*]/print-op-4": ["four"] * 4,
            "for-loop-10[*]/print-op-5": ["five"] * 2,
            "print-op-6": ["six"],
            "for-loop-12[*]/for-loop-14[*]/print-op-7": ["seven"] * 4,
            "for-loop-12[*]/print-op-8": ["eight"] * 2,
        },
        after={
            "for-loop-4[*]/print-op-2": "for-loop-2",
            "for-loop-6[*]/for-loop-8[*]/print-op-4": "for-loop-6[*]/print-op-3",
            "print-op-6": "for-loop-10",
            "for-loop-12[*]/print-op-8": "for-loop-12[*]/for-loop-14",
        },
    ),
    "nested_with_parameters": Expected(
        ran={"double": 9, "double-2": 9, "add-two-nums": 9, "add": 1},
        values={".Output": [[4, 6, 8], [6, 8, 10], [8, 10, 12]], "add.Output": 72},
    ),
    "parameters_complex": Expected(
        ran={
            "double": 3,
            "double-2": 9,
            "simple-add": 3,
            "nested-add": 1,
            "simple-add-2": 3,
            "nested-add-2": 3,
            "add-two-numbers": 1,
        },
        values={
            "for-loop-2.pipelinechannel--double-Output": [2, 4, 6],
            "for-loop-2.pipelinechannel--double-2-Output": [[8, 10, 12]] * 3,
            "for-loop-2[*]/simple-add.Output": [30, 30, 30],
            "nested-add.Output": 90,
            "for-loop-6[*]/simple-add-2.Output": [12, 12, 12],
            "for-loop-6[*]/nested-add-2.Output": [90, 90, 90],
            ".Output": 306,
        },
    ),
    "pipeline_producer_consumer": Expected(
        ran={"double": 9, "add": 1, "echo-and-return": 4, "join-and-print": 1},
        values={
            "for-loop-2[*]/for-loop-4[*]/double-pipeline/double.Output": [2, 4, 6] * 3,
            "add-pipeline.out1": 36,
            "add-pipeline.out2": ["m", "a", "t", "h"],
            ".Output": 36,
        },
        printed={"add-pipeline/for-loop-2[*]/echo-and-return": ["m", "a", "t", "h"], "join-and-print": ["math"]},
    ),
    "pipeline_with_loops_and_conditions": Expected(
        ran=None,
        skipped=None,
        by_chance=True,
        values={"args-generator-op.Output": _GENERATED, "condition-1/args-generator-op-2.Output": _GENERATED},
        printed={
            f"{_BODY}/print-text": [_message("hello")] * 2,
            f"{_BODY}/for-loop-8[*]/print-text-4": [_message(one) for item in _GENERATED for one in item["B_b"]],
            f"{_BODY}/for-loop-9[*]/print-text-5": [_message(_compact(one)) for one in _PARAMETER] * 2,
            f"{_BODY}/for-loop-9[*]/for-loop-10[*]/print-text-6": [
                _message(_compact(one), number) for one in _PARAMETER for number in ("1", "10")
            ]
            * 2,
            f"{_BODY}/for-loop-12[*]/print-text-7": [_message("1"), _message("2")] * 2,
            f"{_BODY}/for-loop-12[*]/condition-13/print-text-8": [_message("1")] * 2,
            "for-loop-14[*]/condition-15/for-loop-16[*]/print-text-9": [_message("A"), _message("B")],
        },
        check=_branch_of_the_coin,
    ),
    "pipeline_with_nested_loops": Expected(
        ran={"print-op": 4, "print-op-2": 2, "print-op-3": 6},
        printed={
            "for-loop-1[*]/for-loop-2[*]/print-op": [_message(one) for one in ("1", "2", "11", "22")],
            "for-loop-4[*]/print-op-2": [_message("1"), _message("2")],
            "for-loop-4[*]/for-loop-6[*]/print-op-3": [_message(one, two) for one in "12" for two in ("100", "200", "300")],
        },
    ),
    "pipeline_with_parallelfor_parallelism": Expected(
        ran={
            **{f"list-dict-maker-{number}": 1 for number in ("0", "1", "1-2", "2", "3")},
            **{f"print-int{number}": 3 for number in ("", "-2", "-3", "-4", "-5", "-6")},
            "print-text": 3,
            "print-text-2": 9,
            "print-text-3": 2,
            "print-text-4": 2,
            "print-text-5": 4,
            "print-text-6": 4,
        },
        arguments={"loop_parameter": ["a", "b", "c"]},
        values={f"list-dict-maker-{number}.Output": _DICTS for number in ("0", "1", "1-2", "2", "3")},
        printed={
            "for-loop-1[*]/print-text": ["a", "b", "c"],
            "for-loop-1[*]/for-loop-2[*]/print-text-2": ["a", "b", "c"] * 3,
            "for-loop-4[*]/print-text-3": ["1", "10"],
            "for-loop-4[*]/print-text-4": ["2", "20"],
            "for-loop-4[*]/for-loop-6[*]/print-text-5": ["10", "100"] * 2,
            "for-loop-4[*]/for-loop-6[*]/print-text-6": ["20", "200"] * 2,
            "for-loop-8[*]/print-int": ["1", "2", "3"],
            **{f"for-loop-{number + 7}[*]/print-int-{number}": ["1", "2", "3"] for number in range(2, 7)},
        },
        limits={"for-loop-1": 2, "for-loop-4[*]/for-loop-6": 1, "for-loop-8": 1},
    ),
    "pipeline_with_parallelfor_pipeline_param": Expected(
        ran={"make-prefix": 1, "print-with-prefix": 2, "print-with-prefix-2": 2, "print-with-prefix-3": 4},
        arguments={"loop_parameter": ["a", "b"], "prefix": "p"},
        values={
            "for-loop-1[*]/print-with-prefix.Output": ["p: a", "p: b"],
            "for-loop-2[*]/print-with-prefix-2.Output": ["dynamic-prefix: a", "dynamic-prefix: b"],
            "for-loop-4[*]/for-loop-5[*]/print-with-prefix-3.Output": ["p: a", "p: b"] * 2,
        },
        limits={"for-loop-1": 1, "for-loop-4": 2},
    ),
    "pythonic_artifacts_with_list_of_artifacts": Expected(
        ran={"make-dataset": 4, "join-datasets": 1},
        texts={"for-loop-1[*]/make-dataset.Output": _TEXTS, ".Output": ["Hello, world!"]},
        metadata={"for-loop-1[*]/make-dataset.Output": [{"length": len(one)} for one in _TEXTS]},
    ),
}
