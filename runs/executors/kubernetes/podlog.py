"""The cluster's own log of a pod, for attempts whose launcher could not send one."""

from __future__ import annotations

import pathlib
import re
import time
from datetime import datetime

from runs import logstore
from runs.executors.base import ExecutorUnavailable, LogLine, LogObserved
from runs.executors.kubernetes.client import Client, Refused, core_path
from runs.executors.kubernetes.names import MAIN
from runs.executors.kubernetes.pods import Seen

_MOST = 2_000_000  # lines
_BYTES = 64 * 1024 * 1024
_NANOSECONDS = re.compile(r"\.(\d{6})\d+")


def take(client: Client, logs_dir: str, seen: Seen) -> LogObserved | None:
    """Stores what the cluster kept, where nothing is stored yet. None where the launcher sent a log, or there is no place."""
    key = f"{seen.key.run_id}/{seen.key.name}"
    folder = pathlib.Path(logs_dir) / key
    if not logs_dir or logstore.count(folder):
        return None
    writer = logstore.LogWriter(folder)
    lines: list[LogLine] = []

    def add(at: int, stream: str, text: str) -> None:
        lines.append(LogLine(writer.append(at, stream, text), at, stream, text))

    query = {"container": MAIN, "timestamps": "true", "limitBytes": _BYTES}
    try:
        for raw in client.lines(f"{core_path(client.namespace, 'pods', seen.key.name)}/log", query=query, read=30):
            at, _, text = raw.decode(errors="replace").partition(" ")
            add(_microseconds(at), "o", text.rstrip("\r").replace("\0", "\ufffd"))
            if len(lines) >= _MOST:
                break
        closing = "This log was taken from the cluster: what it had thrown away by then is missing, and streams are not told apart."
    except (Refused, ExecutorUnavailable) as error:
        closing = f"The step's launcher sent no log, and the cluster has none any more: {error}"
    add(time.time_ns() // 1000, "k", closing)
    writer.close()
    return LogObserved(key, tuple(lines), ended=True)


def _microseconds(text: str) -> int:
    try:
        return int(datetime.fromisoformat(_NANOSECONDS.sub(r".\1", text)).timestamp() * 1e6)
    except ValueError:
        return time.time_ns() // 1000
