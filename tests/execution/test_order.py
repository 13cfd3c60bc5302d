"""Complete orders: names, inputs, URIs, images, resources."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.spec import paths
from pipelines.spec.model import (
    ArtifactDefinition,
    ArtifactType,
    ComponentSpec,
    ContainerSpec,
    ParameterDefinition,
    ParameterType,
    PipelineSpec,
    PlatformSpec,
    ResourceSpec,
)
from runs.engine.model import ArtifactValue, Kind, Run, Task, Values
from runs.execution.order import AttemptOrder, InvalidOrder, attempt_name, complete

RUN = Run(
    "5d0c6ae9-0000-4000-8000-000000000001",
    "my run",
    "train-x7k2p",
    created_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    pipeline_root="minio://kfdash/v2/artifacts/train/5d0c6ae9-0000-4000-8000-000000000001",
)
COMPONENT = ComponentSpec(
    name="comp-fit",
    input_parameters={
        "rate": ParameterDefinition(ParameterType.NUMBER_DOUBLE, has_default=True, default=3.0, optional=True),
        "name": ParameterDefinition(ParameterType.STRING),
        "note": ParameterDefinition(ParameterType.STRING, optional=True),
    },
    input_artifacts={"data": ArtifactDefinition(ArtifactType("system.Dataset"))},
    output_parameters={"Output": ParameterDefinition(ParameterType.NUMBER_DOUBLE)},
    output_artifacts={"model": ArtifactDefinition(ArtifactType("system.Model"), metadata={"framework": "none"})},
    executor="exec-fit",
)
CONTAINER = ContainerSpec("exec-fit", "python:3.11", ("python",), ("main.py",), (("B", "2"), ("A", "1")))


def artifact(**fields: Any) -> ArtifactValue:
    value = ArtifactValue(
        id=17, name="data", uri="minio://kfdash/x", type="system.Dataset", schema_version="0.0.1", metadata={}, custom_path=""
    )
    return value | fields  # type: ignore[return-value]


def order(
    inputs: Values | None = None,
    *,
    component: ComponentSpec = COMPONENT,
    container: ContainerSpec = CONTAINER,
    run: Run = RUN,
    path: str = "root/fit",
    platform: dict[str, Any] | None = None,
    pipeline: dict[str, Any] | None = None,
    number: int = 1,
    **options: Any,
) -> AttemptOrder:
    spec = PipelineSpec("train", component, {component.name: component}, {"exec-fit": container})
    spec = replace(spec, platform=PlatformSpec({"exec-fit": platform or {}}, pipeline or {}))
    task = Task(path, Kind.CONTAINER, inputs=inputs if inputs is not None else Values({"name": "a"}))
    return complete(spec=spec, component=component, run=run, task=task, number=number, **options)


def test_an_order_survives_json() -> None:
    made = order(Values({"name": "a"}, {"data": [artifact()]}), platform={"activeDeadlineSeconds": "60"})
    assert AttemptOrder.from_json(json.loads(json.dumps(dataclasses.asdict(made)))) == made


# --- names ---


@given(st.text(min_size=1, max_size=80), st.integers(1, 10_000))
def test_names_are_safe_for_pods_and_files(key: str, number: int) -> None:
    name = attempt_name(RUN.id, paths.child("root", key), number)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= 52


def test_names_differ_by_run_path_and_number_and_show_the_key() -> None:
    several = [
        ("r1", "root/fit", 1),
        ("r2", "root/fit", 1),
        ("r1", "root/fit[1]", 1),
        ("r1", "root/fit", 2),
        ("r1", "root/a/fit", 1),
    ]
    names = [attempt_name(*each) for each in several]
    assert len(set(names)) == len(several)
    assert all(name.startswith("fit-") for name in names)
    assert attempt_name(*several[0]) == names[0]


# --- the executor input ---


def test_defaults_are_added_and_null_is_not_supplied() -> None:
    made = order(Values({"name": "a", "note": None, "rate": None}))
    assert made.executor_input["inputs"]["parameterValues"] == {"name": "a", "rate": 3}
    assert isinstance(made.executor_input["inputs"]["parameterValues"]["rate"], int)


def test_a_supplied_value_wins_over_the_default() -> None:
    assert order(Values({"rate": 0.5})).executor_input["inputs"]["parameterValues"]["rate"] == 0.5


def test_input_artifacts_have_id_type_metadata_and_custom_path() -> None:
    values = [artifact(metadata={"rows": 3}), artifact(id=18, type="", custom_path="/data")]
    found = order(Values({}, {"data": values, "none": []})).executor_input["inputs"]["artifacts"]
    assert found == {
        "data": {
            "artifacts": [
                {
                    "name": "17",
                    "uri": "minio://kfdash/x",
                    "type": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"},
                    "metadata": {"rows": 3},
                },
                {
                    "name": "18",
                    "uri": "minio://kfdash/x",
                    "type": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"},
                    "metadata": {},
                    "customPath": "/data",
                },
            ]
        }
    }


def test_outputs_are_assigned_beforehand() -> None:
    outputs = order().executor_input["outputs"]
    assert outputs["parameters"] == {"Output": {"outputFile": "/tmp/kfp/outputs/Output"}}
    [model] = outputs["artifacts"]["model"]["artifacts"]
    assert re.fullmatch(rf"{RUN.pipeline_root}/fit/[0-9a-f-]{{36}}/model", model["uri"])
    assert model["type"] == {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"}
    assert model["metadata"] == {"framework": "none"}
    assert outputs["outputFile"] == "/minio/" + model["uri"].removeprefix("minio://").removesuffix("model") + "output_metadata.json"


def test_attempts_of_a_task_share_their_uris_and_iterations_do_not() -> None:
    def uri(made: AttemptOrder) -> str:
        found: str = made.executor_input["outputs"]["artifacts"]["model"]["artifacts"][0]["uri"]
        return found

    assert uri(order(number=1)) == uri(order(number=2))
    assert len({uri(order(path=path)) for path in ("root/fit", "root/loop[0]/fit", "root/loop[1]/fit")}) == 3


@pytest.mark.parametrize("key", ["../../x", "..", ".", "a/b", "a?b#c", "\0", "ü"])
def test_no_key_or_name_leads_out_of_the_runs_root(key: str) -> None:
    component = replace(
        COMPONENT, output_artifacts={key: ArtifactDefinition()}, output_parameters={key: ParameterDefinition(ParameterType.STRING)}
    )
    outputs = order(component=component, path=paths.child("root", key)).executor_input["outputs"]
    uri = outputs["artifacts"][key]["artifacts"][0]["uri"]
    segments = uri.removeprefix(RUN.pipeline_root + "/").split("/")
    assert len(segments) == 3
    assert not {".", "..", ""} & set(segments)
    assert outputs["parameters"][key]["outputFile"].count("/") == 4


def test_the_roots_query_is_no_part_of_uris() -> None:
    run = replace(RUN, pipeline_root="s3://bucket/root?endpoint=http://minio:9000")
    outputs = order(run=run).executor_input["outputs"]
    assert outputs["artifacts"]["model"]["artifacts"][0]["uri"].startswith("s3://bucket/root/fit/")
    assert outputs["outputFile"].startswith("/s3/bucket/root/fit/")


def test_an_instance_schema_is_kept() -> None:
    component = replace(COMPONENT, output_artifacts={"x": ArtifactDefinition(ArtifactType(instance_schema="title: T\n"))})
    [found] = order(component=component).executor_input["outputs"]["artifacts"]["x"]["artifacts"]
    assert found["type"] == {"instanceSchema": "title: T\n"}


# --- image, resources, environment, time ---


def test_the_image_can_come_from_a_parameter_as_a_whole() -> None:
    container = replace(CONTAINER, image="prefix/{{$.inputs.parameters['name']}}:x")
    assert order(Values({"name": "alpine:3"}), container=container).image == "alpine:3"


@pytest.mark.parametrize("value", [3, None, ""])
def test_an_image_that_is_no_text_is_refused_by_name(value: object) -> None:
    container = replace(CONTAINER, image="{{$.inputs.parameters['name']}}")
    with pytest.raises(InvalidOrder, match="'name'"):
        order(Values({"name": value}), container=container)


def test_resources_come_from_parameters_or_stay_out() -> None:
    resources = ResourceSpec(
        cpu_limit="{{$.inputs.parameters['cpu']}}",
        memory_limit="1Gi",
        cpu_request="{{$.inputs.parameters['none']}}",
        accelerator_count="{{$.inputs.parameters['gpus']}}",
    )
    made = order(Values({"cpu": "500m", "gpus": 2}), container=replace(CONTAINER, resources=resources))
    assert made.resources == {"cpuLimit": "500m", "memoryLimit": "1Gi", "acceleratorCount": "2"}


def test_the_users_environment_keeps_its_order_and_comes_last() -> None:
    made = order(number=3)
    assert made.env == (("KFP_POD_NAME", made.name), ("KFP_RETRY_INDEX", "2"), ("B", "2"), ("A", "1"))


@pytest.mark.parametrize(("value", "seconds"), [(60, 60.0), ("90", 90.0), (0, None), (None, None), (-1, None)])
def test_the_time_limit_is_the_platforms(value: object, seconds: float | None) -> None:
    assert order(platform={"activeDeadlineSeconds": value}).timeout == seconds


def test_constants_of_the_run_are_placeholders() -> None:
    placeholders = order().placeholders
    assert placeholders["{{$.pipeline_job_name}}"] == "my run"
    assert placeholders["{{$.pipeline_task_name}}"] == "fit"
    assert placeholders["{{$.pipeline_job_create_time_utc}}"] == "2026-03-01T12:00:00Z"


# --- workspace ---


@pytest.mark.parametrize(
    ("inputs", "used"),
    [
        (Values({"name": "/kfp-workspace/x"}), True),
        (Values({"name": "{{$.workspace_path}}"}), True),
        (Values({"list": ["a", {"b": "/kfp-workspace"}]}), True),
        (Values({"name": "a"}), False),
        (Values({}, {"data": [artifact(), artifact(metadata={"_kfp_workspace": True})]}), True),
    ],
)
def test_the_workspace_is_there_for_those_who_mention_it(inputs: Values, used: bool) -> None:
    assert order(inputs, pipeline={"workspace": {"size": "1Gi"}}).workspace == (RUN.id if used else "")
    assert order(inputs).workspace == ""


def test_a_command_that_mentions_the_workspace_has_it() -> None:
    container = replace(CONTAINER, args=("{{$.workspace_path}}/x",))
    assert order(container=container, pipeline={"workspace": {"size": "1Gi"}}).workspace == RUN.id


# --- settings for Kubernetes ---


def resolver(given: Any) -> Any:
    known = {
        "secret": "s1",
        "unset": None,
        "number": 3,
        "labels": {"disk": "ssd"},
        "gpu": {"resourceClaimTemplateName": "one-gpu", "name": "gpu"},
        "gpus": [{"resourceClaimTemplateName": "one-gpu"}, {"resourceClaimName": "shared"}],
    }
    return known[given["componentInputParameter"]]


def test_parameters_in_settings_are_resolved() -> None:
    platform = {
        "secretAsEnv": [{"secretNameParameter": {"componentInputParameter": "secret"}, "keyToEnv": []}],
        "imagePullSecret": [{"secretNameParameter": {"runtimeValue": {"constant": "pull"}}}, {"secretName": "plain"}],
        "configMapAsVolume": [{"configMapNameParameter": {"componentInputParameter": "unset"}, "mountPath": "/c"}],
        "pvcMount": [{"componentInputParameter": "secret", "mountPath": "/d"}, {"constant": "claim", "mountPath": "/e"}],
        "nodeSelector": {"nodeSelectorJson": {"componentInputParameter": "labels"}},
        "tolerations": [{"tolerationJson": {"runtimeValue": {"constant": [{"key": "gpu"}, {}]}}}, {"key": "own"}],
    }
    assert order(platform=platform, resolve=resolver).platform == {
        "secretAsEnv": [{"secretName": "s1", "keyToEnv": []}],
        "imagePullSecret": [{"secretName": "pull"}, {"secretName": "plain"}],
        "pvcMount": [{"pvcName": "s1", "mountPath": "/d"}, {"pvcName": "claim", "mountPath": "/e"}],
        "nodeSelector": {"labels": {"disk": "ssd"}},
        "tolerations": [{"key": "gpu"}, {"key": "own"}],
    }


def test_claims_of_devices_may_come_from_parameters() -> None:
    claims = [
        {"resourceClaimTemplateName": "plain"},
        {"resourceClaimTemplateName": "plain", "resourceClaimJson": {"componentInputParameter": "gpu"}},
        {"resourceClaimJson": {"componentInputParameter": "gpus"}},
        {"resourceClaimJson": {"componentInputParameter": "unset"}},
    ]
    assert order(platform={"podResourceClaims": claims}, resolve=resolver).platform["podResourceClaims"] == [
        {"resourceClaimTemplateName": "plain"},
        {"resourceClaimTemplateName": "one-gpu"},
        {"resourceClaimTemplateName": "one-gpu"},
        {"resourceClaimName": "shared"},
    ]


def test_without_a_resolver_what_is_no_constant_stays() -> None:
    entry = {"secretNameParameter": {"componentInputParameter": "secret"}, "mountPath": "/s"}
    assert order(platform={"secretAsVolume": [entry]}).platform == {"secretAsVolume": [entry]}


@pytest.mark.parametrize(
    "platform",
    [
        {"secretAsEnv": [{"secretNameParameter": {"componentInputParameter": "number"}}]},
        {"secretAsEnv": [{"secretNameParameter": {"runtimeValue": {"constant": ""}}}]},
        {"pvcMount": [{"pvcNameParameter": {"componentInputParameter": "unset"}}]},
        {"nodeSelector": {"nodeSelectorJson": {"componentInputParameter": "secret"}}},
        {"podResourceClaims": [{"resourceClaimJson": {"componentInputParameter": "secret"}}]},
        {"podResourceClaims": [{"resourceClaimJson": {"runtimeValue": {"constant": ["one-gpu"]}}}]},
    ],
)
def test_settings_that_cannot_be_used_are_refused(platform: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrder):
        order(platform=platform, resolve=resolver)


# --- TaskConfig ---

WITH_CONFIG = replace(COMPONENT, input_parameters={"config": ParameterDefinition(ParameterType.TASK_CONFIG)})
SETTINGS = {
    "nodeSelector": {"labels": {"disk": "ssd"}},
    "tolerations": [{"key": "gpu"}],
    "pvcMount": [{"pvcName": "c", "mountPath": "/d"}],
}


def test_without_passthroughs_everything_stays_and_the_input_is_empty() -> None:
    made = order(Values(), component=WITH_CONFIG, platform=SETTINGS)
    assert made.executor_input["inputs"]["parameterValues"] == {"config": {}}
    assert made.platform == SETTINGS


def test_passthroughs_go_into_the_input_and_stay_only_where_they_say_so() -> None:
    listed = (("RESOURCES", True), ("ENV", False), ("KUBERNETES_NODE_SELECTOR", False), ("KUBERNETES_VOLUMES", True))
    container = replace(CONTAINER, resources=ResourceSpec(cpu_limit="1", accelerator_type="nvidia.com/gpu", accelerator_count="1"))
    made = order(Values(), component=replace(WITH_CONFIG, task_config_passthroughs=listed), container=container, platform=SETTINGS)
    assert made.executor_input["inputs"]["parameterValues"]["config"] == {
        "resources": {"limits": {"cpu": "1", "nvidia.com/gpu": "1"}},
        "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
        "nodeSelector": {"disk": "ssd"},
        "volumes": [{"name": "c", "persistentVolumeClaim": {"claimName": "c"}}],
        "volumeMounts": [{"name": "c", "mountPath": "/d"}],
    }
    assert made.resources["cpuLimit"] == "1"
    assert [name for name, _ in made.env] == ["KFP_POD_NAME", "KFP_RETRY_INDEX"]
    assert set(made.platform) == {"tolerations", "pvcMount"}
