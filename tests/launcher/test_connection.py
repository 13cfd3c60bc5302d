"""The launcher's own HTTP: answers in every form that servers and buckets give them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from runs.launcher import connection as launcher_connection
from runs.launcher.connection import Answer, Broken, Connection, address_of


def answers(*pieces: bytes) -> tuple[socket.socket, Answer]:
    """An answer that comes in these pieces, and the socket that keeps it open."""
    ours, theirs = socket.socketpair()
    for piece in pieces:
        theirs.sendall(piece)
    theirs.shutdown(socket.SHUT_WR)
    return theirs, Answer(ours.makefile("rb"))


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://192.0.2.7:8001/v1/order?begun=1", ("http", "192.0.2.7:8001", "/v1/order?begun=1")),
        ("https://bucket.example", ("https", "bucket.example", "")),
        ("HTTPS://bucket.example?sig=a/b", ("https", "bucket.example", "?sig=a/b")),
        ("http://[2001:db8::7]:80/a", ("http", "[2001:db8::7]:80", "/a")),
    ],
)
def test_addresses_are_taken_apart(url: str, parts: tuple[str, str, str]) -> None:
    assert tuple(address_of(url)) == parts


def test_an_answer_of_known_length_leaves_the_connection_for_the_next() -> None:
    _, answer = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellomore")
    assert (answer.status, answer.reason, answer.length, answer.is_read) == (200, "OK", 5, False)
    assert (answer.read(2), answer.read(), answer.read(), answer.is_read) == (b"he", b"llo", b"", True)


def test_an_answer_in_chunks_is_put_together() -> None:
    chunks = b"4;note=x\r\nwiki\r\n6\r\npedia \r\n0\r\nTrailer: x\r\n\r\n"
    _, answer = answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunks)
    assert (answer.read(), answer.is_read) == (b"wikipedia ", True)


def test_an_answer_without_length_lasts_as_long_as_its_connection() -> None:
    _, answer = answers(b"HTTP/1.0 200 OK\r\n\r\nall of it")
    assert (answer.length, answer.read(), answer.is_read) == (None, b"all of it", False)


def test_answers_without_a_body_are_read_at_once() -> None:
    _, answer = answers(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (answer.read(), answer.is_read) == (b"", True)


def test_an_answer_that_is_only_on_its_way_is_passed_over() -> None:
    _, answer = answers(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
    assert (answer.status, answer.read(), answer.is_read) == (200, b"x", False)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a number\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000,
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000,
    ],
)
def test_what_breaks_off_or_is_no_http_is_never_taken_for_an_answer(text: bytes) -> None:
    with pytest.raises(Broken):
        answers(text)[1].read()


def test_a_header_cannot_be_smuggled_in() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=listening.accept, daemon=True).start()
        connection = Connection(address_of(f"http://127.0.0.1:{listening.getsockname()[1]}"), 5)
        with pytest.raises(ValueError, match="line's end"):
            connection.request("GET", "/a\r\nX: y", None, {})
        connection.close()


def test_a_place_that_is_gone_is_not_waited_for_as_long_as_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher_connection, "_CONNECT", 0.3)
    with socket.socket() as listening, contextlib.ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):  # nobody takes them: the kernel lets no more in, as if nothing were at the address
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        began = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            Connection(address_of(f"http://127.0.0.1:{listening.getsockname()[1]}"), 60)
        assert time.monotonic() - began < 10


def test_a_server_whose_machine_goes_without_a_word_is_noticed_while_its_answer_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connection = Connection(address_of(f"http://127.0.0.1:{listening.getsockname()[1]}"), 60)
        asked = connection._socket
        assert asked.gettimeout() == 60
        assert asked.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, between, most = (asked.getsockopt(socket.IPPROTO_TCP, option) for option in launcher_connection._KEEPALIVE)
        assert idle + between * most <= 20
        connection.close()
