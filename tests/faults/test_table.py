"""The table of `docs/faults.md` names tests, and they are there."""

from __future__ import annotations

import pathlib
import re

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_NAMED = re.compile(r"`(?:(tests/[\w/]+\.py)::|…)(test_\w+)(?:\[(\w+)\])?`")


def test_every_row_of_the_table_names_tests_that_are_there() -> None:
    lines = (REPOSITORY / "docs" / "faults.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")][1:]
    rows = [row for row in rows if not row.startswith("| ---")]
    assert len(rows) >= 18
    file = ""
    for row in rows:
        found = _NAMED.findall(row)
        assert found, f"This row names no test: {row}"
        for named, test, case in found:
            file = named or file
            text = (REPOSITORY / file).read_text()
            assert re.search(rf"def {test}\b", text), f"{file} has no {test}"
            assert not case or re.search(rf"\b{case}\b", text), f"{file} has no case {case}"
