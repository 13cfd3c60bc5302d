"""Lines out of bytes: what a step prints becomes framed lines of the log store."""

from __future__ import annotations

PIECE = 64 * 1024  # bytes; a line that is longer is cut into pieces of this
_EVERY = 1_000_000  # microseconds between lines of a progress bar that never ends its line


class Framer:
    """Frames one stream. Lines end with a newline; a carriage return starts the line again, as on a terminal."""

    def __init__(self, stream: str) -> None:
        self._stream = stream.encode()
        self._rest = b""  # of a line that has not ended
        self._held = b""  # what a progress bar showed last and was not passed on
        self._shown = 0  # when one was passed on
        self.last = b""  # the last line with something in it

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Takes bytes that came at a time (microseconds); returns framed lines and how many they are."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        whole, self._rest = data[:end], data[end:]
        lines = self._take(whole) if whole else []
        if b"\r" in self._rest:
            lines += self._progress(at)
        while len(self._rest) > PIECE:
            cut = _boundary(self._rest, PIECE)
            lines += _pieces(_clean(self._rest[:cut]))  # what is replaced may grow
            self._rest = self._rest[cut:]
        return self._frame(lines, at)

    def finish(self, at: int) -> tuple[bytes, int]:
        """What is left when the stream has ended."""
        lines = self._take(self._rest + b"\n") if self._rest or self._held else []
        self._rest = b""
        return self._frame(lines, at)

    def _take(self, whole: bytes) -> list[bytes]:
        cleaned = _clean(whole[:-1])
        lines = cleaned.split(b"\n")
        if self._held or b"\r" in whole:
            lines = [self._collapse(line) for line in lines]
        if len(cleaned) > PIECE and max(map(len, lines)) > PIECE:
            lines = [piece for line in lines for piece in _pieces(line)]
        return lines

    def _collapse(self, line: bytes) -> bytes:
        """What a terminal would show of a line at its end."""
        shown = next((part for part in reversed(line.split(b"\r")) if part), self._held)
        self._held = b""
        return shown

    def _progress(self, at: int) -> list[bytes]:
        """A line that is written over and over: once a second what it shows."""
        head, _, tail = self._rest[:-1].rpartition(b"\r")  # a return at the very end may belong to a newline
        self._rest = tail + self._rest[-1:]
        self._held = next((_clean(part) for part in reversed(head.split(b"\r")) if part), self._held)[:PIECE]
        if not self._held or at - self._shown < _EVERY:
            return []
        self._shown = at
        line, self._held = self._held, b""
        return [line]

    def _frame(self, lines: list[bytes], at: int) -> tuple[bytes, int]:
        if not lines:
            return b"", 0
        self.last = next((line for line in reversed(lines) if line.strip()), self.last)
        head = b"%d %s " % (at, self._stream)
        return head + (b"\n" + head).join(lines) + b"\n", len(lines)


def _clean(data: bytes) -> bytes:
    """UTF-8 without zero bytes: what is not, is replaced."""
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode(errors="replace").encode()
    return data.replace(b"\0", "\ufffd".encode()) if b"\0" in data else data


def _boundary(data: bytes, cut: int) -> int:
    """The nearest place at or before `cut` where no character is cut in two."""
    for back in range(4):
        if data[cut - back] & 0xC0 != 0x80:
            return cut - back
    return cut


def _pieces(line: bytes) -> list[bytes]:
    pieces = []
    while len(line) > PIECE:
        cut = _boundary(line, PIECE)
        pieces.append(line[:cut])
        line = line[cut:]
    return [*pieces, line]
