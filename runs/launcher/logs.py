"""Sends what `entry` writes down of the step's output: whole lines, in order, each once; what has been sent is removed."""

from __future__ import annotations

import os
import threading
import time

from runs.launcher.asking import Line, Refused, Unanswered
from runs.launcher.volume import SEGMENT_NAME, Volume, opened

_BATCH = 1024 * 1024  # bytes
_PAUSE = 0.05  # seconds between two looks
_MOST_LAST = 4096  # bytes of a line that are kept to tell of it


class LogSender(threading.Thread):
    """A thread that sends the log until it is `finish`ed. A launcher that was started again goes on where intake is."""

    def __init__(self, line: Line, volume: Volume) -> None:
        super().__init__(name="log", daemon=True)
        self._line, self._volume = line, volume
        self._next = 1  # number of the next line to send
        self._first: int | None = None  # the segment that is read
        self._offset = 0
        self._until: int | None = None  # number of the last line, once it is known
        self._last = {"o": b"", "e": b""}
        self.given_up = False
        self.done = threading.Event()

    def finish(self, lines: int) -> None:
        """The log has so many lines, and gets no more."""
        self._until = lines

    @property
    def last_line(self) -> str:
        """The last line on stderr that is not blank, else on stdout; at most 300 characters."""
        self._look_back()
        line = (self._last["e"] or self._last["o"]).decode(errors="replace").strip()
        return line if len(line) <= 300 else line[:297] + "…"

    def run(self) -> None:
        """Sends until the last line has been taken, or nobody wants it any more."""
        try:
            while not self._send():
                time.sleep(_PAUSE)
        except (Refused, Unanswered, OSError):
            self.given_up = True
        self.done.set()

    def _send(self) -> bool:
        """Sends what there is; whether that was the last."""
        while block := self._read():
            number, data = block
            self._note(data)
            self._post(number, data)
        if self._until is not None and (self._next > self._until or self._first is None):
            self._line.call("POST", f"/v1/log?first={self._next}&ended=1", b"", patience=600)
            return True
        return False

    def _post(self, number: int, data: bytes) -> None:
        self._line.call("POST", f"/v1/log?first={number}", data)
        self._next = number + data.count(b"\n")

    def _read(self) -> tuple[int, bytes] | None:
        """The next whole lines and the number of the first; None where there are none yet."""
        segments = sorted(int(name[:12]) for name in os.listdir(self._volume.log) if self._is_segment(name))
        if not segments:
            return None
        if self._first is None:
            self._first, self._offset, self._next = segments[0], 0, segments[0]
        with opened(self._path(self._first), self._volume.log) as file:
            file.seek(self._offset)
            data = file.read(_BATCH)
        whole = data[: data.rfind(b"\n") + 1]
        if whole:
            number = self._next
            self._offset += len(whole)
            return number, whole
        later = [first for first in segments if first > self._first]
        if not later:
            return None
        # It is closed, and all of it has been sent.
        os.unlink(self._path(self._first))
        self._first, self._offset, self._next = later[0], 0, later[0]
        return self._read()

    def _note(self, data: bytes) -> None:
        """Remembers the last line of each stream: its beginning is enough."""
        for stream in ("o", "e"):
            mark = f" {stream} ".encode()
            for line in reversed(data[-65536:].split(b"\n")):
                _, found, text = line.partition(mark)
                if found and len(line) - len(text) <= 22 and text.strip():
                    self._last[stream] = text[:_MOST_LAST]
                    break

    def _look_back(self) -> None:
        """What has not been sent yet counts, too."""
        try:
            newest = max(int(name[:12]) for name in os.listdir(self._volume.log) if self._is_segment(name))
            with opened(self._path(newest), self._volume.log) as file:
                file.seek(max(os.fstat(file.fileno()).st_size - 65536, 0))
                self._note(file.read())
        except (OSError, ValueError):
            return

    def _path(self, first: int) -> str:
        return f"{self._volume.log}/{first:012d}.log"

    @staticmethod
    def _is_segment(name: str) -> bool:
        return len(name) == SEGMENT_NAME and name.endswith(".log") and name[:12].isdecimal()
