"""What the manifest makes is what a real API server takes: each setting, and the restricted pod standard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runs.executors.kubernetes.client import Client, Refused
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.manifest import manifest, workspace_manifest
from tests.kubernetes.orders import step

pytestmark = pytest.mark.kubernetes

Json = Any

_TERM = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
_MODEL = {"name": "m", "uri": "oci://modelcar:test", "type": {"schemaTitle": "system.Model"}, "metadata": {}}
_EVERYTHING: dict[str, Json] = {
    "secretAsVolume": [{"secretName": "my.secret", "mountPath": "/secret", "optional": True}],
    "secretAsEnv": [{"secretName": "s", "keyToEnv": [{"secretKey": "k", "envVar": "FROM_SECRET"}], "optional": True}],
    "configMapAsVolume": [{"configMapName": "c", "mountPath": "/config", "optional": True}],
    "configMapAsEnv": [{"configMapName": "c", "keyToEnv": [{"configMapKey": "k", "envVar": "FROM_MAP"}], "optional": True}],
    "pvcMount": [{"pvcName": "data", "mountPath": "/data", "subPath": "in"}],
    "nodeSelector": {"labels": {"kubernetes.io/os": "linux"}},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
    "nodeAffinity": [_TERM, {**_TERM, "weight": 5}],
    "podMetadata": {"labels": {"team": "a"}, "annotations": {"note": "n"}},
    "imagePullSecret": [{"secretName": "registry"}],
    "imagePullPolicy": "IfNotPresent",
    "activeDeadlineSeconds": 60,
    "fieldPathAsEnv": [{"name": "POD", "fieldPath": "metadata.labels['team']"}],
    "genericEphemeralVolume": [{"volumeName": "Scratch", "mountPath": "/scratch", "size": "1Gi", "defaultStorageClass": True}],
    "emptyDirMounts": [{"volumeName": "mem", "mountPath": "/mem", "medium": "Memory", "sizeLimit": "1Mi"}],
    "enabledSharedMemory": {"volumeName": "shm", "size": "1Mi"},
    "securityContext": {"runAsUser": 1000, "runAsGroup": 0, "runAsNonRoot": True},
    "initContainers": [
        {"name": "before", "image": "busybox:latest", "volumeMounts": [{"volumeName": "mem", "mountPath": "/m"}]},
        {"name": "beside", "image": "busybox:latest", "restartPolicy": "Always", "resources": {"limits": {"cpu": "1"}}},
    ],
}


@pytest.fixture(scope="module")
def client(cluster: Config) -> Client:
    return Client(cluster)


@pytest.fixture
def restricted(cluster: Config, client: Client) -> Iterator[None]:
    """The namespace asks for the restricted pod standard."""
    path, label = f"/api/v1/namespaces/{cluster.namespace}", "pod-security.kubernetes.io/enforce"
    for value in ("restricted", None):
        body = {"metadata": {"labels": {label: value}}}
        client.request("PATCH", path, body=body, content_type="application/merge-patch+json")
        if value:
            yield


def _take(client: Client, pod: dict[str, Json], kind: str = "pods") -> dict[str, Json]:
    path = f"/api/v1/namespaces/{client.namespace}/{kind}"
    made: dict[str, Json] = client.request("POST", path, query={"dryRun": "All", "fieldValidation": "Strict"}, body=pod)
    return made


def test_a_pod_with_every_setting_is_taken(cluster: Config, client: Client) -> None:
    claim = {"name": "w-kfp-workspace", "workspace": {"size": "1Gi"}}
    order = step(
        _EVERYTHING,
        timeout=60.0,
        resources={"cpuLimit": "1", "memoryLimit": "64Mi", "acceleratorType": "nvidia.com/gpu", "acceleratorCount": "1"},
        workspace="run-1",
        workspace_claim=claim,
        executor_input={"inputs": {"artifacts": {"m": {"artifacts": [_MODEL]}}}},
    )
    made = _take(client, manifest(order, cluster, "t"))
    assert made["metadata"]["name"] == order.name
    _take(client, workspace_manifest(order, "i"), "persistentvolumeclaims")


def test_a_step_that_is_not_root_fits_the_restricted_standard(cluster: Config, client: Client, restricted: None) -> None:
    _take(client, manifest(step({"securityContext": {"runAsUser": 1000, "runAsNonRoot": True}}), cluster, "t"))


def test_a_step_that_may_be_root_does_not_and_the_launcher_is_not_why(cluster: Config, client: Client, restricted: None) -> None:
    with pytest.raises(Refused) as refused:
        _take(client, manifest(step(), cluster, "t"))
    assert "runAsNonRoot" in str(refused.value) and '"main"' in str(refused.value)
    assert "launcher" not in str(refused.value)
