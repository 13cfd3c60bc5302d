"""Appends what pods print to their logs, each line once, and passes it on to those who watch."""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from runs import logs, logstore
from runs.executors.base import LogObserved
from runs.intake.wire import Refused

BLOCK_LIMIT = 4 * 1024 * 1024  # bytes of one block
_SHOWN = 32 * 1024  # bytes of a block that are passed on to those who watch; the rest they read from the store
_OPEN = 256  # logs that are kept open
_FRAMED = re.compile(rb"(?:[0-9]{1,18} [oek] [^\n\0]*\n)*")


class _Log:
    """One log that is written to. `lock` is for threads of this process; other processes are kept out by the folder's."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.lock = threading.Lock()
        self.writer: logstore.LogWriter | None = None

    def append(self, block: bytes, first: int) -> tuple[int, int, bytes]:
        """Adds a block whose first line is number `first`: the number of the next line, and what was new of the block.

        Raises Refused for a gap (409, with `next`) and for a log that is as large as it may be, OSError for a full disk.
        """
        with self.lock, self._alone(begin=first == 1) as writer:
            expected = writer.next
            if first > expected:
                raise Refused(409, f"The log goes on at line {expected}; lines from {first} on leave a gap.", next=expected)
            lines = block.count(b"\n")
            known = min(expected - first, lines)
            block = logstore.after_lines(block, known)
            if block:
                if logstore.size(writer.folder) + len(block) > (settings.STEP_LOG_MIB + 16) * 2**20:  # it is kept by `entry`
                    raise Refused(413, f"The log is as large as it may be, {settings.STEP_LOG_MIB} MiB.", next=expected)
                writer.append_block(block, lines - known)
            return writer.next, first + known, block

    @contextmanager
    def _alone(self, *, begin: bool) -> Iterator[logstore.LogWriter]:
        """The writer, while no other process writes to this log; what others added since is known to it.

        A log that has begun and is gone went with its run: only its first line makes it anew.
        """
        folder = logs.folder(self.key)
        if begin:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Refused(409, "There is no log yet; it begins with line 1.", next=1) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if self.writer is None or not self.writer.is_current():
                if self.writer is not None:
                    self.writer.close()
                self.writer = logstore.LogWriter(folder)
            yield self.writer
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Lets go of the file, unless a thread writes."""
        if self.lock.acquire(blocking=False):
            try:
                if self.writer is not None:
                    self.writer.close()
                    self.writer = None
            finally:
                self.lock.release()


class Logbook:
    """The logs that this process writes to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: OrderedDict[str, _Log] = OrderedDict()

    def append(self, key: str, block: bytes, first: int, *, ended: bool) -> int:
        """Stores a framed block and shows it to those who watch; the number of the next line.

        Raises Refused for what is no block, for a gap and for too much, OSError where the disk does not take it.
        """
        if first < 1 or not _FRAMED.fullmatch(block):
            raise Refused(400, "The body is no block of a log: each line is '<µs> <o, e or k> <text>' and ends with a newline.")
        following, first, new = self._log(key).append(block, first)
        if new or ended:
            self._show(key, new, first, ended)
        if ended:
            self._close(key)
        return following

    def _log(self, key: str) -> _Log:
        with self._lock:
            found = self._logs.setdefault(key, _Log(key))
            self._logs.move_to_end(key)
            old = [self._logs.popitem(last=False)[1]] if len(self._logs) > _OPEN else []
        for log in old:
            log.close()
        return found

    def _close(self, key: str) -> None:
        with self._lock:
            log = self._logs.pop(key, None)
        if log is not None:
            log.close()

    @staticmethod
    def _show(key: str, block: bytes, first: int, ended: bool) -> None:
        if len(block) > _SHOWN:
            cut = block.find(b"\n", len(block) - _SHOWN) + 1
            first += block.count(b"\n", 0, cut)
            block = block[cut:]
        logs.append(LogObserved(key, tuple(logstore.parse(block, first)), ended))
