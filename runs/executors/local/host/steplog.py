"""One attempt's log: frames what comes out of its pipes, stores it, then passes it on. Keeps to the limits."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable

from runs.executors.local.host.framing import Framer
from runs.logstore import LogWriter

Publish = Callable[[int, int, bytes], None]  # number of the first line, how many, the framed lines


def now() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1000


class StepLog:
    """Appends; never raises for a disk that is full or gone: what cannot be stored is dropped, and a line says so later."""

    def __init__(self, folder: pathlib.Path, publish: Publish, *, most_bytes: int, most_lines: int) -> None:
        self._folder = folder
        self._publish = publish
        self._framers = {"o": Framer("o"), "e": Framer("e")}
        self._most_bytes, self._most_lines = most_bytes, most_lines
        self._bytes = self._lines = 0
        self._full = False
        self._dropped, self._why = 0, ""  # lines that the disk did not take
        self._writer: LogWriter | None = None

    def feed(self, stream: str, data: bytes) -> None:
        """Takes what a pipe gave."""
        self._store(*self._framers[stream].feed(data, now()))

    def say(self, text: str) -> None:
        """Adds a line of ours."""
        for line in text.splitlines():
            framed = f"{now()} k {line}\n".encode(errors="replace")
            self._store(framed, 1)

    def finish(self) -> None:
        """The step has ended: stores what is left of unfinished lines."""
        for framer in self._framers.values():
            self._store(*framer.finish(now()))
        if self._writer:
            self._writer.close()

    @property
    def last_error(self) -> str:
        """The last line on stderr that is not blank, else on stdout; at most 300 characters."""
        line = (self._framers["e"].last or self._framers["o"].last)[-4096:].decode(errors="replace").strip()
        return line if len(line) <= 300 else line[:297] + "…"

    def _store(self, block: bytes, lines: int) -> None:
        if not (lines or self._dropped) or self._full:
            return
        if self._bytes + len(block) > self._most_bytes or self._lines + lines > self._most_lines:
            block, lines = self._last(block)
        kept = lines
        if self._dropped:
            block = (
                f"{now()} k {self._dropped:,} lines are missing here: they could not be stored ({self._why}).\n".encode() + block
            )
            lines += 1
        try:
            if self._writer is None:
                self._writer = LogWriter(self._folder)
            first = self._writer.append_block(block, lines)
        except OSError as error:
            self._dropped += kept
            self._why = os.strerror(error.errno or 0)
            return
        self._dropped = 0
        self._bytes += len(block)
        self._lines += lines
        self._publish(first, lines, block)

    def _last(self, block: bytes) -> tuple[bytes, int]:
        """As much of a block as there is room for, and the line that says why the log ends."""
        self._full = True
        room = block[: max(self._most_bytes - self._bytes, 0)]
        kept = room[: room.rfind(b"\n") + 1].splitlines(keepends=True)[: max(self._most_lines - self._lines, 0)]
        reason = (
            f"The log's limit is reached ({self._most_lines:,} lines or {self._most_bytes / 1048576:,.0f} MiB). "
            "The step goes on; what it prints from here on is not kept."
        )
        return b"".join(kept) + f"{now()} k {reason}\n".encode(), len(kept) + 1
