"""Bars of a timeline: times as percentages of the span that is shown. Plain geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000, 86400, 172800, 604800)
_TICKS = 7  # about one each 110 px


class Timed(Protocol):
    """A task's times."""

    kind: str
    state: str
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class Phased(Protocol):
    """An attempt's times."""

    state: str
    queued_at: datetime | None
    starting_at: datetime | None
    running_at: datetime | None
    collecting_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class Span:
    """The time that the width stands for."""

    begin: datetime
    seconds: float

    @classmethod
    def over(cls, begin: datetime, end: datetime, *, running: bool) -> Span:
        """From begin to end; some room to the right while time goes on."""
        seconds = max((end - begin).total_seconds(), 0.5)
        return cls(begin, seconds * (1.14 if running else 1.02))

    def percent(self, at: datetime) -> float:
        """Where a time lies, from 0 to 100."""
        return round(min(100.0, max(0.0, (at - self.begin).total_seconds() / self.seconds * 100)), 3)


@dataclass(frozen=True)
class Bar:
    """A piece: `kind` is queue, start, run, collect or prev; `x` and `width` in percent."""

    kind: str
    x: float
    width: float
    on: bool = False

    @property
    def end(self) -> float:
        """Where it ends."""
        return round(self.x + self.width, 3)


@dataclass
class Bars:
    """All pieces of a row."""

    pieces: list[Bar] = field(default_factory=list)


@dataclass(frozen=True)
class Tick:
    """A line of the grid with its word."""

    x: float
    word: str


def axis(span: Span) -> list[Tick]:
    """Lines at round distances from the begin."""
    step = next((step for step in _STEPS if span.seconds / step <= _TICKS), _STEPS[-1])
    ticks, at = [], 0.0
    while at <= span.seconds * 0.97 and len(ticks) < 40:
        ticks.append(Tick(span.percent(span.begin + timedelta(seconds=at)), _offset(at, step)))
        at += step
    return ticks


def _offset(at: float, step: float) -> str:
    if at == 0:
        return "0"
    if step < 1:
        return f"{at:.1f} s"
    whole = round(at)
    days, hours, minutes, seconds = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    parts = [
        f"{days} d" if days else "",
        f"{hours} h" if hours else "",
        f"{minutes} m" if minutes else "",
        f"{seconds} s" if seconds else "",
    ]
    return " ".join(part for part in parts if part)


def bars(step: Timed, attempts: Sequence[Phased], span: Span, now: datetime, *, since: datetime | None = None) -> Bars:
    """The pieces of a step's row: earlier attempts, then queued, starting, running, collecting of the last one.

    A group spans its children; `since` is when the first of them began, where that was before the group was begun again.
    """
    found = Bars()
    if step.kind in ("dag", "loop"):
        begin = min((at for at in (step.started_at or step.ready_at, since) if at is not None), default=None)
        if begin is not None and step.state != "SKIPPED":
            _add(found, "run", begin, step.finished_at or now, span, on=step.finished_at is None)
        return found
    if not attempts:
        if step.ready_at is not None and step.state == "PENDING":
            _add(found, "queue", step.ready_at, now, span)
        elif step.ready_at is not None and step.finished_at is not None and step.state == "SUCCEEDED":
            _add(found, "run", step.ready_at, step.finished_at, span)
        return found
    for attempt in attempts[:-1]:
        begin = attempt.starting_at or attempt.running_at or attempt.queued_at
        if begin is not None and attempt.finished_at is not None:
            _add(found, "prev", begin, attempt.finished_at, span)
    last = attempts[-1]
    times = [
        ("queue", last.queued_at),
        ("start", last.starting_at),
        ("run", last.running_at),
        ("collect", last.collecting_at),
    ]
    known = [(kind, at) for kind, at in times if at is not None]
    ends = [at for _, at in known[1:]] + [last.finished_at or now]
    for (kind, at), end in zip(known, ends, strict=True):
        _add(found, kind, at, end, span, on=kind == "run" and last.finished_at is None)
    return found


def usual_end(step: Timed, seconds: float, span: Span) -> float | None:
    """Where a step ends that takes as long as usual; None where it has not begun, or where that lies outside."""
    begin = step.started_at or step.ready_at
    if begin is None or step.state in ("PENDING", "SKIPPED"):
        return None
    end = begin + timedelta(seconds=seconds)
    return span.percent(end) if (end - span.begin).total_seconds() <= span.seconds else None


def _add(found: Bars, kind: str, begin: datetime, end: datetime, span: Span, *, on: bool = False) -> None:
    x = span.percent(begin)
    found.pieces.append(Bar(kind, x, round(max(0.0, span.percent(end) - x), 3), on))
