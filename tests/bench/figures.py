"""What a figure is, and the list of those that can be measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def print_figures(measures: Mapping[str, Measure], names: Sequence[str]) -> int:
    """Prints the figures that are named, all of them without names; 2 for a name that there is not."""
    if unknown := [name for name in names if name not in measures]:
        print(f"There is no {', '.join(unknown)}. There are: {', '.join(measures)}.", file=sys.stderr)
        return 2
    for name in names or measures:
        for figure in measures[name]():
            print(figure.line(), flush=True)
    return 0


def measure(name: str) -> Callable[[Measure], Measure]:
    """Registers a function that yields figures; `python -m tests.bench NAME` runs it alone."""

    def register(function: Measure) -> Measure:
        MEASURES[name] = function
        return function

    return register
