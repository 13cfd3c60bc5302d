"""Logs of attempts: stored in segments by whoever holds the pipe, read here, and passed on to those who watch."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from django.conf import settings

from kfdash import live
from runs import logstore
from runs.executors.base import LogLine, LogObserved


def folder(log: str) -> pathlib.Path:
    """Where the log with this key (`<run id>/<attempt name>`) lies. Raises ValueError for a key that climbs out."""
    run_id, _, name = log.partition("/")
    if not name or "/" in name or ".." in log or run_id.startswith("."):
        raise ValueError(f"{log!r} is no key of a log.")
    return pathlib.Path(settings.LOGS_DIR) / run_id / name


def append(observed: LogObserved) -> None:
    """Passes lines that the host has stored on to the pages that watch."""
    live.publish_log(observed.log, [(line.number, line.at, line.stream, line.text) for line in observed.lines], observed.ended)


def read(log: str, *, first: int = 1, limit: int = 1000) -> list[LogLine]:
    """Consecutive lines from number `first`, at most `limit`."""
    return logstore.read(folder(log), first, limit)


def tail(log: str, limit: int) -> list[LogLine]:
    """The last lines, at most `limit`."""
    return logstore.tail(folder(log), limit)


def count(log: str) -> int:
    """How many lines there are by now; 0 where there is no log."""
    return logstore.count(folder(log))


def size(log: str) -> int:
    """Bytes of the stored log."""
    return logstore.size(folder(log))


def levels(log: str) -> logstore.Levels:
    """How many lines are warnings and errors."""
    return logstore.levels(folder(log))


def search(log: str, needle: str, *, level: str = "", after: int = 0, limit: int = 200) -> list[LogLine]:
    """Lines after number `after` that contain the text (case-insensitive) and have the level or a worse one."""
    return logstore.search(folder(log), needle, level=level, after=after, limit=limit)


def stream_text(log: str) -> Iterator[str]:
    """The whole log as text, line by line, as it was printed."""
    for line in logstore.iterate(folder(log)):
        yield f"{line.text}\n"
