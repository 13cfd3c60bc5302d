"""Whatever is killed or stands still in the middle of a run: the run goes on, ends rightly, and does nothing twice."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.faults.stack import check_the_end, check_what_it_said, figure, kill, launch, runs, whole
from tests.running import Installation, born, wait_for

SLOW = "root/body/slow"
ITS_TIME = 1.8  # seconds that the slow step takes
PARTS = ("web", "drive", "orders", "io", "observer", "host", "redis")


def at_the_end_of_the_slow_step(installation: Installation, marks: pathlib.Path) -> str:
    """A run in which the slow step has run for nearly its time: what happens now meets its end, and the next one's start."""
    run_id = launch(installation, whole(marks))
    assert wait_for(lambda: runs(installation, run_id, SLOW), 40), installation.said()
    assert wait_for(lambda: any(marks.glob("slow-*")))  # it runs, and its first line may still be on its way
    began = next(file.stat().st_mtime for file in marks.glob("slow-*"))
    time.sleep(max(0.0, began + ITS_TIME - 0.1 - time.time()))
    return run_id


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed(shared: Installation, marks: pathlib.Path, part: str) -> None:
    run_id = at_the_end_of_the_slow_step(shared, marks)
    before, began = shared.parts()[part], time.monotonic()
    kill(shared, part)
    attempts = check_the_end(shared, run_id, marks)
    figure(f"{part} killed, until the run has ended", began)
    assert part == "host" or set(attempts.values()) == {1}, attempts
    assert wait_for(lambda: shared.parts()[part] != before and born(shared.parts()[part]))


def test_redis_comes_back_without_its_data(shared: Installation, marks: pathlib.Path) -> None:
    run_id = at_the_end_of_the_slow_step(shared, marks)
    began = time.monotonic()
    kill(shared, "redis")
    for kept in (shared.folder / "redis").glob("*.rdb"):
        kept.unlink()
    attempts = check_the_end(shared, run_id, marks)
    figure("Redis without its data, until the run has ended", began)
    assert set(attempts.values()) == {1}, attempts


def test_redis_is_emptied_under_everybody_s_hands(shared: Installation, marks: pathlib.Path) -> None:
    run_id = at_the_end_of_the_slow_step(shared, marks)
    command = pathlib.Path(f"/proc/{shared.parts()['redis']}/cmdline").read_text()
    socket = next(word.removeprefix("unixsocket:") for word in re.split(r"[\0 ]", command) if word.endswith("redis.sock"))
    began = time.monotonic()
    with redis.Redis(unix_socket_path=socket) as server:
        for _ in range(20):
            server.flushall()
            time.sleep(0.02)
    attempts = check_the_end(shared, run_id, marks)
    figure("Redis emptied twenty times, until the run has ended", began)
    assert set(attempts.values()) == {1}, attempts


@pytest.mark.parametrize("part", ["drive", "observer", "host", "redis"])
def test_a_part_stands_still_for_a_while(shared: Installation, marks: pathlib.Path, part: str) -> None:
    run_id = at_the_end_of_the_slow_step(shared, marks)
    pid, began = shared.parts()[part], time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(pid, signal.SIGCONT)
    attempts = check_the_end(shared, run_id, marks)
    figure(f"{part} stood still for 1.5 s, until the run has ended", began)
    assert set(attempts.values()) == {1}, attempts
    assert shared.parts()[part] == pid


def all_but_the_supervisor(installation: Installation) -> None:
    """It starts them again by itself."""
    kill(installation, *PARTS)


def all_of_it(installation: Installation) -> None:
    """`kfdash up` is killed with its parts, and started again by hand."""
    kill(installation)
    assert installation.process
    installation.process.wait()
    installation.start()


def the_supervisor_without_redis_s_data(installation: Installation) -> None:
    """Its parts end by themselves then; what Redis kept is gone, too."""
    assert installation.process
    installation.process.kill()
    installation.process.wait()
    assert wait_for(lambda: not installation.processes()), installation.processes()
    for kept in (installation.folder / "redis").glob("*"):
        kept.unlink()
    installation.start()


def a_good_end(installation: Installation) -> None:
    """It is stopped as a person would, and started again."""
    assert installation.stop() == 0
    assert not installation.processes()
    installation.start()


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One for the tests that end it and start it again."""
    with Installation(tmp_path_factory.mktemp("restarted") / "data") as installation:
        yield installation
    check_what_it_said(installation)


@pytest.mark.parametrize("fault", [a_good_end, all_of_it, the_supervisor_without_redis_s_data, all_but_the_supervisor])
def test_everything_ends(restarted: Installation, marks: pathlib.Path, fault: Callable[[Installation], None]) -> None:
    run_id = launch(restarted, whole(marks))
    assert wait_for(lambda: runs(restarted, run_id, SLOW), 40), restarted.said()
    began = time.monotonic()
    fault(restarted)
    figure(f"{fault.__name__}: until ready again", began)
    attempts = check_the_end(restarted, run_id, marks)
    figure(f"{fault.__name__}: until the run has ended", began)
    assert attempts[SLOW] == 2  # it was running, and began anew
