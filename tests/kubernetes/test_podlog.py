"""The cluster's own log of pods that have no launcher: followed, gone on with, ended; with an API server that is played."""

from __future__ import annotations

import dataclasses
import pathlib
import queue
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from runs import logstore
from runs.executors.base import ExecutorUnavailable, LogObserved
from runs.executors.kubernetes import podlog
from runs.executors.kubernetes.pods import PodEnd, Seen, read
from tests.kubernetes.test_pods import RUNNING, pod
from tests.running import wait_for

Json = Any


class Server:
    """Gives what a container printed: what is put into `news` while it is followed, `kept` in the end."""

    namespace = "steps"

    def __init__(self) -> None:
        self.news: queue.Queue[bytes | Exception | None] = queue.Queue()
        self.kept: list[bytes] = []
        self.asked: list[Mapping[str, Json]] = []

    def pieces(self, path: str, *, query: Mapping[str, Json], read: float) -> Iterator[bytes]:
        self.asked.append(query)
        while (told := self.news.get()) is not None:
            if isinstance(told, Exception):
                raise told
            yield told

    def lines(self, path: str, *, query: Mapping[str, Json], read: float) -> Iterator[bytes]:
        self.asked.append(query)
        yield from self.kept


def line(second: int, text: str) -> bytes:
    return f"2026-11-25T10:00:{second:02d}.000000001Z {text}".encode()


@pytest.fixture
def running() -> Seen:
    seen = read(pod(node="n", phase="Running", main=RUNNING))
    assert seen is not None
    return dataclasses.replace(seen, has_launcher=False)


@pytest.fixture
def told() -> list[LogObserved]:
    return []


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def logs(server: Server, tmp_path: pathlib.Path, told: list[LogObserved], monkeypatch: pytest.MonkeyPatch) -> podlog.PodLogs:
    monkeypatch.setattr(podlog, "_AGAIN", 0.01)
    return podlog.PodLogs(server, str(tmp_path), told.extend)  # type: ignore[arg-type]


def texts(folder: pathlib.Path, seen: Seen) -> list[str]:
    stored = logstore.read(folder / seen.key.run_id / seen.key.name)
    return [found.text for found in stored if found.stream == "o"]


def numbers(told: Sequence[LogObserved]) -> list[int]:
    return [found.number for batch in told for found in batch.lines]


def test_lines_are_told_while_the_container_runs_and_closed_in_the_end(
    server: Server, logs: podlog.PodLogs, running: Seen, told: list[LogObserved], tmp_path: pathlib.Path
) -> None:
    logs.see(running)
    logs.see(running)
    server.news.put(line(1, "one") + b"\n" + line(2, "10%\r100%\r")[:-20])
    assert wait_for(lambda: numbers(told) == [1])
    server.news.put(line(2, "10%\r100%\r")[-20:] + b"\n")
    assert wait_for(lambda: numbers(told) == [1, 2])
    server.news.put(None)
    logs.stop(running.key.name)
    server.kept = [
        line(1, "one"),
        line(2, "10%\r100%\r"),
        line(2, "three"),
        b"unable to retrieve container logs for containerd://0b71",
    ]
    ended = dataclasses.replace(running, end=PodEnd(running.at, 0))
    last = podlog.take(server, str(tmp_path), ended)  # type: ignore[arg-type]
    assert last is not None and last.ended and [(one.number, one.text) for one in last.lines][0] == (3, "three")
    assert last.lines[-1].stream == "k"
    assert texts(tmp_path, running) == ["one", "100%", "three"]
    assert podlog.take(server, str(tmp_path), ended) is None  # type: ignore[arg-type]
    assert podlog.last_lines(str(tmp_path), ended, 2) == ["100%", "three"]


def test_a_connection_that_breaks_off_is_made_again_and_no_line_counts_twice(
    server: Server, logs: podlog.PodLogs, running: Seen, told: list[LogObserved], tmp_path: pathlib.Path
) -> None:
    logs.see(running)
    server.news.put(line(1, "a") + b"\n" + line(2, "b") + b"\n" + line(2, "b") + b"\n")
    server.news.put(ExecutorUnavailable("It broke off."))
    server.news.put(line(2, "b") + b"\n" + line(2, "b") + b"\n" + line(2, "b") + b"\n" + line(3, "c") + b"\n")
    server.news.put(None)
    assert wait_for(lambda: numbers(told) == [1, 2, 3, 4, 5])
    logs.stop(running.key.name)
    assert texts(tmp_path, running) == ["a", "b", "b", "b", "c"]
    assert server.asked[1]["sinceTime"] == "2026-11-25T10:00:02Z"


def test_one_that_does_not_end_stores_nothing_after_it_was_told_to(
    server: Server, logs: podlog.PodLogs, running: Seen, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(podlog, "_REST", 0.01)
    logs.see(running)
    logs.stop(running.key.name)
    server.news.put(line(1, "late") + b"\n")
    time.sleep(0.1)
    assert texts(tmp_path, running) == []


def test_a_pod_with_a_launcher_is_not_followed(server: Server, logs: podlog.PodLogs, running: Seen) -> None:
    logs.see(dataclasses.replace(running, has_launcher=True))
    time.sleep(0.05)
    assert server.asked == []
