"""A database of any earlier version opens with this one: what it holds is there, and what was under way ends."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
import sys
import urllib.request

import pytest

from tests.faults import stack
from tests.installation.states import ENDED, FOLDER, UNDER_WAY, newest_migration
from tests.running import ON_SQLITE, Installation

STATES = sorted(FOLDER.glob("*.sql"))
STEPS = {f"root/{name}" for name in ("one", "two", "three")}


def test_the_present_state_of_the_tables_is_kept_for_later_versions() -> None:
    assert newest_migration() in [path.stem for path in STATES], "Make it: python -m tests.installation.states"


@ON_SQLITE
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("state", STATES, ids=lambda path: path.stem)
def test_an_earlier_database_is_brought_up_to_date_and_its_runs_go_on(state: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "kfdash.sqlite3")) as connection:
        connection.executescript(state.read_text())
    with Installation(tmp_path / "data") as installation:
        runs = {run["display_name"]: run["run_id"] for run in stack.call(installation, "/apis/v2beta1/runs")["runs"]}
        assert stack.state(installation, runs[ENDED]) == "SUCCEEDED"
        for page in ("/", "/runs/", f"/runs/{runs[ENDED]}/", f"/runs/{runs[UNDER_WAY]}/"):
            with urllib.request.urlopen(installation.address + page, timeout=20) as answer:
                assert answer.status == 200 and (ENDED in (text := answer.read().decode()) or UNDER_WAY in text), page
        kept = stack.tasks(installation, runs[ENDED])
        assert {path: len(kept[path]["attempts"]) for path in STEPS} == dict.fromkeys(STEPS, 1)
        events = stack.call(installation, f"/apis/kfdash/v1/runs/{runs[ENDED]}/events")["events"]
        assert [event["number"] for event in events] == list(range(1, len(events) + 1)) and len(events) > 5
        assert stack.end(installation, runs[UNDER_WAY]) == "SUCCEEDED"
        found = stack.tasks(installation, runs[UNDER_WAY])
        assert {path: len(found[path]["attempts"]) for path in STEPS} == {"root/one": 1, "root/two": 2, "root/three": 1}
    stack.check_what_it_said(installation)
