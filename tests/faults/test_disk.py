"""A disk that is full: sentences, and everything goes on where there is room again."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from kfdash import doctor
from tests.faults.disk import NoDisk, fill, mounted
from tests.faults.stack import (
    check_the_end,
    check_what_it_said,
    end,
    figure,
    launch,
    log,
    pipeline,
    runs,
    state,
    step,
    task,
    tasks,
    whole,
)
from tests.running import ON_SQLITE, Installation, wait_for

ROOM = doctor.LEAST_FREE + 60  # MiB


@contextlib.contextmanager
def small_disk(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Skips where none can be had."""
    try:
        with mounted(folder / "disk", ROOM) as disk:
            yield disk
    except NoDisk as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One on a small disk; what it said all the time are sentences."""
    with small_disk(tmp_path_factory.mktemp("full")) as disk:
        with Installation(disk / "data") as installation:
            yield installation
        check_what_it_said(installation)


def system(installation: Installation) -> str:
    """The page System."""
    with urllib.request.urlopen(f"{installation.address}/system/", timeout=20) as page:
        return str(page.read().decode())


@ON_SQLITE
def test_a_run_waits_for_room_and_goes_on(installation: Installation, marks: pathlib.Path) -> None:
    run_id = launch(installation, whole(marks))
    assert wait_for(lambda: runs(installation, run_id, "root/body/slow"), 40), installation.said()
    filler = fill(installation.folder.parent)
    with pytest.raises(urllib.error.HTTPError) as refused:
        launch(installation, step("echo hello"))
    assert refused.value.code == 503
    assert "disk is full" in json.load(refused.value)["message"]
    assert wait_for(lambda: "disk is full" in installation.said(), 20), installation.said()
    assert state(installation, run_id) == "RUNNING"
    assert wait_for(lambda: "Only 0 MiB are left on the disk of" in system(installation), 10), system(installation)
    command = [sys.executable, "-m", "kfdash.cli", "doctor", "--data-dir", str(installation.folder)]
    said = subprocess.run(command, capture_output=True, text=True, env=installation.environment)
    assert said.returncode == 1 and "Only 0 MiB are left" in said.stdout and "Traceback" not in said.stderr, said
    began = time.monotonic()
    filler.unlink()
    check_the_end(installation, run_id, marks)
    figure("room again, until the run has ended", began)


def test_steps_that_end_without_room_have_succeeded_once_there_is(installation: Installation, marks: pathlib.Path) -> None:
    names = [f"beside-{number}" for number in range(4)]
    scripts = {name: f"touch {marks}/{name}; while [ ! -e {marks}/go ]; do sleep 0.1; done; echo ended" for name in names}
    run_id = launch(installation, pipeline({name: task(name) for name in names}, scripts))
    assert wait_for(lambda: all((marks / name).exists() for name in names), 40), installation.said()
    filler, until = fill(installation.folder.parent), time.monotonic() + 2.5
    (marks / "go").touch()
    with filler.open("ab", buffering=0) as file:
        while time.monotonic() < until:  # what ends leaves some room
            with contextlib.suppress(OSError):
                file.write(b"\0" * 4096)
                continue
            time.sleep(0.001)
    assert "stored once there is room" in installation.said()
    filler.unlink()
    assert end(installation, run_id) == "SUCCEEDED", tasks(installation, run_id)
    assert {len(tasks(installation, run_id)[f"root/{name}"]["attempts"]) for name in names} == {1}


def test_a_step_that_fills_the_disk_fails_and_the_next_one_runs(installation: Installation) -> None:
    run_id = launch(installation, step("echo begin; dd if=/dev/zero of=$HOME/big bs=1M count=4000 status=none"))
    assert end(installation, run_id) == "FAILED"
    only = tasks(installation, run_id)["root/only"]
    assert "No space left on device" in only["reason"], only
    assert log(installation, run_id, "root/only")[0]["text"] == "begin"
    assert end(installation, launch(installation, step("echo hello"))) == "SUCCEEDED"


def test_lines_that_found_no_room_are_named(installation: Installation) -> None:
    lines = "head -c 4000000 /dev/zero | tr '\\0' x | fold -w 60000"  # more than may wait
    run_id = launch(installation, step(f"echo first; sleep 1; {lines}; sleep 1.5; echo; echo last"))
    assert wait_for(lambda: runs(installation, run_id, "root/only") and log(installation, run_id, "root/only"), 30)
    filler = fill(installation.folder.parent)
    time.sleep(1.5)
    filler.unlink()
    assert end(installation, run_id) in ("SUCCEEDED", "FAILED")
    texts = [line["text"] for line in log(installation, run_id, "root/only")]
    assert texts[0] == "first" and texts[-1] == "last"
    assert any("lines are missing here" in text for text in texts), texts


def test_without_room_it_does_not_start(tmp_path: pathlib.Path) -> None:
    with small_disk(tmp_path) as disk:
        fill(disk)
        sentence = Installation(disk / "data").refused("--port", "0")
    assert "MiB are left" in sentence or "cannot be written" in sentence, sentence
    assert "Make room" in sentence or "--data-dir" in sentence
