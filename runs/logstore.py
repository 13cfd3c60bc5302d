"""Logs on disk: one folder an attempt, segments of about 4 MiB named by the number of their first line.

A segment is `<first line number, 12 digits>.log`; a line is `<microseconds> <stream> <text>` and ends with a newline. Lines are
numbered from 1 and are never changed; one that does not end with a newline was not written to its end and does not count.
The host and the launcher's intake write, one writer a log; the web reads, at the same time. Knows no Django and no settings.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from runs.executors.base import LogLine

SEGMENT = 4 * 1024 * 1024  # bytes; a segment is closed when it has reached this
_BLOCK = 256 * 1024
_SEGMENT_NAME = re.compile(r"(?!0{12})(?:[0-9]{12}|[1-9][0-9]{12,17})\.log")
_TIME = re.compile(r"[0-9]{1,18}")
_LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_ERROR = re.compile(
    r"\b(?:ERROR\b|CRITICAL\b|FATAL\b|Error:|Exception:|panic:)"
    r"|^(?:Traceback \(most recent call last\):|(?:error|fatal)\b|\w+(?:\.\w+)*(?:Error|Exception)\b)"
)
_WARNING = re.compile(r"\b(?:WARN|WARNING|\w*Warning:)|^warning\b", re.MULTILINE)
_DEBUG = re.compile(r"\b(?:DEBUG|TRACE)\b|^debug\b")


class LogWriter:
    """Appends to one log. What `append` and `append_block` have returned from is in the file (not forced to the disk).

    A log that exists is continued; what a writer that was killed left of a line is cut off. Raises OSError.
    """

    def __init__(self, folder: str | os.PathLike[str], *, segment: int = SEGMENT) -> None:
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._limit = segment
        self._file = -1
        self._size = 0
        self.next = 1  # number of the next line
        if names := _segments(self.folder):
            self._continue(names[-1])

    def _continue(self, first: int) -> None:
        path = self.folder / _name(first)
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if whole < len(data):
            os.ftruncate(self._file, whole)
        self._size = whole
        self.next = first + data.count(b"\n")

    def append(self, at: int, stream: str, text: str) -> int:
        """Adds one line (a newline within becomes a space); returns its number. `at` is Unix time in microseconds."""
        text = text.replace("\n", " ")
        return self.append_block(f"{at} {stream} {text}\n".encode(errors="replace"), 1)

    def append_block(self, block: bytes, lines: int) -> int:
        """Adds lines that are framed already, all of them ended; returns the number of the first."""
        if self._file < 0 or self._size >= self._limit:
            self._roll()
        rest = memoryview(block)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:  # the disk is full: no half of a line may stay
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(block)
        first = self.next
        self.next += lines
        return first

    def _roll(self) -> None:
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self.folder / _name(self.next), flags, 0o644)
        self._size = 0

    def is_current(self) -> bool:
        """Whether this is still the log's end: no other writer has added to it, and nobody deleted it."""
        if self._file < 0:
            return False
        there = os.fstat(self._file)
        names = _segments(self.folder)
        if there.st_size != self._size or there.st_nlink == 0 or not names:
            return False
        try:
            return os.path.samestat(os.stat(self.folder / _name(names[-1])), there)
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Lets go of the file; a later `append` opens a new segment."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _name(first: int) -> str:
    return f"{first:012d}.log"


def _segments(folder: pathlib.Path) -> list[int]:
    """First line numbers of the segments there are, in order."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(int(name[:-4]) for name in names if _SEGMENT_NAME.fullmatch(name))


def _blocks(path: pathlib.Path) -> Iterator[bytes]:
    """A segment in pieces that end with a line; an unfinished last line is left out."""
    try:
        file = path.open("rb")
    except FileNotFoundError:  # deleted with its run while being read
        return
    with file:
        rest = b""
        while data := file.read(_BLOCK):
            end = data.rfind(b"\n") + 1
            if not end:
                rest += data
                continue
            yield rest + data[:end]
            rest = data[end:]


def parse(block: bytes, first: int) -> list[LogLine]:
    """Framed lines as values; `first` is the number of the first. What was damaged on the disk is shown as it is."""
    lines = []
    for number, text in enumerate(block.decode(errors="replace").split("\n")[:-1], first):
        at, _, rest = text.partition(" ")
        if rest[1:2] == " " and _TIME.fullmatch(at):
            lines.append(LogLine(number, int(at), rest[0], rest[2:]))
        else:
            lines.append(LogLine(number, 0, "k", text))
    return lines


def count(folder: str | os.PathLike[str]) -> int:
    """How many lines there are; reads the last segment only. 0 for a log that is not there."""
    folder = pathlib.Path(folder)
    names = _segments(folder)
    if not names:
        return 0
    return names[-1] - 1 + sum(block.count(b"\n") for block in _blocks(folder / _name(names[-1])))


def read(folder: str | os.PathLike[str], first: int = 1, limit: int = 1000) -> list[LogLine]:
    """Up to `limit` consecutive lines from number `first` on; an empty list where there are none (yet)."""
    folder = pathlib.Path(folder)
    first = max(first, 1)
    names = _segments(folder)
    begin = max((i for i, name in enumerate(names) if name <= first), default=0)
    found: list[LogLine] = []
    for start in names[begin:]:
        number = start
        for block in _blocks(folder / _name(start)):
            lines = block.count(b"\n")
            if number + lines > first:
                skip = max(first - number, 0)
                found += parse(_cut(block, skip, limit - len(found)), number + skip)
                if len(found) >= limit:
                    return found
            number += lines
    return found


def _cut(block: bytes, skip: int, limit: int) -> bytes:
    """`limit` lines of a block after `skip` ones."""
    begin = _after(block, 0, skip)
    return block[begin : _after(block, begin, limit)]


def after_lines(block: bytes, lines: int) -> bytes:
    """What is left of a block after so many lines."""
    return block[_after(block, 0, lines) :]


def _after(block: bytes, position: int, lines: int) -> int:
    """The position after so many more lines, at most the block's end."""
    for _ in range(lines):
        position = block.find(b"\n", position) + 1
        if not position:
            return len(block)
    return position


