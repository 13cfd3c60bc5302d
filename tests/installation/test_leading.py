"""Two observers as processes, on both databases: one ticks, the other takes over, and never do both."""

from __future__ import annotations

import itertools
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from tests.running import wait_for

LASTS = 2.0  # seconds that a lease lasts here


@dataclass(frozen=True)
class Tick:
    """A line that an observer wrote."""

    at: float
    holder: str
    term: int


class Observers:
    """Processes on one database, and what they wrote."""

    def __init__(self, folder: pathlib.Path, database: str) -> None:
        self.file = folder / "ticks"
        self.environment = {**os.environ, "KFDASH_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "kfdash.settings"}
        self.environment |= {"KFDASH_DATABASE_URL": database, "KFDASH_REDIS_URL": "redis://127.0.0.1:9"}
        subprocess.run([sys.executable, "-m", "kfdash.cli", "manage", "migrate", "-v0"], env=self.environment, check=True)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *, ahead: float = 0.0, lasts: float = LASTS) -> subprocess.Popen[bytes]:
        """An observer of this name whose clock is `ahead`."""
        command = [sys.executable, "-P", "-m", "tests.installation.observing", str(self.file), name, str(lasts), str(ahead)]
        self.running[name] = subprocess.Popen(command, env={**self.environment, "PYTHONPATH": os.getcwd()})
        return self.running[name]

    def ticks(self) -> list[Tick]:
        """All so far, in the order of their writing."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [Tick(float(at), holder, int(term)) for at, holder, term in map(str.split, lines)]

    def ticked(self, name: str, times: int = 3, seconds: float = 20.0) -> bool:
        """Whether one of this name ticks so often from now on."""
        before = sum(tick.holder == name for tick in self.ticks())
        return wait_for(lambda: sum(tick.holder == name for tick in self.ticks()) >= before + times, seconds)

    def check(self) -> None:
        """Every reign is whole: terms only grow, and a term has one holder."""
        ticks = self.ticks()
        for earlier, later in itertools.pairwise(ticks):
            assert later.term >= earlier.term, f"{later} came after {earlier}"
            assert later.term > earlier.term or later.holder == earlier.holder

    def end(self) -> None:
        """Ends all of them."""
        for process in self.running.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def observers(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Observers]:
    """On a database of their own."""
    server, name = os.environ.get("KFDASH_TEST_DATABASE_URL", ""), f"leading_{uuid.uuid4().hex[:8]}"
    if request.param == "postgresql":
        if not server:
            pytest.skip("KFDASH_TEST_DATABASE_URL names no PostgreSQL server.")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    found = Observers(tmp_path, f"{server.rpartition('/')[0]}/{name}" if request.param == "postgresql" else "")
    yield found
    found.end()
    found.check()
    if request.param == "postgresql":
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_one_ticks_until_it_is_killed_and_then_the_other(observers: Observers) -> None:
    first = observers.start("first")
    assert observers.ticked("first")
    observers.start("second")
    assert observers.ticked("first", 10)
    first.kill()
    killed = time.monotonic()
    assert observers.ticked("second", 1)
    assert observers.ticks()[-1].at - killed < 1.5 * LASTS
    assert {tick.holder for tick in observers.ticks() if tick.at < killed} == {"first"}


def test_one_that_ends_in_order_lets_go_at_once(observers: Observers) -> None:
    first = observers.start("first", lasts=30.0)
    assert observers.ticked("first", 1)
    observers.start("second")
    time.sleep(1)
    first.terminate()
    assert observers.ticked("second", 1, 5.0)
    assert first.wait(5) == 0


def test_one_that_was_paused_finds_that_it_lost_and_does_nothing_more(observers: Observers) -> None:
    first = observers.start("first")
    assert observers.ticked("first")
    observers.start("second")
    first.send_signal(signal.SIGSTOP)
    assert observers.ticked("second", 3)
    going_on = len([tick for tick in observers.ticks() if tick.holder == "first"])
    first.send_signal(signal.SIGCONT)
    assert first.wait(5) == 1
    assert len([tick for tick in observers.ticks() if tick.holder == "first"]) == going_on


@pytest.mark.parametrize("ahead", [60.0, -60.0])
def test_clocks_that_differ_by_a_minute_do_no_harm(observers: Observers, ahead: float) -> None:
    first = observers.start("first")
    assert observers.ticked("first")
    observers.start("second", ahead=ahead)
    assert observers.ticked("first", 15)
    assert {tick.holder for tick in observers.ticks()} == {"first"}
    first.kill()
    assert observers.ticked("second", 1, 4 * LASTS)


def test_one_that_is_started_in_the_place_of_another_need_not_wait(observers: Observers) -> None:
    observers.start("first", lasts=60.0).kill()
    observers.start("first", lasts=60.0)
    assert observers.ticked("first", 1, 30.0)
    observers.running["first"].kill()
    observers.start("first", lasts=10.0)
    assert observers.ticked("first", 1, 9.0)
    assert observers.ticks()[-1].term > observers.ticks()[0].term
