"""Packages by URL, from a server on this machine: checks are off here, and that is what lets it be reached."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipelines.fetching import NotFetched, fetch_package


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """A package, a redirect to it, one that never ends, one that is slow, or nothing."""
        match self.path.partition("?")[0]:
            case "/dir/hello%20world.yaml":
                self._answer(200, b"text")
            case "/moved":
                self._answer(302, b"", Location="/dir/hello%20world.yaml?x=1")
            case "/endless":
                self.send_response(200)
                self.end_headers()
                while True:
                    self.wfile.write(b"x" * 65536)
            case "/slow":
                self.send_response(200)
                self.end_headers()
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.1)
            case _:
                self._answer(404, b"")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        """Clients that hang up are no news."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            super().handle()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def address(settings: Any) -> Iterator[str]:
    """A server's address, with the checks switched off."""
    settings.URL_CHECKS = False
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_package_is_fetched_with_the_name_in_its_url(address: str) -> None:
    assert fetch_package(f"{address}/dir/hello%20world.yaml?raw=true") == (b"text", "hello world.yaml")
    assert fetch_package(f"{address}/moved") == (b"text", "moved")


def test_a_url_that_answers_anything_else_is_refused(address: str) -> None:
    with pytest.raises(NotFetched, match="answers 404") as refused:
        fetch_package(f"{address}/none")
    assert not refused.value.unreachable


def test_a_package_that_never_ends_is_cut_at_the_limit(address: str) -> None:
    with pytest.raises(NotFetched, match="larger than 32 MiB"):
        fetch_package(f"{address}/endless")


def test_the_whole_fetch_has_a_time_limit(address: str, settings: Any) -> None:
    settings.URL_TIMEOUT = 0.5
    with pytest.raises(NotFetched, match="within 0.5 s") as refused:
        fetch_package(f"{address}/slow")
    assert refused.value.unreachable


def test_a_server_that_is_not_there_is_said_to_be_unreachable(settings: Any) -> None:
    settings.URL_CHECKS = False
    with pytest.raises(NotFetched) as refused:
        fetch_package("http://127.0.0.1:1/a.yaml")
    assert refused.value.unreachable


def test_with_checks_the_same_server_is_refused(address: str, settings: Any) -> None:
    settings.URL_CHECKS = True
    with pytest.raises(NotFetched, match="https"):
        fetch_package(f"{address}/moved")
