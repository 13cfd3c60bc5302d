"""The Kubernetes executor keeps the contract, on a real cluster, with the real launcher and the real intake."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest

from kfdash import callback
from runs.engine.model import AttemptProgressed, AttemptSucceeded, Phase
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.permitted import run_template
from tests.executors.contract import ProcessContract
from tests.executors.watching import Sleep, Watcher, key_of, order
from tests.kubernetes.intaking import IMAGE, ExecutorAndIntake, running_intake

pytestmark = pytest.mark.kubernetes

TEMPLATE = """
metadata: {labels: {team: risk}}
spec:
  securityContext: {runAsUser: 1000, fsGroup: 1000}
  tolerations: [{key: spot, operator: Exists}]
  volumes: [{name: warm, emptyDir: {}}]
  initContainers:
    - name: warm
      image: IMAGE
      command: [sh, -c, "echo warmed by $(id -u) > /warm/note"]
      volumeMounts: [{name: warm, mountPath: /warm}]
  containers:
    - {name: main, env: [{name: TEAM, value: risk}], volumeMounts: [{name: warm, mountPath: /warm, readOnly: true}]}
"""


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

    def test_look_tells_the_newest_phase(self, executor: ExecutorAndIntake, watcher: Watcher) -> None:
        """From outside, a step that waits for its inputs and one that runs are alike: its launcher tells them apart."""
        step = self.make(executor, Sleep(600))
        executor.start([step])
        watcher.running(step)
        [known] = executor.look([key_of(step)])
        assert known.run_id == step.run_id
        assert isinstance(known.fact, AttemptProgressed) and known.fact.phase in (Phase.STARTING, Phase.RUNNING)
        executor.stop([key_of(step)], grace=0)
        watcher.end_of(step)

    def test_a_runs_own_template_is_what_its_pod_begins_from(self, executor: ExecutorAndIntake, watcher: Watcher) -> None:
        template = run_template(TEMPLATE.replace("IMAGE", IMAGE))
        step = dataclasses.replace(order(script='cat /warm/note; echo "of $TEAM as $(id -u)"'), pod_template=template)
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptSucceeded), end
        assert watcher.log_of(step).texts("o") == ["warmed by 1000", "of risk as 1000"]
        shown = executor.describe(key_of(step))
        assert shown and shown["pod"]["metadata"]["labels"]["team"] == "risk"
        assert {"key": "spot", "operator": "Exists"} in shown["pod"]["spec"]["tolerations"]
