"""Where the disk is full results and lines wait for room: a step that did what it had to must not have failed for that."""

from __future__ import annotations

import errno
import pathlib
import threading

import pytest

from runs.execution.result import Result
from runs.executors.local.host import records, steplog
from runs.executors.local.host.records import Keeper, Record
from runs.executors.local.host.steplog import StepLog
from runs.logstore import LogWriter, read


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


class Lines:
    """A log whose disk has no room for so many writes."""

    def __init__(self, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, refuses: int) -> None:
        self.folder, self.refuses, self._append = folder, refuses, LogWriter.append_block
        lines = self

        def append(writer: LogWriter, block: bytes, count: int) -> int:
            if lines.refuses:
                lines.refuses -= 1
                raise OSError(errno.ENOSPC, "no")
            return lines._append(writer, block, count)

        monkeypatch.setattr(LogWriter, "append_block", append)
        self.log = StepLog(folder, lambda *told: None, most_bytes=10_000_000, most_lines=100_000)

    def texts(self) -> list[str]:
        return [line.text for line in read(self.folder, 1, 100_000)]


def test_lines_wait_for_room_and_come_in_order(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(tmp_path / "log", monkeypatch, refuses=3)
    for number in range(5):
        lines.log.feed("o", b"line %d\n" % number)
    assert lines.texts() == [f"line {number}" for number in range(5)]


def test_lines_of_a_step_that_ended_without_room_are_stored_with_its_result(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines(tmp_path / "log", monkeypatch, refuses=5)
    for number in range(3):
        lines.log.feed("o", b"line %d\n" % number)
    lines.log.finish()
    assert lines.texts() == []
    lines.log.finish()
    assert lines.texts() == ["line 0", "line 1", "line 2"]


def test_what_is_too_much_to_wait_is_named_where_it_is_missing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steplog, "_MOST_WAITING", 100)
    lines = Lines(tmp_path / "log", monkeypatch, refuses=8)
    for number in range(10):
        lines.log.feed("o", b"line %d\n" % number)
    texts = lines.texts()
    assert texts[:2] == ["line 0", "line 1"] and texts[-2:] == ["line 8", "line 9"]
    assert [text for text in texts if "lines are missing here" in text] == [texts[-3]]
