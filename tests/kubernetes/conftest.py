"""A namespace of our own on the cluster that KUBECONFIG names, for tests that need one."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import uuid
from collections.abc import Iterator

import pytest

from runs.executors.kubernetes.client import Client
from runs.executors.kubernetes.config import Config
from runs.store import StoreOptions
from tests.kubernetes.orders import CONFIG
from tests.running import IMAGE


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """An installation whose pods are in a namespace that is made for it and deleted in the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("There is no KUBECONFIG.")
    folder: pathlib.Path = tmp_path_factory.mktemp("installation")
    namespace = f"kfdash-test-{uuid.uuid4().hex[:8]}"
    config = dataclasses.replace(
        CONFIG,
        image=IMAGE,
        installation=namespace,
        kubeconfig=os.environ["KUBECONFIG"],
        namespace=namespace,
        store_options=StoreOptions(str(folder / "artifacts")),
        logs_dir=str(folder / "logs"),
        grace=2.0,
    )
    client = Client(config)
    client.request("POST", "/api/v1/namespaces", body={"metadata": {"name": namespace}})
    yield config
    pods = client.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
    for pod in pods:
        path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}"
        client.request("PATCH", path, body={"metadata": {"finalizers": None}}, content_type="application/merge-patch+json")
    client.request("DELETE", f"/api/v1/namespaces/{namespace}")
