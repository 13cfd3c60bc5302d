"""A page stays right when the server, or what carries its messages, goes away and comes back."""

from __future__ import annotations

import contextlib
import json
import pathlib
import threading
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from tests.faults.stack import call, check_the_end, figure, kill, launch, log, runs, step, tasks, whole
from tests.running import Installation, wait_for

PRINTED = 60
FAST = f"for i in $(seq {PRINTED}); do echo line $i; sleep 0.05; done"


class Page:
    """What a browser does with a run's socket: it follows a log, and comes back when the socket ends."""

    def __init__(self, installation: Installation, run_id: str, followed: str = "") -> None:
        self.installation, self.run_id, self.followed = installation, run_id, followed
        self.snapshots = 0
        self.number = -1
        self.run: dict[str, Any] = {}
        self.states: dict[str, str] = {}
        self.lines: list[tuple[int, str]] = []
        self.ended = False

    def watch(self, seconds: float) -> None:
        """Until the run has ended, and the log that is followed. Raises AssertionError where that does not come."""
        until = time.monotonic() + seconds
        while not self.over and time.monotonic() < until:
            with contextlib.suppress(OSError, ConnectionClosed, InvalidHandshake, TimeoutError):
                address = f"{self.installation.address.replace('http', 'ws')}/ws/runs/{self.run_id}/"
                with connect(address, proxy=None, open_timeout=5, origin=self.installation.address) as socket:  # type: ignore[arg-type]
                    self._follow(socket)
                    self._listen(socket, until)
            time.sleep(0.1)
        assert self.over, (self.run, self.states, self.lines[-3:], self.installation.said())

    @property
    def over(self) -> bool:
        finished = self.run.get("state") in ("SUCCEEDED", "FAILED", "CANCELED")
        return finished and (self.ended or not self.followed)

    def _follow(self, socket: ClientConnection) -> None:
        if self.followed:
            first = self.lines[-1][0] + 1 if self.lines else 1
            socket.send(json.dumps({"type": "log.follow", "log": self.followed, "from": first}))

    def _listen(self, socket: ClientConnection, until: float) -> None:
        asked = time.monotonic()
        while not self.over and time.monotonic() < until:
            try:
                self._take(json.loads(socket.recv(timeout=0.5)), socket)
            except TimeoutError:
                if time.monotonic() - asked > 2:  # as the page does after a longer silence
                    asked = time.monotonic()
                    socket.send(json.dumps({"type": "ping"}))

    def _take(self, message: dict[str, Any], socket: ClientConnection) -> None:
        match message["type"]:
            case "snapshot":
                self.snapshots += 1
                self.states = {}
            case "changed":
                if message["previous"] != self.number:
                    socket.send(json.dumps({"type": "sync"}))
            case "log.lines":
                self.lines += [(line[0], line[4]) for line in message["lines"] if line[2] != "k"]
                self.ended = self.ended or message["ended"]
                return
            case _:
                return
        self.number, self.run = message["number"], message["run"]
        self.states |= {task["path"]: task["state"] for task in message["tasks"]}


@pytest.mark.parametrize("part", ["web", "redis", "observer"])
def test_a_page_shows_all_lines_once_and_the_end(shared: Installation, part: str) -> None:
    run_id = launch(shared, step(FAST))
    assert wait_for(lambda: runs(shared, run_id, "root/only"), 30)
    name = tasks(shared, run_id)["root/only"]["attempts"][0]["name"]
    page = Page(shared, run_id, f"{run_id}/{name}")

    killing = threading.Timer(1.0, lambda: kill(shared, part))
    killing.start()
    began = time.monotonic()
    page.watch(30)
    killing.join()
    figure(f"{part} killed under a page, until it shows the end", began)
    stored = [(line["number"], line["text"]) for line in log(shared, run_id, "root/only") if line["stream"] == "stdout"]
    assert [text for _, text in stored] == [f"line {n}" for n in range(1, PRINTED + 1)]
    assert page.lines == stored
    assert page.states["root/only"] == "SUCCEEDED"
    assert page.snapshots >= (2 if part == "web" else 1)


def test_a_page_knows_every_state_after_restarts_of_the_server(shared: Installation, marks: pathlib.Path) -> None:
    run_id = launch(shared, whole(marks))
    page = Page(shared, run_id)

    killing = [threading.Timer(delay, lambda: kill(shared, "web")) for delay in (0.6, 2.4)]
    for timer in killing:
        timer.start()
    page.watch(30)
    for timer in killing:
        timer.join()
    check_the_end(shared, run_id, marks)
    assert page.states == {path: task["state"] for path, task in tasks(shared, run_id).items()}
    assert page.number == call(shared, f"/apis/kfdash/v1/runs/{run_id}/events?page_size=1000")["events"][-1]["number"]
