"""Calls to kfdash's intake and to signed addresses of buckets: one connection a thread, tried again until they are answered."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any
from urllib.parse import urlsplit

Json = Any

_TIMEOUT = 60.0  # seconds without a byte
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 5.0  # seconds between two tries
_PIECE = 1024 * 1024  # bytes
_BROKEN = (OSError, http.client.HTTPException)


class Refused(Exception):
    """The other side said no: `status`, and the sentence as the message. `answer` is the whole answer."""

    def __init__(self, status: int, sentence: str, answer: Mapping[str, Json] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.answer = status, answer or {}


class Unanswered(Exception):
    """Nobody answered in the time that there was. The message says what happened last."""


class Line:
    """The way to the intake at `address`, with the attempt's token. Any number of threads may call."""

    def __init__(self, address: str, token: str, *, ending: Callable[[], bool] = lambda: False) -> None:
        self.address, self._token, self._ending = address.rstrip("/"), token, ending
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
        return json.loads(text) if text else None

    def fetch(self, url: str, into: Callable[[], IO[bytes]], progress: Callable[[int], None], *, patience: float = 600.0) -> None:
        """Writes what lies at an address, of the intake or signed, into a file that `into` opens anew for each try."""

        def once() -> None:
            with self._asked("GET", url) as answer, into() as file:
                done, length = 0, answer.length
                while piece := answer.read(_PIECE):
                    file.write(piece)
                    done += len(piece)
                    progress(len(piece))
                if length is not None and done != length:
                    raise http.client.IncompleteRead(b"", length - done)

        self._again(once, patience)

    def send(self, url: str, source: Callable[[], IO[bytes]], size: int, *, patience: float = 600.0) -> None:
        """Puts a file of `size` bytes at an address, of the intake or signed. Raises Refused, Unanswered, OSError for the file."""

        def once() -> None:
            with source() as file, self._asked("PUT", url, file, {"Content-Length": str(size)}):
                pass

        self._again(once, patience)

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
            except _BROKEN as error:
                self._drop()
                last = error
            if self._ending() or (until is not None and time.monotonic() > until):
                raise Unanswered(f"{type(last).__name__}: {last}") from None
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _once(self, method: str, path: str, data: bytes | None, kind: str) -> bytes:
        with self._asked(method, path, data, {"Content-Type": kind} if data is not None else {}) as answer:
            text: bytes = answer.read()
            return text

    @contextlib.contextmanager
    def _asked(self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The answer to a request, read to its end when it is left. Raises Refused."""
        own = url.startswith("/")
        host = self.address if own else url
        target = (urlsplit(self.address).path + url) if own else url[url.index("/", url.index("://") + 3) :]
        connection = self._connection(host)
        given = {**(headers or {}), **({"Authorization": f"Bearer {self._token}"} if own else {})}
        connection.request(method, target, body, given)
        answer = connection.getresponse()
        if answer.status >= 300:
            text = answer.read(65536)
            if not own or answer.will_close:
                self._drop()
            raise _refusal(answer.status, answer.reason, text)
        yield answer
        answer.read()
        if answer.will_close:
            self._drop()

    def _connection(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        place = (parts.scheme, parts.netloc)
        if getattr(self._local, "place", None) != place:
            self._drop()
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            self._local.connection = kind(parts.netloc, timeout=_TIMEOUT)
            self._local.place = place
        connection: http.client.HTTPConnection = self._local.connection
        if connection.sock is None:
            connection.connect()
            assert connection.sock is not None
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _drop(self) -> None:
        if (connection := getattr(self._local, "connection", None)) is not None:
            connection.close()
        self._local.connection = self._local.place = None


def _refusal(status: int, reason: str, text: bytes) -> Refused:
    try:
        answer = json.loads(text)
        return Refused(status, str(answer["error"]), answer)
    except (ValueError, TypeError, KeyError):
        return Refused(status, f"{status} {reason}: {text[:300].decode(errors='replace').strip()}")
