"""What the local executor will not honour of a pipeline, said before a launch."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from small_pipelines import container, kubernetes, parsed, pipeline, step, task

from pipelines.packages import read_package
from pipelines.spec.parse import parse_text
from pipelines.spec.platform import KUBERNETES_EXECUTOR_CONFIG, LocalNotice, local_notices, read_executor

Json = Any

SECRET = {"secretName": "s", "keyToEnv": [{"secretKey": "k", "envVar": "K"}]}


def notices(config: Json, **more: Json) -> tuple[LocalNotice, ...]:
    return local_notices(parsed(pipeline(**more), kubernetes({"make": config})).spec)


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("secretAsEnv", [SECRET]),
        ("secretAsVolume", [{"secretName": "s", "mountPath": "/s"}]),
        ("configMapAsEnv", [{"configMapName": "c"}]),
        ("configMapAsVolume", [{"configMapName": "c", "mountPath": "/c"}]),
        ("pvcMount", [{"constant": "claim", "mountPath": "/data"}]),
        ("genericEphemeralVolume", [{"volumeName": "v", "mountPath": "/v", "size": "1Gi"}]),
        ("emptyDirMounts", [{"volumeName": "v", "mountPath": "/v"}]),
    ],
)
def test_a_step_that_needs_something_of_a_cluster_is_refused(feature: str, value: Json) -> None:
    (notice,) = notices({feature: value})
    assert (notice.executor, notice.feature, notice.refuses) == ("make", feature, True)
    assert notice.sentence.startswith("The step ") and notice.sentence.endswith(".")


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("nodeSelector", {"labels": {"disk": "ssd"}}),
        ("tolerations", [{"key": "gpu", "operator": "Exists"}]),
        ("nodeAffinity", [{"weight": 1}]),
        ("podAffinity", [{"topologyKey": "zone"}]),
        ("podMetadata", {"labels": {"a": "b"}}),
        ("imagePullSecret", [{"secretName": "s"}]),
        ("imagePullPolicy", "Always"),
        ("fieldPathAsEnv", [{"name": "A", "fieldPath": "metadata.name"}]),
        ("enabledSharedMemory", {"size": "1Gi"}),
        ("securityContext", {"runAsUser": 1000}),
        ("initContainers", [{"name": "i", "image": "x"}]),
        ("somethingNew", {"a": 1}),
    ],
)
def test_what_only_affects_placement_is_said_and_not_refused(feature: str, value: Json) -> None:
    (notice,) = notices({feature: value})
    assert (notice.feature, notice.refuses) == (feature, False)


@pytest.mark.parametrize(("feature", "value"), [("activeDeadlineSeconds", 5), ("secretAsEnv", []), ("podMetadata", {})])
def test_what_is_honoured_or_empty_is_not_mentioned(feature: str, value: Json) -> None:
    assert notices({feature: value}) == ()


def test_an_optional_secret_does_not_refuse() -> None:
    (notice,) = notices({"secretAsEnv": [SECRET | {"optional": True}]})
    assert not notice.refuses and "optional" in notice.sentence
    (notice,) = notices({"secretAsEnv": [SECRET | {"optional": True}, SECRET]})
    assert notice.refuses


def test_claims_are_made_by_a_cluster_only() -> None:
    executors = {"make": container(image="argostub/createpvc"), "use": container(image="argostub/deletepvc")}
    tasks = {"make": task("make"), "drop": task("drop")}
    found = local_notices(parsed(pipeline(tasks, {"drop": step("use")}, executors)).spec)
    assert [(notice.executor, notice.feature, notice.refuses) for notice in found] == [
        ("use", "deletepvc", True),
        ("make", "createpvc", True),
    ]


def test_resources_accelerators_and_the_workspace_are_said() -> None:
    resources = {"resourceCpuLimit": "1", "accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "1"}}
    document = pipeline(executors={"make": container(resources=resources)})
    patch = {"kubernetes": {"pvcSpecPatch": {"accessModes": ["ReadWriteOnce"]}}}
    config = {"workspace": {"size": "1Gi"} | patch, "resourceTtlOnCompletion": 60}
    found = local_notices(parsed(document, kubernetes(config=config)).spec)
    assert [(notice.executor, notice.feature) for notice in found] == [
        ("make", "accelerator"),
        ("make", "resources"),
        ("", "workspace"),
    ]
    assert not any(notice.refuses for notice in found)


def test_executors_that_no_task_reaches_say_nothing() -> None:
    document = parsed(pipeline(), kubernetes({"use": {"secretAsEnv": [SECRET]}, "unknown": {"secretAsEnv": [SECRET]}}))
    assert local_notices(document.spec) == ()


def test_every_known_setting_is_honoured_or_said() -> None:
    values: dict[type, Json] = {list: [{}], dict: {"labels": {"a": "b"}}}
    for feature, shape in KUBERNETES_EXECUTOR_CONFIG.items():
        if feature == "activeDeadlineSeconds":
            continue
        value = values.get(type(shape), "Always")
        if feature == "pvcMount":
            value = [{"constant": "c"}]
        assert notices({feature: value}), feature


def test_snake_case_is_read_and_labels_are_left_as_they_are() -> None:
    given = {"pod_metadata": {"labels": {"my_label": "x"}}, "security_context": {"run_as_user": "1000", "run_as_non_root": True}}
    read, findings = read_executor(given, ())
    assert findings == []
    assert read == {"podMetadata": {"labels": {"my_label": "x"}}, "securityContext": {"runAsUser": 1000, "runAsNonRoot": True}}


def test_pipelines_for_one_machine_are_not_refused(conformance: pathlib.Path) -> None:
    for name in ("hello_world", "critical/pipeline_with_workspace", "xgboost_sample_pipeline"):
        path = conformance / "pipelines" / f"{name}.yaml"
        if path.exists():
            spec = parse_text(read_package(path.read_bytes(), path.name)).spec
            assert not any(notice.refuses for notice in local_notices(spec)), name
