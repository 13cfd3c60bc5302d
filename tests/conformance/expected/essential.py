"""KFP's folders `essential`, `failing`, `local_execution` and `parallel_and_nested`."""

from __future__ import annotations

import json
import pathlib

from tests.conformance.expected.model import Expected
from tests.conformance.seen import Seen


def _iris(seen: Seen) -> None:
    (raw,) = seen.texts("create-dataset", "iris_dataset")
    lines = raw.splitlines()
    assert lines[0] == ",Sepal_Length,Sepal_Width,Petal_Length,Petal_Width,Labels"
    assert len(lines) == 1 + 20 + 19 + 14 and lines[1] == "0,5.1,3.5,1.4,0.2,Iris-setosa"
    (scaled,) = seen.texts("normalize-dataset", "normalized_iris_dataset")
    assert len(scaled.splitlines()) == len(lines)
    (metrics,) = seen.artifacts("train-model", "metrics")
    assert metrics["type"] == "system.ClassificationMetrics"
    matrix = metrics["metadata"]["confusionMatrix"]
    names = ["Iris-Setosa", "Iris-Versicolour", "Iris-Virginica"]
    assert [one["displayName"] for one in matrix["annotationSpecs"]] == names
    rows = [one["row"] for one in matrix["rows"]]
    assert len(rows) == 3 and sum(map(sum, rows)) == 39  # three quarters of 53 rows, the train_test_split's default
    assert sum(rows[index][index] for index in range(3)) > 30


def _model_of_a_hundred_steps(seen: Seen) -> None:
    (model,) = seen.texts("train", "model")
    line = (
        "dataset_one_contents: hi || dataset_two_contents: hi || message: hi || input_bool: True, type <class 'bool'> || "
        "input_dict: {'A': 1, 'B': 2}, type <class 'dict'> || input_list: ['a', 'b', 'c'], type <class 'list'> \n"
    )
    assert model == "".join(f"Step {number}\n{line}\n=====\n" for number in range(100))


def _exit_code(seen: Seen) -> None:
    assert seen.tasks["fail"]["attempts"][0]["exit_code"] == 1
    assert "1" in seen.tasks["fail"]["reason"]


def _marker_written(seen: Seen) -> None:
    marker = pathlib.Path(seen.run["runtime_config"]["parameters"]["marker_path"])
    assert marker.read_text() == "cleanup_ran"
    assert "upstream failed intentionally" in seen.tasks["fail-always"]["reason"]


_METRICS = json.dumps({"metrics": [{"name": "accuracy", "numberValue": 0.9, "format": "PERCENTAGE"}]})
_FIVE = "\n".join(["one two"] * 5)
_PARTS = ["component1", "component2", "component3"]
_PARENT = "Input - parent pipeline"

