"""The time a page is seen at: now, or, while somebody looks at a run as it was, a moment of the past. A leaf."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_seen_at: ContextVar[datetime | None] = ContextVar("seen_at", default=None)


@contextmanager
def seen_at(at: datetime | None) -> Iterator[None]:
    """Inside it, durations run until `at` and no clock ticks; None is now."""
    token = _seen_at.set(at)
    try:
        yield
    finally:
        _seen_at.reset(token)


def past() -> datetime | None:
    """The moment that is looked at, None while it is now."""
    return _seen_at.get()


def now() -> datetime:
    """The moment that is looked at, or the time."""
    return _seen_at.get() or datetime.now(UTC)


def ticks(begin: datetime | None) -> str:
    """From when a clock on the page ticks, ISO time; empty where it stands still."""
    return begin.isoformat() if begin is not None and _seen_at.get() is None else ""
