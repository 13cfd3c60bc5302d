"""Volume claims out of a task's inputs."""

from __future__ import annotations

from typing import Any

import pytest

from runs.execution.claims import MADE_BY, claim_manifest, claim_to_delete
from runs.execution.platform import InvalidOrder

LEAST = {"access_modes": ["ReadWriteOnce"], "size": "1Gi"}


def made(**inputs: Any) -> dict[str, Any]:
    return claim_manifest({**LEAST, **inputs}, attempt="createpvc-x-1", run_id="the-run")


def test_a_claim_has_what_its_task_says() -> None:
    claim = made(
        pvc_name="mine",
        storage_class_name="fast",
        volume_name="pv-1",
        annotations={"owner": "me", "tier": 2},
        data_source={"kind": "VolumeSnapshot", "name": "before"},
    )
    assert claim == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "mine",
            "labels": {"app.kubernetes.io/managed-by": "kfdash", "kfdash.dev/run": "the-run", MADE_BY: "createpvc-x-1"},
            "annotations": {"owner": "me", "tier": "2"},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "fast",
            "volumeName": "pv-1",
            "dataSource": {"kind": "VolumeSnapshot", "name": "before"},
        },
    }


def test_the_storage_class_is_the_standard_one_unless_it_is_said_to_be_none() -> None:
    assert made(pvc_name="a")["spec"]["storageClassName"] == "standard"
    assert made(pvc_name="a", storage_class_name=None)["spec"]["storageClassName"] == "standard"
    assert made(pvc_name="a", storage_class_name="")["spec"]["storageClassName"] == ""


def test_a_name_that_is_not_given_is_the_same_each_time() -> None:
    first, again = made(pvc_name_suffix="-data")["metadata"]["name"], made(pvc_name_suffix="-data")["metadata"]["name"]
    assert first == again
    assert first.endswith("-data")
    assert made()["metadata"]["name"] == first.removesuffix("-data")
    other = claim_manifest(LEAST, attempt="createpvc-x-2", run_id="the-run")
    assert other["metadata"]["name"] != made()["metadata"]["name"]


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"pvc_name": "a", "pvc_name_suffix": "-b"}, "both are given"),
        ({"access_modes": []}, "access_modes"),
        ({"access_modes": "ReadWriteOnce"}, "access_modes"),
        ({"size": ""}, "'size' is missing"),
        ({"size": 5}, "it must be a text"),
        ({"pvc_name": "Upper_Case"}, "cannot be the name"),
        ({"annotations": ["a"]}, "must be an object"),
    ],
)
def test_what_makes_no_claim_is_said(inputs: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidOrder, match=why):
        made(**inputs)


def test_the_claim_to_delete_needs_its_name() -> None:
    assert claim_to_delete({"pvc_name": "mine"}) == "mine"
    with pytest.raises(InvalidOrder, match="missing"):
        claim_to_delete({})
