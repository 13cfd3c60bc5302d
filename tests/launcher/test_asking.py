"""Calls of the launcher: what is tried again, what is not, and that a connection which was let go costs nothing."""

from __future__ import annotations

import contextlib
import io
import pathlib
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from runs.launcher import asking
from runs.launcher.asking import Line, Refused, Unanswered

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
TOO_LARGE = b'HTTP/1.1 413 Too Large\r\nContent-Length: 31\r\nConnection: close\r\n\r\n{"error":"That is far too much"}'


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[int]]]:
    """A server that hands each connection to `answer`; its address, and a list that grows with each connection."""
    connections: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    connections.append(1)
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", connections
        listening.shutdown(socket.SHUT_RDWR)


def head(connection: socket.socket) -> bytes:
    """The request's head."""
    text = b""
    while b"\r\n\r\n" not in text and (more := connection.recv(65536)):
        text += more
    return text


def test_a_file_of_its_own_that_cannot_be_used_is_told_at_once(tmp_path: pathlib.Path) -> None:
    """It was once taken for a broken line, and tried for ten minutes."""

    def answer(connection: socket.socket) -> None:
        while head(connection):
            connection.sendall(ANSWER)

    with serving(answer) as (address, _):
        line = Line(address, "token")
        with pytest.raises(IsADirectoryError):
            line.fetch("/v1/artifact", partial(open, tmp_path, "wb"), lambda size: None)
        with pytest.raises(FileNotFoundError):
            line.send("/v1/artifact", partial(open, tmp_path / "gone", "rb"), 1)
        with pytest.raises(OSError, match="No space left"):
            line.fetch("/v1/artifact", partial(open, "/dev/full", "wb", buffering=0), lambda size: None)


def test_what_refuses_before_it_has_read_all_is_heard() -> None:
    def answer(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(TOO_LARGE)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):  # the rest is let through, unread
            pass

    with serving(answer) as (address, _), pytest.raises(Refused, match="far too much") as caught:
        Line(address, "token").send("/v1/artifact", lambda: io.BytesIO(bytes(8_000_000)), 8_000_000)
    assert caught.value.status == 413


def test_a_connection_that_nobody_used_for_long_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(connection: socket.socket) -> None:
        while head(connection):
            connection.sendall(ANSWER)

    with serving(answer) as (address, connections):
        line = Line(address, "token")
        assert line.call("GET", "/v1/order") == line.call("GET", "/v1/order") == {}
        assert len(connections) == 1
        monkeypatch.setattr(asking, "_IDLE", 0.0)
        assert line.call("GET", "/v1/order") == {}
        assert len(connections) == 2


def test_who_does_not_answer_is_asked_for_as_long_as_there_is_patience() -> None:
    with serving(lambda connection: None) as (address, connections), pytest.raises(Unanswered):
        Line(address, "token").call("GET", "/v1/order", patience=0.2)
    assert len(connections) >= 2
