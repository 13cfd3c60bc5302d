"""Where the disk is full a result waits for room: the step did what it had to, and must not have failed for that."""

from __future__ import annotations

import errno
import pathlib
import threading

import pytest

from runs.execution.result import Result
from runs.executors.local.host import records
from runs.executors.local.host.records import Keeper, Record


class Disk:
    """Has no room for so many writes; then it takes them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refuses: int, number: int = errno.ENOSPC) -> None:
        self.refuses, self.number, self._write = refuses, number, records._replace
        monkeypatch.setattr(records, "_replace", self.write)
        monkeypatch.setattr(records, "_ROOM_AGAIN", 0.01)

    def write(self, path: str, data: bytes) -> None:
        if self.refuses:
            self.refuses -= 1
            raise OSError(self.number, "no")
        self._write(path, data)


def kept(keeper: Keeper, record: Record, seconds: float = 5.0) -> list[Exception | None]:
    """What is told of a result that was kept; nothing where nothing is told in time."""
    told: list[Exception | None] = []
    done = threading.Event()
    keeper.keep(record, Result(record.name, "succeeded", {"finished": 1}), lambda error: (told.append(error), done.set()))
    done.wait(seconds)
    return told


def test_a_result_waits_for_room(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    Disk(monkeypatch, refuses=5)
    record = Record(tmp_path / "one")
    assert kept(Keeper(), record) == [None]
    assert (result := record.result()) and result.state == "succeeded"
    assert capfd.readouterr().err.count("once there is room") == 1


def test_one_that_found_no_room_until_the_host_ends_is_not_told_of(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, keeper = Disk(monkeypatch, refuses=1_000_000), Keeper()
    told = kept(keeper, Record(tmp_path / "one"), 0.2)
    keeper.close()
    assert told == [] and disk.refuses < 1_000_000


def test_other_faults_of_the_disk_are_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch, refuses=1_000_000, number=errno.EIO)
    [error] = kept(Keeper(), Record(tmp_path / "one"))
    assert isinstance(error, OSError) and error.errno == errno.EIO
