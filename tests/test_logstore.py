"""Logs on disk: what was written is read back, from any line, also while it is being written or after a crash."""

from __future__ import annotations

import pytest

from runs import logstore
from runs.executors.base import LogLine


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "attempt"


def write(folder, lines, **options):
    writer = logstore.LogWriter(folder, **options)
    for number, text in enumerate(lines, 1):
        assert writer.append(1_000 + number, "o", text) == number
    writer.close()


def test_lines_come_back_with_number_time_and_stream(folder):
    writer = logstore.LogWriter(folder)
    writer.append(5, "o", "hello")
    writer.append(6, "e", "")
    writer.append(7, "k", "größer — 数")
    assert logstore.read(folder) == [LogLine(1, 5, "o", "hello"), LogLine(2, 6, "e", ""), LogLine(3, 7, "k", "größer — 数")]
    assert logstore.count(folder) == 3


def test_a_log_that_is_not_there_is_empty(folder):
    assert logstore.read(folder) == []
    assert logstore.count(folder) == 0
    assert logstore.search(folder, "x") == []
    assert logstore.size(folder) == 0


def test_reading_begins_at_any_line_of_any_segment(folder):
    write(folder, [f"line {n}" for n in range(1, 2001)], segment=1000)
    assert len(list(folder.iterdir())) > 20
    assert logstore.count(folder) == 2000
    for first in (1, 2, 49, 50, 51, 777, 1999, 2000):
        lines = logstore.read(folder, first, 120)
        assert [line.number for line in lines] == list(range(first, min(first + 120, 2001)))
        assert lines[0].text == f"line {first}"
    assert logstore.read(folder, 2001) == []
    assert [line.number for line in logstore.tail(folder, 3)] == [1998, 1999, 2000]


def test_blocks_larger_than_the_reader_s_are_read_whole(folder):
    write(folder, ["x" * 300_000, "y" * 300_000, "z"])
    assert [len(line.text) for line in logstore.read(folder)] == [300_000, 300_000, 1]


def test_an_unfinished_line_does_not_count_and_is_cut_off_by_the_next_writer(folder):
    write(folder, ["one", "two"])
    segment = next(folder.iterdir())
    with segment.open("ab") as file:
        file.write(b"1003 o thr")
    assert logstore.count(folder) == 2
    assert [line.text for line in logstore.read(folder)] == ["one", "two"]
    writer = logstore.LogWriter(folder)
    assert writer.append(9, "k", "again") == 3
    assert [line.text for line in logstore.read(folder)] == ["one", "two", "again"]


def test_separators_of_other_kinds_stay_inside_their_line(folder):
    write(folder, ["a\x0bb\x0cc\x85d\u2028e", "tab\tand\rreturn", "two\nlines"])
    assert [line.text for line in logstore.read(folder)] == ["a\x0bb\x0cc\x85d\u2028e", "tab\tand\rreturn", "two lines"]


def test_search_finds_in_any_case_and_goes_on_after_a_line(folder):
    write(folder, ["Loss 0.3", "nothing", "LOSS 0.2", "Größe LOSS"], segment=20)
    assert [line.number for line in logstore.search(folder, "loss")] == [1, 3, 4]
    assert [line.number for line in logstore.search(folder, "loss", after=1, limit=1)] == [3]
    assert [line.number for line in logstore.search(folder, "GRÖSSE")] == [4]


def test_search_by_level_takes_graver_ones_too(folder):
    write(
        folder,
        [
            "DEBUG:root:x",
            "plain",
            "2026-01-01 WARNING slow",
            "KeyError: 'petal_width'",
            "Traceback (most recent call last):",
            "UserWarning: old",
            "no errors so far",
        ],
    )
    assert [line.number for line in logstore.search(folder, "", level="warning")] == [3, 4, 5, 6]
    assert [line.number for line in logstore.search(folder, "", level="error")] == [4, 5]
    assert logstore.levels(folder) == logstore.Levels(7, 2, 2)
    with pytest.raises(ValueError, match="no level"):
        logstore.search(folder, "", level="loud")


def test_framed_lines_are_appended_as_one_block(folder):
    writer = logstore.LogWriter(folder)
    lines = [LogLine(1, 1, "o", "a"), LogLine(2, 2, "e", "b")]
    assert writer.append_block(logstore.frame(lines), 2) == 1
    assert writer.next == 3
    assert logstore.read(folder) == lines
    assert list(logstore.iterate(folder, 2)) == lines[1:]


def test_files_that_are_no_segments_and_lines_that_are_no_lines_do_no_harm(tmp_path):
    for name in ("\u00b2.log", "1.log", "000000000000.log", "0000000000001.log"):
        (tmp_path / name).write_bytes(b"1 o not one of it\n")
    assert logstore.count(tmp_path) == 0
    (tmp_path / "000000000001.log").write_bytes("\u00b2 o x\n".encode() + b"9" * 5000 + b" o y\n5 o right\n")
    assert [(line.stream, line.at) for line in logstore.read(tmp_path)] == [("k", 0), ("k", 0), ("o", 5)]
