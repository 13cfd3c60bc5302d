"""Those who watch: facts at once, log lines in batches, and nobody waits for a slow one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from runs.engine.model import Fact
from runs.facts import encode

EVERY = 0.05  # seconds between batches of log lines
MOST = 512 * 1024  # bytes of one log in one batch; earlier lines of it are left to the store
BEHIND = 8 * 1024 * 1024  # bytes unsent, above which a watcher gets no log lines
LOST = 64 * 1024 * 1024  # bytes unsent, above which it is let go


class Hub:
    """Sends observations to every watcher. Lines left out are seen by their numbers; they are in the store."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.StreamWriter] = set()
        self._pending: dict[str, tuple[int, bytes]] = {}  # log → number of the first line, framed lines
        self._timer: asyncio.TimerHandle | None = None

    def add(self, watcher: asyncio.StreamWriter) -> None:
        """Begins to tell this one."""
        self._watchers.add(watcher)

    def remove(self, watcher: asyncio.StreamWriter) -> None:
        """Ends it."""
        self._watchers.discard(watcher)

    def fact(self, run_id: str, fact: Fact) -> None:
        """Something happened."""
        self._send([{"run": run_id, **encode(fact)}])

    def lines(self, log: str, first: int, lines: int, block: bytes) -> None:
        """Lines were stored."""
        if not self._watchers:
            return
        known = self._pending.get(log)
        if known:
            first, block = known[0], known[1] + block
        if len(block) > MOST:
            cut = block.find(b"\n", len(block) - MOST) + 1
            first += block.count(b"\n", 0, cut)
            block = block[cut:]
        self._pending[log] = (first, block)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._flush)

    def ended(self, log: str, run_id: str, fact: Fact) -> None:
        """An attempt ended: the rest of its log, that there is no more of it, and the fact."""
        message: dict[str, Any] = {"log": log, "ended": True}
        if log in self._pending:
            first, block = self._pending.pop(log)
            message |= {"first": first, "block": block.decode(errors="replace")}
        self._send([message, {"run": run_id, **encode(fact)}])

    def _flush(self) -> None:
        self._timer = None
        pending, self._pending = self._pending, {}
        batch = [{"log": log, "first": first, "block": block.decode(errors="replace")} for log, (first, block) in pending.items()]
        self._send(batch, only_logs=True)

    def _send(self, batch: list[dict[str, Any]], *, only_logs: bool = False) -> None:
        if not self._watchers or not batch:
            return
        data = json.dumps({"batch": batch}, separators=(",", ":")).encode() + b"\n"
        for watcher in list(self._watchers):
            unsent = watcher.transport.get_write_buffer_size()
            if watcher.is_closing() or unsent > LOST:
                self._watchers.discard(watcher)
                watcher.transport.abort()
            elif not only_logs or unsent < BEHIND:
                watcher.write(data)
