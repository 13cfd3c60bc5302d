"""Following pods, with an API server that is played: lists, watches, what breaks off, what is gone."""

from __future__ import annotations

import copy
import dataclasses
import json
import pathlib
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from runs.engine.model import AttemptFailed, AttemptLost, AttemptProgressed, Fact, Phase
from runs.executors.base import ExecutorUnavailable, FactObserved, LogObserved
from runs.executors.kubernetes.client import Refused
from runs.executors.kubernetes.ends import Ends
from runs.executors.kubernetes.watch import Watch
from runs.store import StoreOptions
from tests.kubernetes.orders import CONFIG
from tests.kubernetes.test_pods import RUNNING, ended, pod

Json = Any

NAME = pod()["metadata"]["name"]


class Server:
    """An API server with one pod at most. What is put into `news` is told to those who watch; an exception breaks off."""

    namespace = "steps"

    def __init__(self) -> None:
        self.pods: list[dict[str, Json]] = []
        self.news: queue.Queue[Json] = queue.Queue()
        self.lists = 0
        self.away = False
        self.asked: list[tuple[str, str]] = []

    def request(self, method: str, path: str, **options: Json) -> Json:
        """Lists, and takes whatever else there is."""
        self.asked.append((method, path))
        if self.away:
            raise ExecutorUnavailable("It does not answer.")
        if path.endswith("/events"):
            return {"items": [], "metadata": {"resourceVersion": "1"}}
        if path.endswith("/pods"):
            self.lists += 1
            return {"items": copy.deepcopy(self.pods), "metadata": {"resourceVersion": "1"}}
        if method == "GET" and not self.pods:
            raise Refused(404, {"message": "not found"})
        return {}

    def lines(self, path: str, *, query: Mapping[str, Json], read: float) -> Iterator[bytes]:
        """News of pods; none of events, and no logs."""
        if path.endswith("/log"):
            return
        while path.endswith("/events"):
            time.sleep(1)
        while (told := self.news.get()) is not None:
            if isinstance(told, Exception):
                raise told
            yield json.dumps(told).encode()

    def tell(self, kind: str, found: dict[str, Json]) -> None:
        """News of the pod."""
        self.news.put({"type": kind, "object": {**found, "metadata": {**found["metadata"], "resourceVersion": "2"}}})


@pytest.fixture
def server() -> Server:
    return Server()


class Heard:
    """What was told."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.joined = 0

    def take(self, batch: Json) -> None:
        """One batch; an empty one says that the cluster was joined."""
        self.joined += not batch
        self.facts += [one.fact for one in batch if isinstance(one, FactObserved)]
        assert all(isinstance(one, FactObserved | LogObserved) for one in batch)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Waits for it."""
        deadline = time.monotonic() + 10
        while not is_so():
            assert time.monotonic() < deadline, self.facts
            time.sleep(0.01)

    def end(self) -> Fact:
        """The first fact that is no progress."""
        self.until(lambda: any(not isinstance(fact, AttemptProgressed) for fact in self.facts))
        return next(fact for fact in self.facts if not isinstance(fact, AttemptProgressed))


@pytest.fixture
def heard(server: Server, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    monkeypatch.setattr("runs.executors.kubernetes.watch._MOMENT", 0.05)
    monkeypatch.setattr("runs.executors.kubernetes.watch._BREATH", 0.05)
    config = dataclasses.replace(CONFIG, store_options=StoreOptions(str(tmp_path)))
    found = Heard()
    watch = Watch(server, config, Ends(server, config), found.take)  # type: ignore[arg-type]
    watch.start()
    found.until(lambda: found.joined == 1)
    yield found
    watch.close()
    server.news.put(None)


def test_a_pod_is_followed_from_queued_to_its_end(server: Server, heard: Heard) -> None:
    alone = {"command": (), "args": ()}
    server.tell("ADDED", pod(order=alone))
    server.tell("MODIFIED", pod(order=alone, node="n"))
    server.tell("MODIFIED", pod(order=alone, node="n", phase="Running", main=RUNNING))
    server.tell("MODIFIED", pod(order=alone, node="n", phase="Failed", main=ended(3)))
    end = heard.end()
    assert isinstance(end, AttemptFailed) and end.exit_code == 3
    phases = [fact.phase for fact in heard.facts if isinstance(fact, AttemptProgressed)]
    assert phases == [Phase.QUEUED, Phase.STARTING, Phase.RUNNING]


def test_the_same_news_again_is_told_once(server: Server, heard: Heard) -> None:
    for _ in range(3):
        server.tell("MODIFIED", pod(node="n"))
    server.tell("MODIFIED", pod(node="n", phase="Failed", main=ended(3), launcher=ended(0)))
    server.tell("MODIFIED", pod(node="n", phase="Failed", main=ended(3), launcher=ended(0)))
    heard.end()
    time.sleep(0.2)
    assert len(heard.facts) == 2


def test_under_entry_a_container_that_runs_may_still_wait_for_its_inputs(server: Server, heard: Heard) -> None:
    server.tell("ADDED", pod(node="n"))
    server.tell("MODIFIED", pod(node="n", phase="Running", main=RUNNING))
    server.tell("MODIFIED", pod(node="n", phase="Failed", main=ended(1), launcher=ended(0)))
    heard.end()
    assert all(fact.phase is not Phase.RUNNING for fact in heard.facts if isinstance(fact, AttemptProgressed))


@pytest.mark.parametrize(
    "broken", [ExecutorUnavailable("It broke off."), Refused(410, {"message": "too old resource version"}), ValueError("nonsense")]
)
def test_a_watch_that_breaks_off_is_begun_again_and_what_happened_meanwhile_is_found(
    server: Server, heard: Heard, broken: Exception
) -> None:
    server.tell("ADDED", pod(node="n"))
    heard.until(lambda: bool(heard.facts))
    server.pods = [pod(node="n", phase="Failed", main=ended(3), launcher=ended(0))]
    server.news.put(broken)
    assert isinstance(heard.end(), AttemptFailed)
    heard.until(lambda: heard.joined == 2)


def test_an_error_among_the_news_makes_it_list_again(server: Server, heard: Heard) -> None:
    server.news.put({"type": "ERROR", "object": {"code": 410}})
    heard.until(lambda: heard.joined == 2)


def test_a_pod_that_vanished_while_nobody_looked_is_lost(server: Server, heard: Heard) -> None:
    server.tell("ADDED", pod(node="n"))
    heard.until(lambda: bool(heard.facts))
    server.news.put(ExecutorUnavailable("It broke off."))
    end = heard.end()
    assert isinstance(end, AttemptLost) and "taken away" in end.reason


def test_a_pod_that_leaves_because_it_is_recorded_is_not_lost(server: Server, heard: Heard) -> None:
    server.tell("ADDED", pod(node="n"))
    heard.until(lambda: bool(heard.facts))
    server.pods = [pod(node="n")]
    server.tell("DELETED", pod(node="n"))
    heard.until(lambda: ("GET", f"/api/v1/namespaces/steps/pods/{NAME}") in server.asked)
    time.sleep(0.1)
    assert all(isinstance(fact, AttemptProgressed) for fact in heard.facts)


def test_an_api_server_that_is_away_loses_nothing(server: Server, heard: Heard) -> None:
    server.tell("ADDED", pod(node="n"))
    heard.until(lambda: bool(heard.facts))
    server.away = True
    server.news.put(ExecutorUnavailable("It broke off."))
    time.sleep(0.3)
    assert len(heard.facts) == 1
    server.pods = [pod(node="n")]
    server.away = False
    heard.until(lambda: heard.joined == 2)
    assert len(heard.facts) == 1
