"""Publishes to the channel layer what pages watch. Losing a message costs a page seconds: it notices the gap by its number.

Publishing never blocks the caller: each process has one thread with an event loop that sends in order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterable
from typing import Any

from channels.layers import get_channel_layer
from django.db import transaction

log = logging.getLogger(__name__)

RUNS = "runs"
_MOST_WAITING = 1000  # messages; beyond that the layer does not answer and pages will ask again anyway


def run_group(run_id: str) -> str:
    """The group of a run's page."""
    return f"run.{run_id}"


def log_group(log_key: str) -> str:
    """The group of an attempt's log; `log_key` is `<run id>/<attempt name>`."""
    return f"log.{log_key.rpartition('/')[2]}"


def publish_run(run_id: str, message: dict[str, Any]) -> None:
    """Tells a run's pages what changed, and the lists that this run did, when the transaction has committed."""

    def send() -> None:
        _publisher().send(run_group(run_id), {"type": "run.changed", **message})
        _publisher().send(RUNS, {"type": "runs.changed", "runs": [run_id]})

    transaction.on_commit(send)


def publish_log(log_key: str, lines: Iterable[tuple[int, int, str, str]], ended: bool) -> None:
    """Gives new lines (number, µs, stream, text) to those who watch a log."""
    message = {"type": "log.lines", "log": log_key, "lines": [list(line) for line in lines], "ended": ended}
    _publisher().send(log_group(log_key), message)


class _Publisher:
    """A thread with an event loop; messages wait in a bounded queue and are sent in order."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.waiting = 0
        threading.Thread(target=self._run, name="live", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self.loop.create_task(self._drain())
        self.loop.run_forever()

    async def _drain(self) -> None:
        layer = get_channel_layer()
        while True:
            group, message = await self.queue.get()
            self.waiting -= 1
            try:
                await layer.group_send(group, message)
            except Exception as error:  # whatever the transport raises: pages ask again by themselves
                log.warning("Pages were not told of %s (%s: %s).", group, type(error).__name__, error)

    def send(self, group: str, message: dict[str, Any]) -> None:
        if self.waiting >= _MOST_WAITING:
            return
        self.waiting += 1
        self.loop.call_soon_threadsafe(lambda: self.queue.put_nowait((group, message)))


_publishers: dict[int, _Publisher] = {}
_lock = threading.Lock()


def _publisher() -> _Publisher:
    """This process's publisher; a forked child makes its own."""
    with _lock:
        if os.getpid() not in _publishers:
            _publishers[os.getpid()] = _Publisher()
        return _publishers[os.getpid()]
