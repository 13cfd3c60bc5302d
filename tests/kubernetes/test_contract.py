"""The Kubernetes executor keeps the contract, on a real cluster, with the real launcher and the real intake."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest

from kfdash import callback
from runs.executors.kubernetes.config import Config
from tests.executors.contract import ProcessContract
from tests.kubernetes.intaking import ExecutorAndIntake, running_intake

pytestmark = pytest.mark.kubernetes


@pytest.fixture(scope="module")
def installation(cluster: Config) -> Iterator[ExecutorAndIntake]:
    """One executor for all tests: following a cluster anew for each takes its time."""
    listening = socket.create_server(("0.0.0.0", 0))
    host = os.environ.get("KFDASH_TEST_HOST") or callback.address_towards(callback.api_server(cluster.kubeconfig, ""))
    url = f"http://{host}:{listening.getsockname()[1]}"
    executor = ExecutorAndIntake(dataclasses.replace(cluster, launcher_url=url))
    with running_intake(executor, listening):
        yield executor
    executor.close()


class TestContract(ProcessContract):
    patience: ClassVar[float] = 60.0

    @pytest.fixture
    def executor(self, installation: ExecutorAndIntake) -> ExecutorAndIntake:
        return installation
