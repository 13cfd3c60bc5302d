"""What becomes of pods on a real cluster: ended by others, refused, stopped before they began, logged by the cluster, removed.

Their steps have no launcher (the image's own entry point, which the site's template sets), so that each test costs one pod.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from runs import logstore
from runs.engine.model import AttemptFailed, AttemptLost, AttemptProgressed, AttemptStopped, AttemptSucceeded, Phase
from runs.executors.base import AttemptOrder, ExecutorUnavailable, NotNow
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.executor import KubernetesExecutor
from runs.executors.kubernetes.pods import STOPPED
from tests.executors.watching import ENDS, Watcher, key_of, order

pytestmark = pytest.mark.kubernetes

Json = Any

IMAGE = os.environ.get("KFDASH_TEST_STEP_IMAGE", "python:3.11")
NOWHERE = {"nodeSelector": {"labels": {"kfdash.dev/no-such": "node"}}}


@pytest.fixture(scope="module")
def open_executor(cluster: Config) -> Iterator[Callable[[str], KubernetesExecutor]]:
    """Makes executors whose pods run this shell script."""
    made: list[KubernetesExecutor] = []

    def make(script: str) -> KubernetesExecutor:
        container = {"name": "main", "command": ["sh", "-c", script]}
        config = dataclasses.replace(
            cluster, installation=f"{cluster.namespace}-{len(made)}", pod_template={"spec": {"containers": [container]}}
        )
        made.append(KubernetesExecutor(config))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


@pytest.fixture(scope="module")
def sleeper(open_executor: Callable[[str], KubernetesExecutor]) -> KubernetesExecutor:
    """Its steps take their time."""
    return open_executor("trap 'exit 9' TERM; echo begun; n=0; while [ $n -lt 3000 ]; do sleep 0.2; n=$((n+1)); done")


@pytest.fixture(scope="module")
def watcher(sleeper: KubernetesExecutor) -> Watcher:
    watcher = Watcher(sleeper, 90)
    deadline = time.monotonic() + 30
    while sleeper._watch is None or not sleeper._watch.synced.is_set():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return watcher


def step(platform: Json = None, **fields: Json) -> AttemptOrder:
    """An order for the image's own entry point."""
    return dataclasses.replace(order(command=(), args=(), image=IMAGE), platform=platform or {}, **fields)


def raw(executor: KubernetesExecutor, method: str, what: str, body: Json = None) -> Json:
    """A call to the cluster by hand, below the namespace."""
    return executor.client.request(method, f"/api/v1/namespaces/{executor.client.namespace}/{what}", body=body)


def test_a_running_pod_that_somebody_deletes_is_lost_and_seen(sleeper: KubernetesExecutor, watcher: Watcher) -> None:
    mine = step()
    sleeper.start([mine])
    watcher.running(mine)
    raw(sleeper, "DELETE", f"pods/{mine.name}")
    end = watcher.end_of(mine)
    assert isinstance(end, AttemptLost) and "deleted" in end.reason.lower(), end
    assert raw(sleeper, "GET", f"pods/{mine.name}")["metadata"]["finalizers"] == ["kfdash.dev/recorded"]
    sleeper.forget([key_of(mine)])
    _wait_until(lambda: not _there(sleeper, mine))


def test_a_waiting_pod_that_somebody_deletes_is_lost(sleeper: KubernetesExecutor, watcher: Watcher) -> None:
    mine = step(NOWHERE)
    sleeper.start([mine])
    told = watcher.until(mine, lambda told: any(_attention(fact) for fact in told.facts), "why it waits")
    assert isinstance(told.facts[-1], AttemptProgressed) and told.facts[-1].phase is Phase.QUEUED
    raw(sleeper, "DELETE", f"pods/{mine.name}")
    assert isinstance(watcher.end_of(mine), AttemptLost)


def test_a_waiting_pod_is_stopped_at_once(sleeper: KubernetesExecutor, watcher: Watcher) -> None:
    mine = step(NOWHERE)
    sleeper.start([mine])
    began = time.monotonic()
    sleeper.stop([key_of(mine)], grace=30)
    assert isinstance(watcher.end_of(mine), AttemptStopped)
    assert time.monotonic() - began < 10


def test_a_running_step_is_stopped_with_its_grace(sleeper: KubernetesExecutor, watcher: Watcher) -> None:
    mine = step()
    sleeper.start([mine])
    watcher.running(mine)
    sleeper.stop([key_of(mine)], grace=20)
    end = watcher.end_of(mine)
    assert isinstance(end, AttemptStopped) and end.exit_code == 9
    assert STOPPED in raw(sleeper, "GET", f"pods/{mine.name}")["metadata"]["annotations"]


