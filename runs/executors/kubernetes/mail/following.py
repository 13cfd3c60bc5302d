"""Follows what the launchers of pods print, a thread each, and hands it on. See `runs.launcher.mail`.

The cluster gives lines one by one; what came while others were handed on goes together.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Any

from runs.executors.base import AttemptKey, ExecutorUnavailable
from runs.executors.kubernetes.client import Client, Refused, core_path
from runs.executors.kubernetes.mail.relay import Relay
from runs.executors.kubernetes.names import LAUNCHER
from runs.launcher.asking import Refused as IntakeRefused
from runs.launcher.asking import Unanswered

log = logging.getLogger(__name__)

Json = Any

_SILENCE = 300.0  # seconds without a byte: the connection may be dead, and is made again
_AGAIN = 0.5  # seconds
_MOST = 1024 * 1024  # bytes that wait for being handed on
_TRIES = 20  # to read what a container printed that is over
_TELL_AFTER = 512 * 1024  # bytes of the log until the launcher is told that they were heard
_MISSING = "{} k {:,} lines are missing here: the cluster had thrown them away before kfdash could read them."


class Follower(threading.Thread):
    """Follows one launcher until its log is at its end, or its pod is gone. `poke` is called for a hint of mail."""

    def __init__(self, client: Client, relay: Relay, key: AttemptKey, poke: Callable[[], None], takers: Executor) -> None:
        super().__init__(name=f"follow-{key.name}", daemon=True)
        self.key = key
        self.heard = threading.Event()  # it said something: from here on hints come at once
        self.last = False  # its container is over: what it printed is read to its end, and no more will come
        self._client, self._relay, self._poke, self._takers = client, relay, poke, takers
        self._changed = threading.Condition()
        self._read = b""  # and not handed on yet
        self._taking = False
        self._error: Exception | None = None  # of handing on
        self._then: Callable[[], None] | None = None
        self._done = False
        self._next = 1
        self._since = 0  # µs, of the newest line that was taken
        self._untold = 0
        self._over = False
        self._path = f"{core_path(client.namespace, 'pods', key.name)}/log"

    def when_done(self, do: Callable[[], None]) -> bool:
        """Has it done in the end; False where this is the end already."""
        with self._changed:
            if not self._done:
                self._then = do
            return not self._done

    def run(self) -> None:
        """Follows until the end, then does what waited for that."""
        self._follow_all()
        with self._changed:
            self._done = True
        try:
            if self._then is not None:
                self._then()
        except ExecutorUnavailable as error:  # the pod is let go of later, as one that nobody asks for
            log.warning("%s could not be let go of: %s", self.key.name, error)

    def _follow_all(self) -> None:
        """Follows, again after every break."""
        tries = 0
        while not self._over and tries < _TRIES:
            last = self.last
            tries += last
            try:
                self._follow()
                if last:
                    return
            except Refused as refused:
                if refused.status == 404 or (last and refused.status == 400):
                    return
            except (ExecutorUnavailable, Unanswered) as error:
                log.info("What %s prints cannot be followed now: %s", self.key.name, error)
            except IntakeRefused as refused:  # the run is gone, or the log is full
                log.info("The log of %s is not taken: %s", self.key.name, refused)
                return
            except Exception:
                log.exception("Following %s failed; it is begun again.", self.key.name)
            time.sleep(_AGAIN)

    def _follow(self) -> None:
        self._line = self._relay.line(self.key)
        self._next = self._line.call("POST", "/v1/log?first=1", b"", patience=60)["next"]
        query: dict[str, Json] = {"container": LAUNCHER, "follow": "true"}
        if self._since:
            query["sinceTime"] = datetime.fromtimestamp(self._since // 1_000_000, UTC).isoformat().replace("+00:00", "Z")
        self._read = b""
        try:
            for piece in self._client.pieces(self._path, query=query, read=_SILENCE):
                self._put(piece)
                self.heard.set()
                if self._over:
                    return
        finally:
            with self._changed:
                while self._taking:
                    self._changed.wait()
        self._raise()

    def _put(self, piece: bytes) -> None:
        """Has it handed on; waits while there is much."""
        with self._changed:
            while self._taking and len(self._read) > _MOST:
                self._changed.wait()
            self._raise()
            self._read += piece
            if not self._taking:
                self._taking = True
                self._takers.submit(self._take_all)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _take_all(self) -> None:
        """Hands on what was read, until no whole line is left."""
        while True:
            with self._changed:
                whole, newline, rest = self._read.rpartition(b"\n")
                self._read = rest
                self._taking = bool(newline) and self._error is None
                self._changed.notify_all()
                if not self._taking:
                    return
            try:
                self._take(whole.split(b"\n"))
            except Exception as error:  # for whoever follows
                self._error = error

    def _take(self, lines: list[bytes]) -> None:
        """Lines of the log are handed on together, in order with what else is said."""
        block: list[bytes] = []
        for line in lines:
            if line[:1] == b"!":
                self._send(block)
                block = []
                self._hint(line.decode(errors="replace"))
                continue
            number, _, framed = line.partition(b" ")
            if not number.isdigit() or int(number) < self._next + len(block):
                continue  # what the launcher's own program says, or what is known already
            if missing := int(number) - self._next - len(block):
                at = framed.partition(b" ")[0]
                block.append(_MISSING.format(at.decode(errors="replace"), missing).encode())
                block += [at + b" k "] * (missing - 1)
            block.append(framed)
        self._send(block)

    def _send(self, block: list[bytes]) -> None:
        if not block:
            return
        data = b"\n".join(block) + b"\n"
        self._next = self._line.call("POST", f"/v1/log?first={self._next}", data, patience=60)["next"]
        at = block[-1].partition(b" ")[0]
        self._since = int(at) if at.isdigit() else self._since
        self._untold += len(data)
        if self._untold > _TELL_AFTER:
            self._relay.heard(self.key, self._next)
            self._untold = 0

    def _hint(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "!mail":
            self._poke()
        elif word == "!progress":
            with contextlib.suppress(IntakeRefused, Unanswered, ValueError):
                self._line.call("POST", "/v1/progress", json.loads(rest), patience=2)
        elif word == "!ended" and rest.isdigit():
            self._line.call("POST", f"/v1/log?first={self._next}&ended=1", b"", patience=60)
            self._over = int(rest) <= self._next
        elif word == "!renew":
            begun, _, why = rest.partition(" ")
            self._relay.renew(self.key, begun=begun == "1", why=why)
        elif word == "!result":
            self._relay.tell_result(self.key, rest.encode())
