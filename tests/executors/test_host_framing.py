"""Lines out of bytes, and an attempt's log with its limits."""

from __future__ import annotations

import errno
import os
import time

import pytest

from runs import logstore
from runs.executors.local.host.framing import PIECE, Framer
from runs.executors.local.host.steplog import StepLog

SECOND = 1_000_000


def texts(framed: tuple[bytes, int]) -> list[str]:
    block, count = framed
    lines = logstore.parse(block, 1)
    assert len(lines) == count
    return [line.text for line in lines]


def test_a_line_counts_when_it_has_ended():
    framer = Framer("o")
    assert texts(framer.feed(b"one\ntw", 1)) == ["one"]
    assert texts(framer.feed(b"o\n\nthree", 2)) == ["two", ""]
    assert texts(framer.finish(3)) == ["three"]
    assert texts(framer.finish(3)) == []


def test_time_and_stream_are_those_of_the_bytes():
    block, _ = Framer("e").feed(b"x\n", 42)
    assert block == b"42 e x\n"


def test_characters_are_put_together_again_wherever_the_pipe_cut_them():
    whole = "größer 数 😀\n".encode() * 3
    for cut in range(len(whole)):
        framer = Framer("o")
        assert texts(framer.feed(whole[:cut], 1)) + texts(framer.feed(whole[cut:], 1)) == ["größer 数 😀"] * 3


def test_what_is_no_utf8_is_replaced_and_the_rest_stays():
    assert texts(Framer("o").feed(b"a\xff\xfeb\nzero\0byte\n", 1)) == ["a\ufffd\ufffdb", "zero\ufffdbyte"]


def test_a_line_without_end_is_cut_into_pieces_between_characters():
    framer = Framer("o")
    given = "ä" * PIECE
    got = []
    for begin in range(0, len(given), 1000):
        got += texts(framer.feed(given[begin : begin + 1000].encode(), 1))
    got += texts(framer.finish(1))
    assert "".join(got) == given
    assert all(len(piece.encode()) <= PIECE for piece in got)
    assert len(got) == 2


def test_a_long_line_that_came_at_once_is_cut_too():
    got = texts(Framer("o").feed(b"x" * (3 * PIECE) + b"\nshort\n", 1))
    assert [len(text) for text in got] == [PIECE, PIECE, PIECE, 5]


def test_a_carriage_return_starts_the_line_again():
    assert texts(Framer("e").feed(b"10%\r50%\r100%\ndone\r\n", 1)) == ["100%", "done"]


def test_a_progress_bar_is_shown_once_a_second_and_its_end_always():
    framer = Framer("e")
    got = []
    for step in range(100):
        got += texts(framer.feed(b"\r%d%%" % step, SECOND * 5 + step * 50_000))
    got += texts(framer.feed(b"\r100%\n", SECOND * 11))
    assert got[-1] == "100%"
    assert 4 <= len(got) <= 7
    assert got[0] == "0%"


def test_a_progress_bar_that_ends_without_a_newline_keeps_its_last_state():
    framer = Framer("e")
    framer.feed(b"\r1%\r2%\r3%", SECOND * 5)
    assert texts(framer.finish(SECOND * 6))[-1] == "3%"


def log(tmp_path, published=None, most_bytes=10_000_000, most_lines=1_000_000):
    seen = [] if published is None else published
    return StepLog(
        tmp_path / "log", lambda first, lines, block: seen.append((first, lines)), most_bytes=most_bytes, most_lines=most_lines
    )


def test_lines_of_both_streams_are_numbered_together(tmp_path):
    published: list[tuple[int, int]] = []
    step = log(tmp_path, published)
    step.feed("o", b"one\n")
    step.feed("e", b"two\nthree")
    step.say("ours")
    step.finish()
    assert [(line.number, line.stream, line.text) for line in logstore.read(tmp_path / "log")] == [
        (1, "o", "one"),
        (2, "e", "two"),
        (3, "k", "ours"),
        (4, "e", "three"),
    ]
    assert published == [(1, 1), (2, 1), (3, 1), (4, 1)]
    assert step.last_error == "three"


def test_beyond_the_limit_of_lines_the_log_ends_with_the_reason(tmp_path):
    step = log(tmp_path, most_lines=10)
    step.feed("o", b"".join(b"line %d\n" % n for n in range(8)))
    step.feed("o", b"".join(b"line %d\n" % n for n in range(8, 100)))
    step.feed("o", b"more\n")
    step.finish()
    lines = logstore.read(tmp_path / "log")
    assert [line.text for line in lines[:-1]] == [f"line {n}" for n in range(10)]
    assert lines[-1].stream == "k"
    assert "limit" in lines[-1].text and "10 lines" in lines[-1].text


def test_beyond_the_limit_of_bytes_too(tmp_path):
    step = log(tmp_path, most_bytes=5000)
    for _ in range(100):
        step.feed("o", b"x" * 99 + b"\n")
    step.finish()
    lines = logstore.read(tmp_path / "log")
    assert lines[-1].stream == "k" and "limit" in lines[-1].text
    assert logstore.size(tmp_path / "log") < 5500


def test_a_log_that_cannot_be_stored_stops_nobody(tmp_path):
    (tmp_path / "log").write_text("a file where the folder should be")
    step = log(tmp_path)
    step.feed("o", b"one\n")
    step.feed("o", b"two\n")
    assert step.last_error == "two"
    (tmp_path / "log").unlink()
    step.feed("o", b"three\n")
    step.finish()
    assert [line.text for line in logstore.read(tmp_path / "log")] == ["one", "two", "three"]


def test_what_a_full_disk_took_of_a_line_is_cut_off(tmp_path, monkeypatch):
    writer = logstore.LogWriter(tmp_path / "log")
    writer.append(1, "o", "one")
    write = os.write

    def half(descriptor, data):
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) - 5])

    monkeypatch.setattr("runs.logstore.os.write", half)
    with pytest.raises(OSError, match="No space"):
        writer.append(2, "o", "a line that does not fit any more")
    monkeypatch.undo()
    writer.append(3, "o", "two")
    assert [(line.number, line.text) for line in logstore.read(tmp_path / "log")] == [(1, "one"), (2, "two")]


def test_a_hundred_thousand_lines_take_little_time(tmp_path):
    step = log(tmp_path)
    chunk = b"".join(b"2026-01-01 12:00:00 epoch %d loss 0.123\n" % n for n in range(1500))
    began = time.process_time()
    for _ in range(70):
        step.feed("o", chunk)
    took = time.process_time() - began
    assert logstore.count(tmp_path / "log") == 105_000
    assert took < 2.0  # the budget is 50,000 a second
