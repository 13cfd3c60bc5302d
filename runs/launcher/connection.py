"""One connection of HTTP/1.1, as the launcher needs it. `http.client` would do, and costs as much as all else that is started:
it brings the parser of e-mail and TLS, hundreds of times a minute where many steps start. TLS comes where an address wants it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

PIECE = 256 * 1024  # bytes that are sent or read at once
_CONNECT = 5.0  # seconds: an address whose pod is gone answers nothing, and the next try is led to another
_KEEPALIVE = {  # a server whose machine is gone without a word is noticed after 14 seconds, one that only takes its time is not
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
_LONGEST_LINE, _MOST_HEADERS = 65536, 200
_WITHOUT_BODY = (204, 304)


class Broken(Exception):
    """The connection ended in the middle, or what came is no HTTP."""


class Address(NamedTuple):
    """An address in its parts; `target` begins with a slash or is empty."""

    scheme: str
    host: str  # with its port, where it has one
    target: str

    @property
    def place(self) -> str:
        """What tells one connection from another."""
        return f"{self.scheme}://{self.host}"


def address_of(url: str) -> Address:
    """Takes `https://host:port/path?query` apart."""
    scheme, _, rest = url.partition("://")
    ends = [rest.index(mark) for mark in "/?" if mark in rest]
    host = rest[: min(ends)] if ends else rest
    return Address(scheme.lower(), host, rest[len(host) :])


class Answer:
    """An answer whose body is still to be read. `length` is how much is left of it, None where only its end will tell."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.status, self.reason, self.will_close = _status(file)
        while 100 <= self.status < 200:  # it is only on its way
            _headers(file)
            self.status, self.reason, self.will_close = _status(file)
        headers = _headers(file)
        connection = headers.get("connection", "").lower()
        self.will_close = "close" in connection or (self.will_close and "keep-alive" not in connection)
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._in_chunk = 0
        self._over = self.status in _WITHOUT_BODY
        self.length: int | None = None
        if self._over:
            self.length = 0
        elif not self._chunked:
            told = headers.get("content-length", "")
            if told and not told.isdecimal():
                raise Broken(f"The answer has a length that is no number: {told[:40]!r}.")
            self.length = int(told) if told else None
            self._over = self.length == 0
            self.will_close |= self.length is None

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes of the body, all of it for -1; empty at its end. Raises Broken, OSError."""
        pieces = []
        left = size
        while left and (piece := self._piece(PIECE if left < 0 else left)):
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
        return b"".join(pieces)

    @property
    def is_read(self) -> bool:
        """Whether the connection can be used again."""
        return self._over and not self.will_close

    def _piece(self, most: int) -> bytes:
        if self._over:
            return b""
        if self._chunked:
            return self._of_chunk(most)
        piece = self._file.read(most if self.length is None else min(most, self.length))
        if self.length is None:
            self._over = not piece
        elif not piece and self.length:
            raise Broken(f"The connection ended with {self.length} bytes missing.")
        else:
            self.length -= len(piece)
            self._over = not self.length
        return piece

    def _of_chunk(self, most: int) -> bytes:
        if not self._in_chunk:
            told = _line(self._file).partition(b";")[0].strip()
            try:
                self._in_chunk = int(told, 16)
            except ValueError:
                raise Broken("The answer is not in chunks, as it says.") from None
            if not self._in_chunk:
                _headers(self._file)
                self._over = True
                return b""
        piece = self._file.read(min(most, self._in_chunk))
        if not piece:
            raise Broken("The connection ended within the answer.")
        self._in_chunk -= len(piece)
        if not self._in_chunk:
            _line(self._file)
        return piece


class Connection:
    """A connection to `address`, used by one thread at a time. `timeout`: seconds without a byte. Raises OSError, Broken."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._host = address.host
        name, port = _host_and_port(address)
        self._socket: Any = socket.create_connection((name, port), min(timeout, _CONNECT))
        self._socket.settimeout(timeout)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in {socket.TCP_NODELAY: 1, **_KEEPALIVE}.items():
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)
        if address.scheme == "https":
            import ssl  # noqa: PLC0415  # see the head of this module

            self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=name)
        self._file: IO[bytes] = self._socket.makefile("rb", PIECE)

    def request(self, method: str, target: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str]) -> None:
        """Sends a request; the length of a file is among the headers."""
        own = {"Host": self._host, "Accept-Encoding": "identity"}
        if isinstance(body, bytes):
            own["Content-Length"] = str(len(body))
        elif body is None and method in ("POST", "PUT"):
            own["Content-Length"] = "0"
        lines = [f"{method} {target or '/'} HTTP/1.1", *(f"{name}: {value}" for name, value in {**own, **headers}.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("An address or a header has a line's end in it.")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        if body is None or isinstance(body, bytes):
            self._socket.sendall(head + (body or b""))
            return
        self._socket.sendall(head)
        while piece := body.read(PIECE):
            self._socket.sendall(piece)

    def answer(self) -> Answer:
        """Waits for the answer to what was requested; it is to be read to its end before the next request."""
        return Answer(self._file)

    def close(self) -> None:
        """Lets go of it."""
        self._file.close()
        self._socket.close()


def _host_and_port(address: Address) -> tuple[str, int]:
    usual = 443 if address.scheme == "https" else 80
    name, separator, port = address.host.rpartition(":")
    if not separator or port.endswith("]"):
        name, port = address.host, ""
    if port and not port.isdecimal():
        raise OSError(f"{address.host!r} is no host with a port.")
    return name.removeprefix("[").removesuffix("]"), int(port or usual)


def _line(file: IO[bytes]) -> bytes:
    line = file.readline(_LONGEST_LINE + 1)
    if len(line) > _LONGEST_LINE:
        raise Broken("The answer has a line that is too long.")
    if not line.endswith(b"\n"):
        raise Broken("The connection was closed without an answer." if not line else "The connection ended within the answer.")
    return line.rstrip(b"\r\n")


def _status(file: IO[bytes]) -> tuple[int, str, bool]:
    """Status, the words for it, and whether an answer of this version closes its connection if it says nothing."""
    version, _, rest = _line(file).decode("latin-1").partition(" ")
    code, _, reason = rest.strip().partition(" ")
    if not version.startswith("HTTP/1.") or not code.isdecimal():
        raise Broken("What answers does not speak HTTP.")
    return int(code), reason.strip(), version == "HTTP/1.0"


def _headers(file: IO[bytes]) -> dict[str, str]:
    """By their names in small letters; the last of several under one name."""
    found: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = _line(file)
        if not line:
            return found
        name, _, value = line.decode("latin-1").partition(":")
        found[name.strip().lower()] = value.strip()
    raise Broken("The answer has too many headers.")
