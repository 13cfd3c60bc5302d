"""What the page System says of the parts, from what processes told."""

from __future__ import annotations

from kfdash.pulse import Heard, Process
from kfdash.system import parts

NOW = 1_000_000.0


def process(part: str, *, silent: float = 1.0, stood: float = 0.5, pid: int = 7, **more: object) -> Process:
    """One that told of itself `silent` seconds ago."""
    seen = NOW - silent
    return Process(part, "here", pid, "1.0", NOW - 900, seen, seen, stood, 100, more)


def heard(*processes: Process, up: float = 900.0) -> Heard:
    """What all told."""
    return Heard(NOW, NOW - up, processes)


def said(*processes: Process, kept: parts.Kept | None = None, lives: dict[int, bool] | None = None) -> list[str]:
    """The sentences about a worker."""
    rows = parts.rows(["drive"], heard(*processes), kept, lives=lives or {}, now=NOW)
    return [found.sentence for found in parts.findings(rows)]


def test_a_part_that_is_heard_of_needs_no_word() -> None:
    assert said(process("drive")) == []


def test_a_part_that_is_silent_is_named_with_what_waits_and_what_to_do() -> None:
    [sentence] = said(process("drive", silent=40))
    assert "Worker has not been heard of for 40 s" in sentence and "Runs do not go on" in sentence and "kfdash worker" in sentence


def test_one_of_two_that_went_without_a_word_is_named_while_the_other_goes_on() -> None:
    [sentence] = said(process("drive"), process("drive", silent=30, pid=8))
    assert "here (8)" in sentence and "the other one goes on" in sentence
    [sentence] = said(process("drive"), process("drive", pid=9), process("drive", silent=30, pid=8))
    assert "the other 2 go on" in sentence


def test_one_that_went_is_named_while_another_is_troubled() -> None:
    troubles = {"database": {"at": NOW - 3, "says": "No space left on device"}}
    sentences = said(process("drive", troubles=troubles), process("drive", silent=30, pid=8))
    assert len(sentences) == 2 and "here (8)" in sentences[0] and "No space left" in sentences[1]


def test_a_part_whose_loop_stands_still_is_named() -> None:
    [sentence] = said(process("drive", stood=50))
    assert "has stood still for 50 s" in sentence


def test_what_ended_by_itself_is_named_at_once_and_for_a_minute() -> None:
    end = {"at": NOW - 5, "how": "signal 9", "pause": 8.0}
    [gone] = said(kept=parts.Kept({}, {"drive": end}))
    assert "ended (signal 9) and is started again in 3.0 s" in gone
    [again] = said(process("drive"), kept=parts.Kept({"drive": 7}, {"drive": end}), lives={7: True})
    assert "ended 5.0 s ago (signal 9) and was started again" in again
    assert said(process("drive"), kept=parts.Kept({"drive": 7}, {"drive": {**end, "at": NOW - 90}}), lives={7: True}) == []


def test_a_trouble_that_several_met_is_one_sentence() -> None:
    troubles = {"executor": {"at": NOW - 3, "says": "The cluster does not answer."}}
    found = heard(process("orders", troubles=troubles), process("observer", pid=8, troubles=troubles))
    rows = parts.rows(["orders", "observer"], found, None, lives={}, now=NOW)
    [finding] = parts.findings(rows)
    assert finding.sentence.startswith("Orders and Observer met this: The cluster does not answer.")
    assert parts.findings(rows, {"executor"}) == []
