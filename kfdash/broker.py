"""Celery's consumer: it comes back to Redis within a moment, and says in one line that it had to."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from celery.worker import consumer
from celery.worker.state import maybe_shutdown

from kfdash import pulse

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between attempts to reach Redis, for as long as it takes
_TURN = 2.0  # seconds


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Takes messages from Redis."""

    _pulses = False

    def ensure_connected(self, conn: Any) -> Any:
        """Waits for Redis; Celery itself would wait two seconds first, and give up in the end."""
        lost: list[Exception] = []

        def tell(error: Exception, interval: float) -> None:
            if not lost:
                log.warning("Redis does not answer (%s); jobs wait until it does.", error)
            lost.append(error)

        self._turn_the_pulse()
        connection = conn.ensure_connection(
            tell,
            None,
            interval_start=_FIRST_PAUSE,
            interval_step=_FIRST_PAUSE,
            interval_max=_LONGEST_PAUSE,
            callback=self._waits,
        )
        self.first_connection_attempt = False
        return connection

    def _turn_the_pulse(self) -> None:
        """The loop of messages says from now on that it turns, by a timer of its own."""
        pulse.turned()
        if not self._pulses:
            self._pulses = True
            self.timer.call_repeatedly(_TURN, pulse.turned)

    def _waits(self) -> None:
        pulse.turned()  # it waits for Redis, and that is what it should do
        maybe_shutdown()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Comes back; what Celery warns of here is about late acknowledgement, which we do not use."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().on_connection_error_after_connected(exc)
