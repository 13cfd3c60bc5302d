"""What a figure is, and the list of those that can be measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

Measure = Callable[[], "Iterator[Figure]"]


@dataclass(frozen=True)
class Figure:
    """One measured value. `budget` is what it may cost, or must reach where `unit` is a rate."""

    name: str
    value: float
    unit: str
    budget: float | None = None
    by_hand: float | None = None

    def line(self) -> str:
        """The figure as one line of JSON."""
        rounded = {key: round(item, 3) if isinstance(item, float) else item for key, item in asdict(self).items()}
        return json.dumps(rounded)


MEASURES: dict[str, Measure] = {}


def measure(name: str) -> Callable[[Measure], Measure]:
    """Registers a function that yields figures; `python -m tests.bench NAME` runs it alone."""

    def register(function: Measure) -> Measure:
        MEASURES[name] = function
        return function

    return register
