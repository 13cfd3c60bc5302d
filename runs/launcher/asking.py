"""Calls to kfdash's intake and to signed addresses of buckets: one connection a thread, tried again until they are answered."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from runs.launcher.connection import PIECE, Address, Answer, Broken, Connection, address_of

Json = Any

_TIMEOUT = 60.0  # seconds without a byte
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 5.0  # seconds between two tries
_IDLE = 30.0  # seconds after which a connection is not trusted: the other side, or something between, may have let it go
OUTSIDE = 600.0  # seconds for which a bucket is tried: an address that pods cannot reach is not reached later either
NOWHERE = "none"  # instead of an address: kfdash cannot be called, see `mail`
_BROKEN = (OSError, Broken)


class Refused(Exception):
    """The other side said no: `status`, and the sentence as the message. `answer` is the whole answer."""

    def __init__(self, status: int, sentence: str, answer: Mapping[str, Json] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.answer = status, answer or {}


class Unanswered(Exception):
    """Nobody answered in the time that there was. The message says what happened last."""


class _OwnFile(Exception):
    """It is the file here that cannot be read or written, not the line: trying again helps nobody."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@contextlib.contextmanager
def _own_file() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _OwnFile(error) from None


class _Source:
    """A file as a connection reads it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        with _own_file():
            return self._file.read(size)


class Line:
    """The way to the intake at `address`, with the attempt's token. Any number of threads may call."""

    def __init__(self, address: str, token: str) -> None:
        self.address, self._token = address.rstrip("/"), token
        self._local = threading.local()

    def call(
        self,
        method: str,
        path: str,
        body: bytes | Json = None,
        *,
        patience: float | None = None,
    ) -> Json:
        """The JSON of the answer, None for an empty one; `body` as it is where it is bytes, else as JSON.

        Tried again for `patience` seconds (for ever without) while nobody answers. Raises Refused, Unanswered.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body, separators=(",", ":")).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        text = self._again(lambda: self._once(method, path, data, kind), patience)
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise Refused(502, f"What answers at {self.address} is not kfdash: KFDASH_LAUNCHER_URL leads elsewhere.") from None

    def fetch(self, url: str, into: Callable[[], IO[bytes]], progress: Callable[[int], None], *, patience: float = OUTSIDE) -> None:
        """Writes what lies at an address, of the intake or signed, into a file that `into` opens anew for each try.

        A signed one is tried for `patience` seconds. Raises Refused, Unanswered, OSError for the file.
        """

        def once() -> None:
            with self._asked("GET", url) as answer, contextlib.ExitStack() as opened:
                with _own_file():
                    file = opened.enter_context(into())
                while piece := answer.read(PIECE):
                    with _own_file():
                        file.write(piece)
                    progress(len(piece))
                with _own_file():
                    file.flush()

        self._again(once, None if url.startswith("/") else patience)

    def send(self, url: str, source: Callable[[], IO[bytes]], size: int, *, patience: float = OUTSIDE) -> None:
        """Puts a file of `size` bytes at an address, of the intake or signed: that one is tried for `patience` seconds.

        Raises Refused, Unanswered, OSError for the file.
        """

        def once() -> None:
            with contextlib.ExitStack() as opened:
                with _own_file():
                    file = opened.enter_context(source())
                with self._asked("PUT", url, _Source(file), {"Content-Length": str(size), **headers_of(url)}):
                    pass

        self._again(once, None if url.startswith("/") else patience)

    # --- one try ---

    def _again(self, once: Callable[[], Any], patience: float | None) -> Any:
        wait, until = _FIRST_WAIT, None if patience is None else time.monotonic() + patience
        while True:
            try:
                return once()
            except Refused as refused:
                if refused.status < 500 and refused.status not in (408, 429):
                    raise
                last: Exception = refused
            except _OwnFile as trouble:
                self._drop()
                raise trouble.error from None
            except _BROKEN as error:
                self._drop()
                last = error
            if until is not None and time.monotonic() > until:
                raise Unanswered(f"{type(last).__name__}: {last}") from None
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _once(self, method: str, path: str, data: bytes | None, kind: str) -> bytes:
        with self._asked(method, path, data, {"Content-Type": kind} if data is not None else {}) as answer:
            return answer.read()

    @contextlib.contextmanager
    def _asked(self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Iterator[Answer]:
        """The answer to a request, read to its end when it is left. Raises Refused."""
        own = url.startswith("/")
        address = address_of(self.address + url if own else url)
        connection = self._connection(address)
        given = {**(headers or {}), **({"Authorization": f"Bearer {self._token}"} if own else {})}
        try:
            connection.request(method, address.target, body, given)
        except (BrokenPipeError, ConnectionResetError):
            if body is None:
                raise
            # It may have been refused before all of it was read: then there is an answer.
        answer = connection.answer()
        if answer.status >= 300:
            text = answer.read(65536)
            if not own or not answer.is_read:
                self._drop()
            raise _refusal(answer.status, answer.reason, text)
        yield answer
        answer.read()
        self._local.used = time.monotonic()
        if not answer.is_read:
            self._drop()

    def _connection(self, address: Address) -> Connection:
        if getattr(self._local, "place", None) != address.place or time.monotonic() - self._local.used > _IDLE:
            self._drop()
            self._local.connection = Connection(address, _TIMEOUT)
            self._local.place, self._local.used = address.place, time.monotonic()
        connection: Connection = self._local.connection
        return connection

    def _drop(self) -> None:
        if (connection := getattr(self._local, "connection", None)) is not None:
            connection.close()
        self._local.connection = self._local.place = None


def headers_of(url: str) -> dict[str, str]:
    """What a store wants to be told with a file that is put at a signed address: Azure only."""
    query = url.partition("?")[2]
    return {"x-ms-blob-type": "BlockBlob"} if "sig=" in query and "sv=" in query else {}


def _refusal(status: int, reason: str, text: bytes) -> Refused:
    try:
        answer = json.loads(text)
        return Refused(status, str(answer["error"]), answer)
    except (ValueError, TypeError, KeyError):
        return Refused(status, f"{status} {reason}: {text[:300].decode(errors='replace').strip()}")
