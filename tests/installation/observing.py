"""An observer as a process, for tests of who leads: it writes a line for each tick instead of ticking.

python -m tests.installation.observing FILE HOLDER LASTS SECONDS_AHEAD
"""

from __future__ import annotations

import datetime
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import django

django.setup()

from django.utils import timezone  # noqa: E402

from runs import observer  # noqa: E402
from runs.executors.base import Standing  # noqa: E402
from runs.leading import Lead  # noqa: E402


class Quiet:
    """An executor in which nothing happens."""

    def observe(self):
        """No batch, for ever."""
        while True:
            time.sleep(60)
            yield []

    def standing(self) -> Standing:
        """Well."""
        return Standing()


def main(file: str, holder: str, lasts: float, ahead: float) -> None:
    """Observes until SIGTERM, with a wall clock that is `ahead` by so many seconds."""
    true_time, true_now = time.time, timezone.now
    time.time = lambda: true_time() + ahead
    timezone.now = lambda: true_now() + datetime.timedelta(seconds=ahead)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    lead = Lead(holder=holder, lasts=lasts, lost=lambda: os._exit(1))
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tick(number: int, leads: Callable[[], bool]) -> None:
        os.write(descriptor, f"{time.monotonic():.3f} {holder} {lead.term}\n".encode())

    observer.tick, observer.executor = tick, Quiet
    observer._TICK = lasts / 10
    observer.main(stop, lead)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