ESSENTIAL = {
    "essential/container_no_input": Expected(ran={"container-no-input": 1}, printed={"container-no-input": ["hello world"]}),
    "essential/embedded_artifact": Expected(
        ran={"read-embedded-artifact-dir": 1, "read-embedded-artifact-file": 1},
        printed={"read-embedded-artifact-dir": [], "read-embedded-artifact-file": []},
    ),
    "essential/iris_pipeline_compiled": Expected(
        ran={"create-dataset": 1, "normalize-dataset": 1, "train-model": 1},
        inputs={"normalize-dataset": {"standard_scaler": True}, "train-model": {"n_neighbors": 3}},
        metadata={
            "normalize-dataset.normalized_iris_dataset": {"state": "Normalized"},
            "train-model.model": {"framework": "scikit-learn"},
        },
        check=_iris,
    ),
    "essential/lightweight_python_functions_pipeline": Expected(
        ran={"preprocess": 1, "train": 1},
        arguments={"message": "hi"},
        values={
            "preprocess.output_parameter_path": "hi",
            "preprocess.output_bool_parameter_path": True,
            "preprocess.output_dict_parameter_path": {"A": 1, "B": 2},
            "preprocess.output_list_parameter_path": ["a", "b", "c"],
        },
        texts={"preprocess.output_dataset_one": ["hi"], "preprocess.output_dataset_two_path": ["hi"]},
        metadata={"train.model": {"accuracy": 0.9}},
        check=_model_of_a_hundred_steps,
    ),
    "essential/lightweight_python_functions_with_outputs": Expected(
        ran={"add-numbers": 1, "concat-message": 1, "output-artifact": 1, "output-named-tuple": 1},
        arguments={"first_message": "one ", "second_message": "two", "first_number": 2, "second_number": 3},
        values={"add-numbers.Output": 5, "concat-message.Output": "one two", "output-named-tuple.scalar": "123"},
        texts={
            "output-artifact.Output": [_FIVE],
            "output-named-tuple.metrics": [_METRICS],
            "output-named-tuple.model": [f"Model contents: {_FIVE}"],
        },
    ),
    "essential/placeholder_with_if_placeholder_none_input_value": Expected(
        ran={"component-with-optional-inputs": 1},
        printed={"component-with-optional-inputs": ["--arg0 input0 --arg2 default value"]},
    ),
    "failing/fail_v2": Expected(state="FAILED", ran={"fail": 1}, failed=("fail",), check=_exit_code),
    "failing/pipeline_with_exit_handler": Expected(
        state="FAILED",
        ran={"fail-op": 1, "print-op-2": 1, "print-op": 1},
        failed=("exit-handler-1/fail-op",),
        printed={
            "exit-handler-1/fail-op": ["Task failed."],
            "exit-handler-1/print-op-2": ["Hello World!"],
            "print-op": ["Exit handler has worked!"],
        },
        after={"print-op": "exit-handler-1"},
    ),
    "local_execution/local_execution_pipeline_with_ignore_upstream_failure": Expected(
        state="FAILED",
        ran={"fail-always": 1, "write-marker": 1},
        arguments={"marker_path": "{folder}/marker"},
        failed=("fail-always",),
        values={"write-marker.Output": "cleanup_ran"},
        after={"write-marker": "fail-always"},
        check=_marker_written,
    ),
    "local_execution/local_execution_pipeline_with_retry": Expected(
        ran={"flaky": 1},
        arguments={"counter_path": "{folder}/counter"},
        values={".Output": "attempt=2", "flaky.Output": "attempt=2"},
        attempts={"flaky": 2},
    ),
    "local_execution/pipeline_with_collected_artifacts": Expected(
        ran={"write-artifact": 3, "read-and-join": 1},
        texts={
            "for-loop-2[*]/write-artifact.out": ["0", "1", "2"],
            "for-loop-2.pipelinechannel--write-artifact-out": ["0", "1", "2"],
        },
        values={".Output": "0,1,2"},
    ),
    "parallel_and_nested/loop_consume_upstream": Expected(
        ran={"split-input": 1, "print-input": 1, "create-file": 3, "read-file": 3},
        values={"split-input.Output": _PARTS},
        texts={"for-loop-1[*]/create-file.file": _PARTS},
        printed={"for-loop-1[*]/read-file": _PARTS, "print-input": [f"Input item: {one}" for one in _PARTS]},
    ),
    "parallel_and_nested/nested_pipeline_opt_input_child_level_compiled": Expected(
        ran={f"component-{letter}-{kind}": 1 for letter in "ab" for kind in ("bool", "int", "str")},
        inputs={
            "nested-pipeline/component-a-bool": {"componentInputBool": True},
            "nested-pipeline/component-b-bool": {"componentInputBool": False},
            "nested-pipeline/component-a-int": {"componentInputInt": 1},
            "nested-pipeline/component-b-int": {"componentInputInt": 0},
            "nested-pipeline/component-a-str": {"componentInputStr": "Input - pipeline"},
            "nested-pipeline/component-b-str": {"componentInputStr": "Input 2 - nested pipeline"},
        },
    ),
    "parallel_and_nested/nested_pipeline_opt_inputs_parent_level_compiled": Expected(
        ran={f"component-{nil}{kind}-default": 1 for nil in ("", "nil-") for kind in ("bool", "int", "str")},
        inputs={
            f"nested-pipeline-{nil or 'non-nil-'}defaults/component-{nil}{kind}-default": {"componentInput": value}
            for nil in ("", "nil-")
            for kind, value in (("bool", True), ("int", 1), ("str", _PARENT))
        },
    ),
    "parallel_and_nested/pipeline_in_pipeline_loaded_from_yaml": Expected(
        ran={"print-op1": 3, "print-op2": 1},
        values={
            "pipeline-in-pipeline/print-op1.Output": "Hello",
            "pipeline-in-pipeline/inner-pipeline/print-op1.Output": "world",
            "pipeline-in-pipeline/inner-pipeline.msg": "world",
        },
        texts={"pipeline-in-pipeline/inner-pipeline/print-op2.data": ["world\n"], "pipeline-in-pipeline.Output": ["world\n"]},
        printed={
            "pipeline-in-pipeline/print-op1": ["Hello"],
            "pipeline-in-pipeline/inner-pipeline/print-op1": ["world"],
            "print-op1": ["world", ""],
        },
    ),
}