def test_what_the_quota_does_not_allow_waits_with_the_sentence(sleeper: KubernetesExecutor) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"requests.cpu": "1"}}}
    raw(sleeper, "POST", "resourcequotas", quota)
    try:
        _wait_until(lambda: "used" in raw(sleeper, "GET", "resourcequotas/small").get("status", {}))
        large = step(resources={"cpuRequest": "64"})
        with pytest.raises(NotNow) as waits:
            sleeper.start([large])
        assert set(waits.value.waiting) == {large.name} and "small" in str(waits.value)
    finally:
        raw(sleeper, "DELETE", "resourcequotas/small")


def test_a_service_account_that_is_not_there_is_refused_or_waited_for_by_name(sleeper: KubernetesExecutor) -> None:
    mine = step(service_account="nobody-here")
    try:
        said = sleeper.start([mine])[mine.name]
    except NotNow as waits:
        said = waits.waiting[mine.name]
    assert "nobody-here" in said


def test_the_clusters_own_log_is_kept_where_no_launcher_sends_one(
    open_executor: Callable[[str], KubernetesExecutor], cluster: Config
) -> None:
    executor = open_executor("echo one; echo two; exit 3")
    watcher = Watcher(executor, 90)
    mine = step()
    executor.start([mine])
    end = watcher.end_of(mine)
    assert isinstance(end, AttemptFailed) and end.exit_code == 3 and "two" in end.reason
    lines = logstore.read(pathlib.Path(cluster.logs_dir, mine.log))
    assert [line.text for line in lines if line.stream == "o"] == ["one", "two"]
    assert lines[-1].stream == "k" and "missing" in lines[-1].text
    watcher.close()


def test_what_a_step_without_a_launcher_prints_is_seen_while_it_runs(sleeper: KubernetesExecutor, watcher: Watcher) -> None:
    mine = step()
    sleeper.start([mine])
    watcher.until(mine, lambda told: told.texts("o") == ["begun"], "what it prints")
    sleeper.stop([key_of(mine)], grace=1)
    assert isinstance(watcher.end_of(mine), AttemptStopped)
    assert watcher.log_of(mine).texts("o") == ["begun"]


def test_recorded_pods_go_when_their_time_is_over_and_all_with_their_run(
    open_executor: Callable[[str], KubernetesExecutor],
) -> None:
    executor = open_executor("true")
    watcher = Watcher(executor, 90)
    first, second = step(), step()
    executor.start([first, second])
    assert isinstance(watcher.end_of(first), AttemptSucceeded) and isinstance(watcher.end_of(second), AttemptSucceeded)
    executor.forget([key_of(first)])
    executor._ends.sweep()
    assert _there(executor, first)
    executor._ends._config = dataclasses.replace(executor.config, pod_ttl=-1, failed_pod_ttl=-1)
    executor._ends.sweep()
    _wait_until(lambda: not _there(executor, first))
    assert _there(executor, second)
    executor.clear(second.run_id)
    _wait_until(lambda: not _there(executor, second))
    watcher.close()


def test_an_executor_that_comes_later_knows_the_end(sleeper: KubernetesExecutor, watcher: Watcher) -> None:
    mine = step({"podMetadata": {"labels": {"a": "b"}}})
    sleeper.start([mine])
    watcher.running(mine)
    sleeper.stop([key_of(mine)], grace=0)
    end = watcher.end_of(mine)
    later = KubernetesExecutor(sleeper.config)
    [known] = later.look([key_of(mine)])
    if not isinstance(known.fact, ENDS):  # looked at without following: a first look may be earlier than the node's word
        _wait_until(lambda: isinstance(later.look([key_of(mine)])[0].fact, ENDS))
        [known] = later.look([key_of(mine)])
    assert type(known.fact) is type(end)
    later.close()


def test_a_cluster_that_is_away_is_told_as_such(cluster: Config, tmp_path: pathlib.Path) -> None:
    content = yaml.safe_load(pathlib.Path(cluster.kubeconfig).read_text())
    for one in content["clusters"]:
        one["cluster"]["server"] = "https://127.0.0.1:9"
    away = tmp_path / "config"
    away.write_text(yaml.safe_dump(content))
    executor = KubernetesExecutor(dataclasses.replace(cluster, kubeconfig=str(away)))
    mine = step()
    for ask in (executor.start, lambda _: executor.look([key_of(mine)]), lambda _: executor.stop([key_of(mine)], grace=0)):
        with pytest.raises(ExecutorUnavailable, match="does not answer"):
            ask([mine])


def _attention(fact: Json) -> bool:
    return isinstance(fact, AttemptProgressed) and fact.attention


def _there(executor: KubernetesExecutor, mine: AttemptOrder) -> bool:
    return executor._ends.still_there(key_of(mine))


def _wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
