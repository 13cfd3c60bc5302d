"""The local executor keeps the contract, with a real host and real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runs.executors.local.executor import LocalExecutor
from tests.executors.contract import ProcessContract
from tests.executors.hosting import RunningHost, running_host


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host("--steps-at-once", "30") as host:
        yield host


class TestContract(ProcessContract):
    @pytest.fixture
    def executor(self, host: RunningHost) -> Iterator[LocalExecutor]:
        executor = LocalExecutor(host.socket)
        yield executor
        executor.close()
