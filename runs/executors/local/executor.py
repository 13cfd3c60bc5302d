"""The local executor: steps are processes of this machine's host, reached over its Unix socket."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runs import facts, logstore
from runs.executors.base import (
    AttemptKey,
    AttemptOrder,
    ExecutorUnavailable,
    FactObserved,
    LogObserved,
    Observation,
    Standing,
)

Json = Any
_TIMEOUT = 30.0  # seconds for one answer
_PAUSE = 0.2  # seconds between attempts to reach a host that is not there


class LocalExecutor:
    """Talks to the host. One object serves any number of threads; each has its own connection, made again after a fork.

    Numbers of observed log lines may jump where there were more than a watcher can take: those lines are in the log store.
    """

    forget_after = 0.0

    def __init__(self, socket_path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(socket_path)
        self._local = threading.local()
        self._ids = itertools.count(1)
        self._closed = threading.Event()
        self._watching: set[socket.socket] = set()

    def start(self, orders: Sequence[AttemptOrder]) -> Mapping[str, str]:
        """Starts attempts; returns name → sentence for those refused. Raises ExecutorUnavailable."""
        answer = self._ask({"do": "start", "orders": [dataclasses.asdict(order) for order in orders]}) if orders else {}
        return dict(answer)

    def stop(self, attempts: Sequence[AttemptKey], *, grace: float) -> Sequence[FactObserved]:
        """Ends attempts; one that the host never had is observed as stopped. Raises ExecutorUnavailable."""
        if attempts:
            self._ask({"do": "stop", "attempts": _keys(attempts), "grace": grace})
        return ()

    def look(self, attempts: Sequence[AttemptKey]) -> Sequence[FactObserved]:
        """What the host knows of these attempts. Raises ExecutorUnavailable."""
        answer = self._ask({"do": "look", "attempts": _keys(attempts)}) if attempts else []
        return [_fact(data) for data in answer]

    def forget(self, attempts: Sequence[AttemptKey]) -> None:
        """What the host keeps of these attempts can go. Raises ExecutorUnavailable."""
        if attempts:
            self._ask({"do": "forget", "attempts": _keys(attempts)})

    def clear(self, run_id: str) -> None:
        """Nothing is left of a run whose attempts are forgotten; its workspace is a folder of the installation."""

    def observe(self) -> Iterator[Sequence[Observation]]:
        """Batches of what happens, for ever: a host that is away is waited for, and joined again.

        The first batch after each connection is empty: from then on nothing is missed, and it is the time to `look`.
        """
        while not self._closed.is_set():
            try:
                connection = self._connect()
                connection.settimeout(None)
                with self._observing(connection), connection.makefile("rb") as file:
                    connection.sendall(b'{"id":0,"do":"observe"}\n')
                    for line in file:
                        message = json.loads(line)
                        yield _batch(message["batch"]) if "batch" in message else ()
            except (OSError, ExecutorUnavailable, ValueError):
                pass
            self._closed.wait(_PAUSE)

    def standing(self) -> Standing:
        """Nothing: whether the host answers is seen by whoever asks it."""
        return Standing()

    def close(self) -> None:
        """Lets go of this thread's connection and ends `observe`, in whatever thread."""
        self._closed.set()
        for connection in list(self._watching):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._drop()

    @contextlib.contextmanager
    def _observing(self, connection: socket.socket) -> Iterator[None]:
        """Keeps a connection where `close` finds it."""
        with connection:
            self._watching.add(connection)
            try:
                yield
            finally:
                self._watching.discard(connection)

    # --- the connection ---

    def _ask(self, request: dict[str, Json]) -> Json:
        number = next(self._ids)
        data = json.dumps({"id": number, **request}, separators=(",", ":")).encode() + b"\n"
        # All requests may be sent twice: a connection that a host left behind when it was started anew is tried again.
        fresh = self._file() is None
        for last in (fresh, True):
            try:
                answer = self._exchange(data, number)
                break
            except (OSError, ValueError) as error:
                self._drop()
                if last:
                    raise ExecutorUnavailable(f"The host for steps does not answer ({self._path}): {error}.") from None
        if "error" in answer:
            raise ExecutorUnavailable(answer["error"])
        return answer.get("answer")

    def _exchange(self, data: bytes, number: int) -> dict[str, Json]:
        if self._file() is None:
            self._local.connection = self._connect()
            self._local.file = self._local.connection.makefile("rb")
            self._local.process = os.getpid()
        self._local.connection.sendall(data)
        line = self._local.file.readline()
        if not line:
            raise ConnectionResetError("the connection was closed")
        answer: dict[str, Json] = json.loads(line)
        if answer.get("id") != number:
            raise ValueError("an answer came to another question")
        return answer

    def _file(self) -> Any:
        """This thread's connection; None where there is none or it is the parent process's."""
        if getattr(self._local, "process", None) != os.getpid():
            return None
        return getattr(self._local, "file", None)

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_TIMEOUT)
        until = time.monotonic() + 2
        while True:
            try:
                connection.connect(self._path)
                return connection
            except BlockingIOError:  # its queue is full
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
            except OSError as error:
                connection.close()
                reason = error.strerror or str(error)
                raise ExecutorUnavailable(f"The host for steps is not running ({self._path}: {reason}).") from None

    def _drop(self) -> None:
        if self._file() is not None:
            self._local.file.close()
            self._local.connection.close()
        self._local.file = None


def _keys(attempts: Sequence[AttemptKey]) -> list[dict[str, Json]]:
    return [{"name": key.name, "run_id": key.run_id, "path": key.path, "number": key.number} for key in attempts]


def _fact(data: dict[str, Json]) -> FactObserved:
    run_id = data.pop("run")
    return FactObserved(run_id, facts.decode(data))


def _batch(messages: Sequence[dict[str, Json]]) -> list[Observation]:
    batch: list[Observation] = []
    for message in messages:
        if "run" in message:
            batch.append(_fact(message))
        else:
            lines = logstore.parse(message.get("block", "").encode(), message.get("first", 1))
            batch.append(LogObserved(message["log"], tuple(lines), message.get("ended", False)))
    return batch
