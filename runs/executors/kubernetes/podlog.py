"""The cluster's own log of a pod: followed where the step has no launcher, taken in the end where a launcher could not send it."""

from __future__ import annotations

import logging
import pathlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from runs import logstore
from runs.executors.base import ExecutorUnavailable, LogLine, LogObserved
from runs.executors.kubernetes.client import Client, Refused, core_path
from runs.executors.kubernetes.names import MAIN
from runs.executors.kubernetes.pods import Seen

log = logging.getLogger(__name__)

Json = Any

_MOST = 2_000_000  # lines
_BYTES = 64 * 1024 * 1024
_NANOSECONDS = re.compile(r"\.(\d{6})\d+")
_AT_ONCE = 50  # logs that are followed; those of more pods are taken at their end
_SILENCE = 300.0  # seconds without a byte: the connection may be dead, and is made again
_AGAIN = 1.0  # seconds
_REST = 5.0  # seconds that a follower has for what its container said last


class _Stored:
    """The log of one attempt in the store, to which the cluster's lines are added from where it ends: one answer's each time."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._writer = logstore.LogWriter(folder)
        last = [line for line in logstore.tail(folder, 1000) if line.stream != "k"]
        self._newest = last[-1].at if last else 0  # µs; what is older is stored, and
        self._again = sum(line.at == self._newest for line in last)  # so many lines of that time
        self.is_full = self._writer.next > _MOST

    @property
    def since(self) -> dict[str, Json]:
        """From where the cluster is to be asked; it takes whole seconds."""
        return {"sinceTime": f"{datetime.fromtimestamp(self._newest // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"} if self._newest else {}

    def add(self, read: Iterator[bytes] | Sequence[bytes]) -> list[LogLine]:
        """Stores lines as the cluster tells them, with their time; those that are new."""
        found = []
        for raw in read:
            moment, _, text = raw.decode(errors="replace").partition(" ")
            at = _microseconds(moment)
            if at is None:
                continue  # the kubelet's own words: that it has no log any more
            if at < self._newest or (at == self._newest and self._again):
                self._again -= at == self._newest
                continue
            found.append(self.say(at, "o", _shown(text)))
            if self._writer.next > _MOST:
                self.is_full = True
                break
        return found

    def say(self, at: int, stream: str, text: str) -> LogLine:
        """Stores one line."""
        return LogLine(self._writer.append(at, stream, text), at, stream, text)

    def close(self) -> None:
        """Lets go of the file."""
        self._writer.close()


class PodLogs:
    """Follows what pods without a launcher print, a thread each, and tells of it. Safe in threads."""

    def __init__(self, client: Client, logs_dir: str, tell: Callable[[Sequence[LogObserved]], None]) -> None:
        self._client, self._logs_dir, self._tell = client, logs_dir, tell
        self._lock = threading.Lock()
        self._followed: dict[str, _Follower] = {}

    def see(self, seen: Seen) -> None:
        """A pod changed: its log is followed from when its container runs."""
        if seen.has_launcher or seen.running_at is None or seen.end is not None or not self._logs_dir:
            return
        with self._lock:
            if seen.key.name in self._followed or len(self._followed) >= _AT_ONCE:
                return
            self._followed[seen.key.name] = follower = _Follower(self._client, self._logs_dir, seen, self._tell)
        follower.start()

    def stop(self, name: str) -> None:
        """The pod's container has ended: returns when its last lines are stored, and nobody adds to its log any more."""
        with self._lock:
            follower = self._followed.pop(name, None)
        if follower is not None:
            follower.join(_REST)
            follower.give_up()


class _Follower(threading.Thread):
    """Follows one pod until its container has ended."""

    def __init__(self, client: Client, logs_dir: str, seen: Seen, tell: Callable[[Sequence[LogObserved]], None]) -> None:
        super().__init__(name=f"log-{seen.key.name}", daemon=True)
        self._client, self._tell = client, tell
        self._log = f"{seen.key.run_id}/{seen.key.name}"
        self._folder = pathlib.Path(logs_dir) / self._log
        self._path = f"{core_path(client.namespace, 'pods', seen.key.name)}/log"
        self._lock = threading.Lock()
        self._over = False

    def give_up(self) -> None:
        """Nothing is stored any more."""
        with self._lock:
            self._over = True

    def run(self) -> None:
        """Follows, again after every break."""
        while not self._over:
            try:
                self._follow()
                return
            except Refused:
                return  # it is gone, or kfdash may not read logs: the end will say so
            except (ExecutorUnavailable, OSError) as error:
                log.info("What %s prints cannot be followed now: %s", self._log, error)
                time.sleep(_AGAIN)

    def _follow(self) -> None:
        stored, rest = _Stored(self._folder), b""
        try:
            query = {"container": MAIN, "timestamps": "true", "follow": "true", **stored.since}
            for piece in self._client.pieces(self._path, query=query, read=_SILENCE):
                *whole, rest = (rest + piece).split(b"\n")
                with self._lock:
                    if self._over or stored.is_full:
                        return
                    lines = stored.add(whole)
                if lines:
                    self._tell([LogObserved(self._log, tuple(lines))])
        finally:
            stored.close()


def take(client: Client, logs_dir: str, seen: Seen) -> LogObserved | None:
    """Stores what the cluster kept and is not stored yet. None where the launcher sent a log, it is over, or there is no place."""
    key = f"{seen.key.run_id}/{seen.key.name}"
    folder = pathlib.Path(logs_dir) / key
    if not logs_dir or (seen.has_launcher and logstore.count(folder)) or _is_closed(folder):
        return None
    stored = _Stored(folder)
    lines: list[LogLine] = []
    query = {"container": MAIN, "timestamps": "true", "limitBytes": _BYTES, **stored.since}
    try:
        read = client.lines(f"{core_path(client.namespace, 'pods', seen.key.name)}/log", query=query, read=30)
        lines = [] if stored.is_full else stored.add(read)
        closing = "This log was taken from the cluster: what it had thrown away by then is missing, and streams are not told apart."
    except (Refused, ExecutorUnavailable) as error:
        closing = f"The step's launcher sent no log, and the cluster has none any more: {error}"
    lines.append(stored.say(time.time_ns() // 1000, "k", closing))
    stored.close()
    return LogObserved(key, tuple(lines), ended=True)


def last_lines(logs_dir: str, seen: Seen, most: int) -> list[str]:
    """The last lines of the step in its log."""
    folder = pathlib.Path(logs_dir) / f"{seen.key.run_id}/{seen.key.name}"
    return [line.text for line in logstore.tail(folder, most + 1) if line.stream != "k"][-most:] if logs_dir else []


def _is_closed(folder: pathlib.Path) -> bool:
    return any(line.stream == "k" for line in logstore.tail(folder, 1))


def _shown(text: str) -> str:
    """What a terminal would show of a line at its end, as for all steps."""
    return next((part for part in reversed(text.split("\r")) if part), "").replace("\0", "\ufffd")


def _microseconds(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(_NANOSECONDS.sub(r".\1", text)).timestamp() * 1e6)
    except ValueError:
        return None
