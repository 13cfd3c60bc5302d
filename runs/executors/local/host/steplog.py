"""One attempt's log: frames what comes out of its pipes, stores it, then passes it on. Keeps to the limits."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable

from runs.executors.local.host.framing import Framer
from runs.logstore import LogWriter

_MOST_WAITING = 1024 * 1024  # bytes of lines that wait for room on the disk
Publish = Callable[[int, int, bytes], None]  # number of the first line, how many, the framed lines


def now() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1000


class StepLog:
    """Appends; never raises for a disk that is full or gone.

    What cannot be stored waits and is tried again with what comes next; what is too much for that is dropped, and a line says so.
    """

    def __init__(self, folder: pathlib.Path, publish: Publish, *, most_bytes: int, most_lines: int) -> None:
        self._folder = folder
        self._publish = publish
        self._framers = {"o": Framer("o"), "e": Framer("e")}
        self._most_bytes, self._most_lines = most_bytes, most_lines
        self._bytes = self._lines = 0
        self._full = False
        self._waiting: tuple[bytes, int] = (b"", 0)  # framed lines that found no room yet
        self._dropped, self._why = 0, ""  # lines after them that are lost
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
        """The step has ended: stores what is left of unfinished lines. Once more where there may be room now."""
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
        waiting, waited = self._waiting
        if self._full and not waited:
            return
        if self._full:
            block, lines = b"", 0
        if not (lines or waited or self._dropped):
            return
        room = self._most_bytes - self._bytes - len(waiting), self._most_lines - self._lines - waited
        if lines and (len(block) > room[0] or lines > room[1]):
            block, lines = self._last(block, *room)
        missing = b""
        if self._dropped:
            missing = f"{now()} k {self._dropped:,} lines are missing here: they could not be stored ({self._why}).\n".encode()
        whole, count = waiting + missing + block, waited + bool(missing) + lines
        try:
            if self._writer is None:
                self._writer = LogWriter(self._folder)
            first = self._writer.append_block(whole, count)
        except OSError as error:
            self._wait(block, lines, os.strerror(error.errno or 0))
            return
        self._waiting, self._dropped = (b"", 0), 0
        self._bytes += len(whole)
        self._lines += count
        self._publish(first, count, whole)

    def _wait(self, block: bytes, lines: int, why: str) -> None:
        waiting, waited = self._waiting
        if self._dropped or len(waiting) + len(block) > _MOST_WAITING:
            self._dropped += lines
            self._why = why
        else:
            self._waiting = (waiting + block, waited + lines)

    def _last(self, block: bytes, most_bytes: int, most_lines: int) -> tuple[bytes, int]:
        """As much of a block as there is room for, and the line that says why the log ends."""
        self._full = True
        room = block[: max(most_bytes, 0)]
        kept = room[: room.rfind(b"\n") + 1].splitlines(keepends=True)[: max(most_lines, 0)]
        reason = (
            f"The log's limit is reached ({self._most_lines:,} lines or {self._most_bytes / 1048576:,.0f} MiB). "
            "The step goes on; what it prints from here on is not kept."
        )
        return b"".join(kept) + f"{now()} k {reason}\n".encode(), len(kept) + 1
