"""How the page System shows what was found."""

from __future__ import annotations

import pathlib
import re
from datetime import UTC, datetime

from django.template.loader import render_to_string
from django.utils import timezone

from kfdash import backup
from kfdash.pulse import Heard, Process
from kfdash.system import parts
from kfdash.system.stand import Stand

NOW = timezone.now().timestamp()


def process(part: str, machine: str, pid: int, silent: float = 1.0, **more: object) -> Process:
    """One that told of itself `silent` seconds ago."""
    return Process(part, machine, pid, "1.0", NOW - 900, NOW - silent, NOW - silent, 0.5, 100_000_000, more)


def page(*processes: Process, backed_up: datetime | None = None, administers: bool = True) -> str:
    """What is shown of these processes of a worker and an observer, as text."""
    rows = tuple(parts.rows(["drive", "observer"], Heard(NOW, NOW - 900, processes), None, lives={}, now=NOW))
    stand = Stand(rows, tuple(parts.findings(rows)), None, None, (), "", "", None, None, None, backed_up)
    html = render_to_string("system/_stand.html", {"stand": stand, "can_administer": administers})
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_each_process_is_a_row_and_one_that_went_silent_stays_for_a_minute() -> None:
    text = page(process("drive", "a", 7), process("drive", "b", 8, silent=30), process("observer", "a", 9, leads=True))
    assert "Worker advances runs a 7 1.0" in text and "silent b 8" in text and "a 9 leads" in text
    assert "the other one goes on" in text


def test_a_part_that_is_gone_has_a_row_without_a_process() -> None:
    assert "does not work Worker advances runs – –" in page(process("observer", "a", 9))


def test_when_everything_was_backed_up_is_shown_where_it_was_noted(tmp_path: pathlib.Path) -> None:
    assert backup.last(tmp_path / "logs") is None
    assert "Last backup none is known of: kfdash backup" in page(process("observer", "a", 9))
    assert "kfdash backup" not in page(process("observer", "a", 9), administers=False)
    noted = backup.note(tmp_path / "logs", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert backup.last(tmp_path / "logs") == noted
    assert "Last backup" in (text := page(process("observer", "a", 9), backed_up=noted)) and "none is known" not in text
