"""KFP's folder `critical`, where nothing is left to chance."""

from __future__ import annotations

from tests.conformance.expected.model import Expected
from tests.conformance.seen import Seen


def _placeholders_of_the_run(seen: Seen) -> None:
    path = "print-all-placeholders"
    given = seen.inputs(path)
    assert given["job_name"] == seen.run["display_name"] and given["job_id"] == seen.run_id
    assert given["task_name"] == path and given["task_id"] == seen.tasks[path]["id"]
    assert given["job_resource_name"].startswith("pipeline-with-placeholders-")
    order = ("job_name", "job_resource_name", "job_id", "task_name", "task_id")
    assert seen.printed(path) == [", ".join(given[name] for name in order)]


def _status_of_the_body(seen: Seen) -> None:
    status = seen.inputs("echo-state")["status"]
    assert status["pipelineJobResourceName"].startswith("status-state-pipeline-")
    expected = {"state": "COMPLETE", "pipelineTaskName": "exit-handler-1", "error": {}}
    assert {name: status[name] for name in expected} == expected


def _uri_asked_for(seen: Seen) -> None:
    (model,) = seen.artifacts("train-model", "Output")
    assert model["type"] == "system.Model" and model["uri"].endswith("/model") and "/train-model/" in model["uri"]
    (data,) = seen.artifacts("train-model", "dataset", "inputs")
    assert data == seen.artifacts("gen-data", "Output")[0]


_IDS = ["s1", "s2", "s3"]
_PREPENDED = [f"model_id_{one}" for one in _IDS]

CRITICAL = {
    "critical/add_numbers": Expected(
        ran={"add-numbers": 1}, arguments={"a": 5, "b": 7}, values={".Output": 12, "add-numbers.Output": 12}
    ),
    "critical/artifact_cache": Expected(
        ran={"core-comp": 1, "crust-comp": 1},
        texts={"mantle/core/core-comp.dataset": ["foo"], "mantle/core.Output": ["foo"], "mantle.Output": ["foo"]},
        printed={"crust-comp": ["input:  foo"]},
    ),
    "critical/artifact_crust": Expected(
        ran={"core-comp": 1, "crust-comp": 1},
        texts={"mantle/core/core-comp.dataset": ["foo"], "mantle.Output": ["foo"]},
        printed={"crust-comp": ["input:  foo"]},
    ),
    "critical/collected_parameters": Expected(
        ran={"split-ids": 1, "prepend-id": 3, "consume-single-id": 3, "consume-ids": 2},
        values={
            "collecting-parameters/split-ids.Output": _IDS,
            "collecting-parameters/for-loop-1[*]/prepend-id.Output": _PREPENDED,
            "collecting-parameters/for-loop-1[*]/consume-single-id.Output": ["completed"] * 3,
            "collecting-parameters.Output": _PREPENDED,
            "consume-ids.Output": "completed",
        },
        printed={
            "collecting-parameters/for-loop-1[*]/prepend-id": [f"prepending: {one} with 'model_id'" for one in _IDS],
            "collecting-parameters/for-loop-1[*]/consume-single-id": [f"Consuming single: {one}" for one in _PREPENDED],
            "collecting-parameters/consume-ids": [f"Consuming: {one}" for one in _PREPENDED],
            "consume-ids": [f"Consuming: {one}" for one in _PREPENDED],
        },
    ),
    "critical/component_with_optional_inputs": Expected(
        ran={"component-op": 1},
        printed={
            "component-op": [
                "input1: Hello, type: <class 'str'>",
                "input2: World, type: <class 'str'>",
                "input3: None, type: <class 'NoneType'>",
            ]
        },
    ),
    "critical/mixed_parameters": Expected(
        ran={"core-comp": 1, "crust-comp": 1},
        values={"mantle/core/core-comp.Output": 1, "mantle/core.Output": 1, "mantle.Output": 1},
        inputs={"crust-comp": {"x": 2, "y": 1}},
        printed={"crust-comp": ["sum : 3"]},
    ),
    "critical/parallel_for_after_dependency": Expected(
        ran={"print-op": 3, "print-op-2": 1, "print-op-3": 1},
        values={"for-loop-2[*]/print-op.Output": ["foo"] * 3, "print-op-2.Output": "bar", "print-op-3.Output": "baz"},
        printed={"for-loop-2[*]/print-op": ["foo"] * 3, "print-op-2": ["bar"], "print-op-3": ["baz"]},
        after={"print-op-2": "for-loop-2", "print-op-3": "for-loop-2"},
    ),
    "critical/pipeline_with_artifact_custom_path": Expected(
        ran={"component-output-artifact": 1, "validate-input-artifact": 1},
        texts={"component-output-artifact.out_dataset": ["Hello, World!"]},
        values={"validate-input-artifact.Output": True},
    ),
    "critical/pipeline_with_env": Expected(
        ran={"print-env": 1, "print-env-op": 1},
        printed={"print-env": ["val0", "val2", "val3"], "print-env-op": ["ENV1 val1", "ENV2 None"]},
    ),
    "critical/pipeline_with_input_status_state": Expected(
        ran={"some-task": 1, "echo-state": 1},
        printed={"exit-handler-1/some-task": ["Executing some_task()..."], "echo-state": []},
        after={"echo-state": "exit-handler-1"},
        check=_status_of_the_body,
    ),
    "critical/pipeline_with_placeholders": Expected(ran={"print-all-placeholders": 1}, check=_placeholders_of_the_run),
    "critical/pipeline_with_retry": Expected(ran={"add": 1}, inputs={"add": {"a": 1, "b": 7}}, values={"add.Output": 8}),
    "critical/producer_consumer_param_pipeline": Expected(
        ran={"producer": 1, "consumer": 1},
        values={"producer.output_value": "Hello world, this is an output parameter\n"},
        printed={"consumer": ["Read from an input parameter: ", "Hello world, this is an output parameter", ""]},
        inputs={"consumer": {"input_value": "Hello world, this is an output parameter\n"}},
    ),
    "critical/pythonic_artifacts_test_pipeline": Expected(
        ran={"gen-data": 1, "train-model": 1},
        texts={"gen-data.Output": ["some data"], "train-model.Output": ["model trained"]},
        metadata={"gen-data.Output": {"length": 9}},
        check=_uri_asked_for,
    ),
    "critical/two_step_pipeline_containerized": Expected(
        ran={"component1": 1, "component2": 1},
        texts={"component1.output_gcs": ["Hello KFP Containerized!\n"]},
        printed={"component2": ["Hello KFP Containerized!"]},
    ),
}
