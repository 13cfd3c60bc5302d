"""Tries a property on many cases, each within its time; the first that fails is made small and told."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from tests.fuzz.bounds import within

MOST_SAID = 5000  # characters of a case
Property = Callable[[Any], str | None]
"""Takes a case, raises where it does not hold; may say how the case ended, which is counted."""


def attempt(cases: SearchStrategy[Any], holds: Property, *, count: int, start: int) -> Counter[str]:
    """Tries `count` cases from the seed `start`; how often each ending came. Raises what the property raised."""
    endings: Counter[str] = Counter()

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(cases)
    def each(case: Any) -> None:
        try:
            with within():
                endings[holds(case) or "held"] += 1
        except BaseException as error:
            error.add_note(f"The case was {reprlib.repr(case) if len(said := repr(case)) > MOST_SAID else said}")
            raise

    each()
    return endings
