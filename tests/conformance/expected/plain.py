"""KFP's pipelines without loops or chance."""

from __future__ import annotations

import json
import re
from datetime import datetime

from tests.conformance.expected.model import Expected
from tests.conformance.seen import Seen

_IMAGE = "us-docker.pkg.dev/vertex-ai/prediction/tf2-gpu.2-5:latest"
_SHAKESPEARE = "gs://ml-pipeline-playground/shakespeare1.txt"


def _imported(seen: Seen) -> None:
    for path in ("importer", "importer-2"):
        (artifact,) = seen.artifacts(path, "artifact")
        assert artifact["uri"] == _SHAKESPEARE and artifact["type"] == "system.Dataset"


def _charts(seen: Seen) -> None:
    accuracy = seen.artifacts("digit-classification", "metrics")[0]["metadata"]["accuracy"]
    assert 90 < accuracy <= 100
    matrix = seen.artifacts("iris-sgdclassifier", "metrics")[0]["metadata"]["confusionMatrix"]
    assert [one["displayName"] for one in matrix["annotationSpecs"]] == ["Setosa", "Versicolour", "Virginica"]
    assert sum(sum(one["row"]) for one in matrix["rows"]) == 150 - 45
    curve = seen.artifacts("wine-classification", "metrics")[0]["metadata"]["confidenceMetrics"]
    ends = [(one["falsePositiveRate"], one["recall"]) for one in (curve[0], curve[-1])]
    assert ends == [(0, 0), (1, 1)]
    assert curve[0]["confidenceThreshold"] == 1 - 1e-6
    for name in ("recall", "falsePositiveRate"):
        found = [one[name] for one in curve]
        assert found == sorted(found)
    kinds = {path: list((one.get("outputs") or {})["artifacts"].values())[0][0]["type"] for path, one in seen.steps().items()}
    assert kinds["html-visualization"] == "system.HTML" and kinds["markdown-visualization"] == "system.Markdown"


def _notebooks(seen: Seen) -> None:
    train, evaluate = "\n".join(seen.printed("train-model")), "\n".join(seen.printed("evaluate-model"))
    assert "Writing to /tmp/kfp_nb_outputs/model.txt" in train and "Execution complete" in train
    assert "Got score  11.0" in evaluate


def _status_as_text(seen: Seen) -> None:
    if seen.is_cached("exit-op"):
        return
    (line,) = seen.printed("exit-op")
    before, _, text = line.partition(" pipeline status: ")
    assert before == "user input: Hello World!"
    status = json.loads(text)
    name = status.pop("pipelineJobResourceName")
    assert re.fullmatch(r"pipeline-with-task-final-status-yaml-[a-z0-9]{5}", name)
    assert status == {"error": {}, "pipelineTaskName": "exit-handler-1", "state": "COMPLETE"}


def _a_minute_of_lines(seen: Seen) -> None:
    step = "print-message"
    one = seen.tasks[step]
    seconds = datetime.fromisoformat(one["finished_at"]) - datetime.fromisoformat(one["started_at"])
    assert 59 < seconds.total_seconds() < 90
    lines = seen.printed(step)
    assert len(lines) > 1_000
    assert all(re.fullmatch(r"Hello world \([\d:. -]+\)", line) for line in lines)
    assert lines == sorted(lines, key=_moment)


def _moment(line: str) -> datetime:
    return datetime.fromisoformat(line.partition("(")[2].rstrip(")"))


def _hello(step: str = "echo") -> Expected:
    return Expected(ran={step: 1}, printed={step: ["hello world"]})


