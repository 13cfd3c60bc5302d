"""Time for one case: what takes longer is ended and has failed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MOST_SECONDS = 5.0  # of CPU for one case, some hundred times what a case takes


class TookTooLong(AssertionError):
    """A case that did not end within its time."""


@contextmanager
def within(seconds: float = MOST_SECONDS) -> Iterator[None]:
    """Raises TookTooLong after so many seconds of this process's CPU: a machine that is busy makes nobody late."""

    def late(number: int, frame: Any) -> None:
        raise TookTooLong(f"The case took more than {seconds} s of CPU.")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
