"""What stands around an installation whose steps are pods: who hears what steps did, and a door to the API server."""

from __future__ import annotations

import contextlib
import http.server
import pathlib
import socket
import threading
import time
from collections import defaultdict
from urllib.parse import urlsplit

import yaml


class Marks:
    """What steps say they did: attempt name → the marks that came, in order."""

    def __init__(self) -> None:
        self.by_attempt: dict[str, list[str]] = defaultdict(list)
        marks = self.by_attempt

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                marks[self.path.strip("/")].append(text)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_address[1])


class Door:
    """A way to the API server that can be shut: what goes through it is passed on as it is."""

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self.target = (parts.hostname or "", parts.port or 443)
        self.open, self.passing = True, set[socket.socket]()
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def shut_for(self, seconds: float) -> None:
        """Nobody gets through, and who was within is thrown out."""
        self.open = False
        for connection in list(self.passing):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        time.sleep(seconds)
        self.open = True

    def _serve(self) -> None:
        while True:
            inside, _ = self.listening.accept()
            if not self.open:
                inside.close()
                continue
            try:
                outside = socket.create_connection(self.target, 5)
            except OSError:
                inside.close()
                continue
            self.passing |= {inside, outside}
            for one, other in ((inside, outside), (outside, inside)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for connection in (one, other):
            self.passing.discard(connection)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()

    def kubeconfig(self, original: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
        """The same kubeconfig, through this door."""
        document = yaml.safe_load(original.read_text())
        for entry in document["clusters"]:
            entry["cluster"]["server"] = f"https://127.0.0.1:{self.listening.getsockname()[1]}"
            entry["cluster"]["tls-server-name"] = self.target[0]
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path


def server_of(kubeconfig: pathlib.Path) -> str:
    """The API server's address in the current context."""
    document = yaml.safe_load(kubeconfig.read_text())
    context = next(entry["context"] for entry in document["contexts"] if entry["name"] == document["current-context"])
    return str(next(entry["cluster"]["server"] for entry in document["clusters"] if entry["name"] == context["cluster"]))