PLAIN = {
    "hello_world": _hello(),
    "mounted_cabundle_configmap": _hello(),
    "pipeline_with_only_display_name": _hello(),
    "run_as_user_cache_disabled": _hello(),
    "run_as_user_cache_enabled": _hello(),
    "if_else_with_oneof_artifacts": Expected(
        ran={"flip-coin": 1, "param-to-artifact": 1, "print-artifact": 2},
        values={"flip-coin-pipeline/flip-coin.Output": "heads"},
        texts={
            "flip-coin-pipeline/condition-branches-1/condition-2/param-to-artifact.a": ["heads"],
            "flip-coin-pipeline/condition-branches-1.pipelinechannel--condition-branches-1-oneof-1": ["heads"],
            "flip-coin-pipeline.Output": ["heads"],
        },
        printed={"flip-coin-pipeline/print-artifact": ["heads"], "print-artifact": ["heads"]},
        skipped=("flip-coin-pipeline/condition-branches-1/condition-3",),
    ),
    "log_streaming_compiled": Expected(ran={"print-message": 1}, check=_a_minute_of_lines, passes=1),
    "long-running": Expected(
        ran={"wait-op": 1, "wait-op-2": 1},
        printed={step: ["step-1 sleeping for 5m", "done1"] for step in ("wait-op", "wait-op-2")},
        after={"wait-op-2": "wait-op"},
        passes=1,
    ),
    "metrics_visualization_v2": Expected(
        ran={
            "digit-classification": 1,
            "html-visualization": 1,
            "iris-sgdclassifier": 1,
            "markdown-visualization": 1,
            "wine-classification": 1,
        },
        inputs={"iris-sgdclassifier": {"test_samples_fraction": 0.3}},
        texts={
            "html-visualization.html_artifact": ["<!DOCTYPE html><html><body><h1>Hello world</h1></body></html>"],
            "markdown-visualization.markdown_artifact": ["## Hello world \n\n Markdown content"],
        },
        check=_charts,
    ),
    "nested_return": Expected(ran={"nested-return": 1}, values={".Output": [{"A_a": "1", "B_b": "2"}, {"A_a": "10", "B_b": "20"}]}),
    "notebook_component_mixed": Expected(
        ran={"preprocess": 1, "train-model": 1, "evaluate-model": 1},
        texts={"preprocess.dataset": ["Hello world"], "train-model.model": ["HELLO WORLD"]},
        metadata={"evaluate-model.metrics": {"score": 11}},
        check=_notebooks,
    ),
    "pipeline_as_exit_task": Expected(
        state="FAILED",
        ran={"fail-op": 1, "print-op": 2, "get-run-state": 1},
        failed=("exit-handler-1/fail-op",),
        values={"conditional-notification/get-run-state.Output": "FAILED"},
        printed={
            "exit-handler-1/fail-op": ["Task failed."],
            "exit-handler-1/print-op": ["Hello World!"],
            "conditional-notification/condition-1/print-op": ["notify task failure."],
        },
        after={"conditional-notification": "exit-handler-1"},
    ),
    "pipeline_with_concat_placeholder": Expected(
        ran={"component-with-concat-placeholder": 1}, printed={"component-with-concat-placeholder": []}
    ),
    "pipeline_with_dynamic_importer_metadata": Expected(
        ran={"importer": 1, "importer-2": 1, "make-name": 1},
        values={"make-name.Output": "a-different-name"},
        metadata={
            "importer.artifact": {"containerSpec": {"imageUri": _IMAGE}, "name": ["default-name", "alias-name"]},
            "importer-2.artifact": {
                "containerSpec": {"imageUri": _IMAGE},
                "list-of-data": ["a-different-name", "default-name", "1"],
                "name": "prefix-a-different-name",
                "a-different-name": "a-different-name",
                "default-name": _IMAGE,
            },
        },
        check=_imported,
    ),
    "pipeline_with_task_final_status_yaml": Expected(
        ran={"print-op": 1, "exit-op": 1},
        printed={"exit-handler-1/print-op": ["Hello World!"]},
        after={"exit-op": "exit-handler-1"},
        check=_status_as_text,
    ),
    "pipeline_with_utils": Expected(ran={"echo": 1}, inputs={"echo": {"msg": "Hello, World!"}}, printed={"echo": []}),
    "pythonic_artifacts_with_multiple_returns": Expected(
        ran={"make-dataset": 1, "dataset-splitter": 1},
        texts={
            "make-dataset.Output": ["Hello, world"],
            "splitter-pipeline/dataset-splitter.dataset1": ["Hello,"],
            "splitter-pipeline/dataset-splitter.dataset2": [" world"],
            "splitter-pipeline.dataset1": ["Hello,"],
            "splitter-pipeline.dataset2": ["Hello,"],  # the pipeline returns the first twice
            ".Output": ["Hello,"],
        },
    ),
}
