"""A short round with a fixed seed: nothing is lost, nothing is done twice, and nothing is left."""

from __future__ import annotations

import pathlib
import sys

import pytest

from tests.chaos.round import Settings, play

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


def test_nothing_is_lost_while_everything_dies(tmp_path: pathlib.Path) -> None:
    outcome = play(Settings(seed=8, seconds=14, folder=tmp_path, at_once=5, pauses=(0.2, 2.0)))
    print(outcome.text())
    assert not outcome.problems, outcome.text()
    assert sum(outcome.faults.values()) >= 3
    assert outcome.figures["runs SUCCEEDED"] >= 3
