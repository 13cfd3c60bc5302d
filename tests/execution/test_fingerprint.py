"""What makes two tasks the same for the cache, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.spec.model import (
    ArtifactDefinition,
    CachingOptions,
    ComponentSpec,
    ContainerSpec,
    ParameterDefinition,
    ParameterType,
    PipelineSpec,
    PlatformSpec,
    ResourceSpec,
    RetryPolicy,
    TaskSpec,
)
from runs.engine.model import Values
from runs.execution.fingerprint import differences, fingerprint, parts
from runs.execution.order import mounted_claims

COMPONENT = ComponentSpec(
    name="comp-fit",
    input_parameters={"x": ParameterDefinition(ParameterType.NUMBER_INTEGER, has_default=True, default=1)},
    output_parameters={"Output": ParameterDefinition(ParameterType.STRING)},
    output_artifacts={"model": ArtifactDefinition()},
    executor="exec-fit",
)
CONTAINER = ContainerSpec("exec-fit", "python:3.11", ("python",), ("main.py",))
TASK = TaskSpec("fit", "fit", "comp-fit")
ARTIFACT = {
    "id": 7,
    "name": "data",
    "uri": "minio://kfdash/x",
    "type": "system.Dataset",
    "schema_version": "0.0.1",
    "metadata": {},
    "custom_path": "",
}
INPUTS = Values({"x": 3}, {"data": [ARTIFACT]})  # type: ignore[list-item]


def spec_of(
    component: ComponentSpec = COMPONENT, container: ContainerSpec = CONTAINER, platform: PlatformSpec | None = None
) -> PipelineSpec:
    return PipelineSpec("p", component, {"comp-fit": component}, {"exec-fit": container}, platform=platform or PlatformSpec())


def key(
    component: ComponentSpec = COMPONENT,
    container: ContainerSpec = CONTAINER,
    task: TaskSpec = TASK,
    inputs: Values = INPUTS,
    **options: Any,
) -> str:
    return fingerprint(spec=spec_of(component, container), component=component, task_spec=task, inputs=inputs, **options)


def test_it_is_a_sha_256_and_the_same_every_time() -> None:
    assert len(key()) == 64
    assert key() == key()


def test_numbers_are_equal_as_json_numbers() -> None:
    assert key(inputs=replace(INPUTS, parameters={"x": 3.0})) == key()


@pytest.mark.parametrize(
    "change",
    [
        {"container": replace(CONTAINER, env=(("A", "1"),), resources=ResourceSpec(cpu_limit="2"))},
        {"task": replace(TASK, key="other", name="other", retry=RetryPolicy(3))},
        {"component": replace(COMPONENT, input_parameters={})},
        {"inputs": Values(INPUTS.parameters, {"data": [{**ARTIFACT, "uri": "minio://kfdash/y", "metadata": {"a": 1}}]})},  # type: ignore[list-item]
    ],
    ids=["environment and resources", "key, name and retries", "component defaults", "an artifact's content"],
)
def test_what_does_not_count(change: dict[str, Any]) -> None:
    assert key(**change) == key()


@pytest.mark.parametrize(
    "change",
    [
        {"container": replace(CONTAINER, image="python:3.12")},
        {"container": replace(CONTAINER, args=("main.py", "-v"))},
        {"inputs": replace(INPUTS, parameters={"x": 4})},
        {"inputs": replace(INPUTS, parameters={"y": 3})},
        {"inputs": replace(INPUTS, parameters={"x": 3, "s": ""})},
        {"inputs": Values(INPUTS.parameters, {"data": [{**ARTIFACT, "id": 8}]})},  # type: ignore[list-item]
        {"inputs": Values(INPUTS.parameters, {"data": [ARTIFACT, ARTIFACT]})},  # type: ignore[list-item]
        {"component": replace(COMPONENT, output_parameters={"Output": ParameterDefinition(ParameterType.LIST)})},
        {"component": replace(COMPONENT, output_artifacts={"model": ArtifactDefinition(metadata={"a": 1})})},
        {"claims": ["data"]},
    ],
)
def test_what_counts(change: dict[str, Any]) -> None:
    assert key(**change) != key()


def test_the_users_own_key_replaces_all_but_the_component() -> None:
    own = replace(TASK, caching=CachingOptions(True, "mine"))
    assert key(task=own) == key(task=own, inputs=Values(), container=replace(CONTAINER, image="other"))
    assert key(task=own) != key(task=replace(own, component="comp-other"))
    assert key(task=own) != key(task=replace(own, caching=CachingOptions(True, "yours")))


def test_claims_count_as_a_set() -> None:
    assert key(claims=["b", "a", "b"]) == key(claims=["a", "b"])


def test_the_parts_are_kfps() -> None:
    assert parts(spec=spec_of(), component=COMPONENT, inputs=INPUTS) == {
        "containerSpec": {"image": "python:3.11", "cmdArgs": ["python", "main.py"]},
        "inputParameterValues": {"x": 3},
        "inputArtifactNames": {"data": {"artifactNames": ["7"]}},
        "outputParametersSpec": {"Output": "STRING"},
        "outputArtifactsSpec": {
            "executor-logs": {"name": "executor-logs", "type": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}},
            "model": {"name": "model", "type": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}},
        },
    }


def test_a_step_in_the_workspace_mounts_the_runs_claim() -> None:
    mounts = {
        "exec-fit": {"pvcMount": [{"constant": "data", "mountPath": "/d"}, {"componentInputParameter": "x", "mountPath": "/e"}]}
    }
    spec = spec_of(platform=PlatformSpec(mounts, {"workspace": {"size": "1Gi"}}))
    assert mounted_claims(spec, COMPONENT, INPUTS, "p-abcde") == ("data",)
    inside = Values({"x": "/kfp-workspace/a"})
    assert mounted_claims(spec, COMPONENT, inside, "p-abcde") == ("data", "p-abcde-kfp-workspace")


@pytest.mark.parametrize("setting", ["secretAsEnv", "pvcMount"])
def test_a_step_with_a_setting_that_cannot_be_has_a_fingerprint_of_its_own_at_most(setting: str) -> None:
    entry = {"secretNameParameter": {"runtimeValue": {"constant": []}}, "pvcNameParameter": {"runtimeValue": {"constant": []}}}
    spec = spec_of(platform=PlatformSpec({"exec-fit": {setting: [entry]}}, {}))
    assert bool(mounted_claims(spec, COMPONENT, INPUTS, "p-abcde")) == (setting == "pvcMount")


def test_what_differs_is_said_inputs_first_with_their_values() -> None:
    before = {
        "containerSpec": {"image": "a:1", "cmdArgs": ["x"], "pvcNames": ["disk"]},
        "inputParameterValues": {"threshold": 0.5, "same": [1], "old": "o"},
        "inputArtifactNames": {"data": {"artifactNames": ["1"]}},
        "outputParametersSpec": {"Output": "STRING"},
    }
    after = {
        "containerSpec": {"image": "a:2", "cmdArgs": ["y"]},
        "inputParameterValues": {"threshold": 0.6, "same": [1], "new": "n" * 80},
        "inputArtifactNames": {"data": {"artifactNames": ["2"]}},
        "outputParametersSpec": {"Output": "LIST"},
    }
    assert [one.sentence for one in differences(before, after)] == [
        "`threshold` 0.5 → 0.6",
        f'`new` nothing → "{"n" * 58}…',
        '`old` "o" → nothing',
        "input artifact `data` is another one",
        "image a:1 → a:2",
        "code or command changed",
        "mounted volumes changed",
        "output `Output` is declared differently",
    ]
    assert differences(before, before) == []
