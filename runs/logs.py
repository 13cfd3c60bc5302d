"""Logs of attempts: stored in segments by whoever holds the pipe, read here, and passed on to those who watch."""

from __future__ import annotations

import pathlib

from django.conf import settings

from kfdash import live
from runs.executors.base import LogObserved


def folder(log: str) -> pathlib.Path:
    """Where the log with this key (`<run id>/<attempt name>`) lies. Raises ValueError for a key that climbs out."""
    run_id, _, name = log.partition("/")
    if not name or "/" in name or ".." in log or run_id.startswith("."):
        raise ValueError(f"{log!r} is no key of a log.")
    return pathlib.Path(settings.LOGS_DIR) / run_id / name


def append(observed: LogObserved) -> None:
    """Passes lines that the host has stored on to the pages that watch."""
    live.publish_log(observed.log, [(line.number, line.at, line.stream, line.text) for line in observed.lines], observed.ended)
