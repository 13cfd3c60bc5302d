"""The cluster of the tests is one: it runs a pod and shows what that printed."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator

import pytest
from kubernetes import client, config

pytestmark = pytest.mark.kubernetes
IMAGE = os.environ.get("KFDASH_TEST_STEP_IMAGE", "python:3.11")
NAMESPACE = "default"
PATIENCE = 180  # seconds; the first pod pulls its image


@pytest.fixture(scope="module")
def core() -> client.CoreV1Api:
    config.load_kube_config(os.environ["KUBECONFIG"])
    return client.CoreV1Api()


@pytest.fixture
def name(core: client.CoreV1Api) -> Iterator[str]:
    name = f"kfdash-smoke-{uuid.uuid4().hex[:8]}"
    yield name
    core.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)


def test_a_pod_runs_and_its_log_can_be_read(core: client.CoreV1Api, name: str) -> None:
    container = {"name": "main", "image": IMAGE, "command": ["python3", "-c", "print(6 * 7)"]}
    core.create_namespaced_pod(
        NAMESPACE, {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    )
    deadline = time.monotonic() + PATIENCE
    while (phase := core.read_namespaced_pod(name, NAMESPACE).status.phase) not in ("Succeeded", "Failed"):
        assert time.monotonic() < deadline, f"The pod is still {phase}."
        time.sleep(0.5)
    assert phase == "Succeeded"
    assert core.read_namespaced_pod_log(name, NAMESPACE).strip() == "42"
