"""What the page System says of clocks that differ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kfdash.pulse import Heard, Process
from kfdash.system import stand

NOW = 1_000_000.0


@pytest.mark.parametrize(("ahead", "says"), [(60.0, "before Redis'"), (-60.0, "behind Redis'"), (2.0, "")])
def test_a_clock_that_differs_by_more_than_some_seconds_is_named(ahead: float, says: str) -> None:
    worker = Process("drive", "here", 7, "1.0", NOW - 900, NOW - 1 + ahead, NOW - 1, 0.5, 100)
    seen: Any = SimpleNamespace(heard=Heard(NOW, NOW - 900, (worker,)), ahead=0.0)
    sentences = [found.sentence for found in stand._clocks(None, seen)]
    assert bool(sentences) == bool(says) and all(says in one and "here, process 7" in one for one in sentences)