def tail(folder: str | os.PathLike[str], limit: int) -> list[LogLine]:
    """The last lines, at most `limit`."""
    return read(folder, max(count(folder) - limit + 1, 1), limit)


def level_of(line: LogLine) -> str:
    """`debug`, `info`, `warning` or `error`, from what the line says. Ours (`k`) are `info`."""
    if line.stream == "k":
        return "info"
    head = line.text[:400]
    if _ERROR.search(head):
        return "error"
    if _WARNING.search(head):
        return "warning"
    return "debug" if _DEBUG.search(head) else "info"


@dataclass(frozen=True, slots=True)
class Levels:
    """How many lines of a log are warnings and errors, among `lines` looked at."""

    lines: int
    warnings: int
    errors: int


def levels(folder: str | os.PathLike[str], most: int = 200_000) -> Levels:
    """Counts warnings and errors in the first `most` lines."""
    lines = warnings = errors = 0
    for line in iterate(folder):
        lines += 1
        level = level_of(line)
        warnings += level == "warning"
        errors += level == "error"
        if lines >= most:
            break
    return Levels(lines, warnings, errors)


def search(folder: str | os.PathLike[str], needle: str, *, level: str = "", after: int = 0, limit: int = 200) -> list[LogLine]:
    """Lines numbered above `after` that hold `needle` (any case; empty: all) and are of `level` or a graver one.

    `level` is `debug`, `info`, `warning`, `error` or empty. Raises ValueError for another.
    """
    if level and level not in _LEVELS:
        raise ValueError(f"There is no level {level!r}; use one of {', '.join(_LEVELS)}.")
    wanted = needle.casefold()
    least = _LEVELS.get(level, 0)
    # Blocks without the bytes are not taken apart; what is not ASCII has more than one lower case and is.
    quick = needle.lower().encode() if needle.isascii() else b""
    found: list[LogLine] = []
    for number, block in _numbered_blocks(pathlib.Path(folder), after + 1):
        if quick and quick not in block.lower():
            continue
        for line in parse(block, number):
            if line.number <= after or wanted not in line.text.casefold():
                continue
            if least and _LEVELS[level_of(line)] < least:
                continue
            found.append(line)
            if len(found) >= limit:
                return found
    return found


def _numbered_blocks(folder: pathlib.Path, first: int) -> Iterator[tuple[int, bytes]]:
    """Blocks with the number of their first line, from the one on that holds line `first`."""
    names = _segments(folder)
    begin = max((i for i, name in enumerate(names) if name <= first), default=0)
    for start in names[begin:]:
        number = start
        for block in _blocks(folder / _name(start)):
            lines = block.count(b"\n")
            if number + lines > first:
                yield number, block
            number += lines


def iterate(folder: str | os.PathLike[str], first: int = 1) -> Iterator[LogLine]:
    """All lines from `first` on, without holding them all."""
    for number, block in _numbered_blocks(pathlib.Path(folder), first):
        for line in parse(block, number):
            if line.number >= first:
                yield line


def size(folder: str | os.PathLike[str]) -> int:
    """Bytes of a log on disk, with times and streams."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    except FileNotFoundError:
        return 0


def frame(lines: Iterable[LogLine]) -> bytes:
    """Lines as `append_block` takes them."""
    return b"".join(
        f"{line.at} {line.stream} ".encode() + line.text.replace("\n", " ").encode(errors="replace") + b"\n" for line in lines
    )
