"""Strips: one mark a step or an iteration, side by side, with each state's own shape. A leaf: plain Python, geometry only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kfdash import words

# Several things under one mark show the worst of them.
_WORST_FIRST = ("FAILED", "WAITING", "CANCELING", "RUNNING", "PENDING", "CANCELED", "SKIPPED", "SUCCEEDED", "CACHED")
_LEAST_PITCH = 2.6  # pixels from one mark to the next


@dataclass(frozen=True)
class Mark:
    """What a mark stands for."""

    state: str
    attention: bool = False
    cached: bool = False
    title: str = ""

    @property
    def look(self) -> str:
        """Its state with `WAITING` and `CACHED` told apart."""
        return words.state_mark(self.state, attention=self.attention, cached=self.cached)


@dataclass(frozen=True)
class Box:
    """A rectangle of the strip; `index` is that of the first thing it stands for."""

    mark: Mark
    index: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Strip:
    """A laid-out strip; sizes in pixels."""

    boxes: tuple[Box, ...]
    width: float
    height: float
    label: str


def lay_out(marks: Sequence[Mark], *, width: float = 104, height: float = 13) -> Strip:
    """The strip of `marks` from left to right. More than fit are gathered: each mark then shows the worst of its share."""
    label = label_of(marks)
    if not marks:
        return Strip((), width, height, label)
    shown = _gathered(marks, int(width / _LEAST_PITCH))
    pitch = min(11.0, width / len(shown))
    gap = 2.0 if pitch >= 6 else 1.0
    boxes: list[Box] = []
    for position, (index, mark) in enumerate(shown):
        boxes += _boxes(mark, index, round(position * pitch, 2), round(pitch - gap, 2), height)
    return Strip(tuple(boxes), width, height, label)


def label_of(marks: Iterable[Mark]) -> str:
    """`2 cached, 3 succeeded, 1 running`, for those who do not see the strip."""
    counts: dict[str, int] = {}
    for mark in marks:
        word = words.state_word(mark.state, attention=mark.attention, cached=mark.cached).lower()
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{count:,} {word}" for word, count in counts.items()) or "not planned yet"


def _gathered(marks: Sequence[Mark], most: int) -> list[tuple[int, Mark]]:
    if len(marks) <= most:
        return list(enumerate(marks))
    edges = [round(slot * len(marks) / most) for slot in range(most + 1)]
    return [
        min(((index, marks[index]) for index in range(start, end)), key=lambda pair: _WORST_FIRST.index(pair[1].look))
        for start, end in zip(edges, edges[1:], strict=False)
    ]


def _boxes(mark: Mark, index: int, x: float, width: float, height: float) -> list[Box]:
    look = mark.look
    if look == "FAILED":  # taller than the others and cut in two
        width, half = max(width, 3.0), height / 2 + 0.25
        return [Box(mark, index, x, -1.0, width, half), Box(mark, index, x, height + 1 - half, width, half)]
    if look == "CACHED":  # an outline: half of the stroke lies inside
        return [Box(mark, index, x + 0.75, 0.75, max(width - 1.5, 0.5), height - 1.5)]
    top, tall = {
        "SUCCEEDED": (0.0, height),
        "RUNNING": (0.38 * height, 0.62 * height),
        "WAITING": (height - 5, 5.0),
        "SKIPPED": (height / 2 - 1, 2.0),
        "CANCELING": (height / 2, height / 2),
        "CANCELED": (height / 2, height / 2),
    }.get(look, (height - 3, 3.0))
    return [Box(mark, index, x, round(top, 2), width, round(tall, 2))]
