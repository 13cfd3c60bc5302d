"""Doctor's look at the way back: whether a pod of the cluster reaches kfdash's listener for launchers."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator

from django.conf import settings

from kfdash import installation
from kfdash.doctor import Finding, executor
from runs import executing


def findings() -> Iterator[Finding]:
    """Nothing where steps are no pods, or no pod can be made; this takes as long as a pod takes."""
    if settings.EXECUTOR == "kubernetes" and executor().ok:
        yield calling_back()


def calling_back() -> Finding:
    """Lets a pod call the listener; where kfdash does not run, we listen meanwhile."""
    from runs.executors.kubernetes import check  # noqa: PLC0415  # needs the optional package

    try:
        with _listening():
            config = executing.kubernetes_config()
            sentence = check.probe(config)
    except installation.CannotStart as error:
        sentence = str(error)
    if sentence:
        return Finding("callback", sentence, ok=False)
    return Finding("callback", f"a pod of {config.image} reaches kfdash at {config.launcher_url}")


@contextlib.contextmanager
def _listening() -> Iterator[None]:
    """Somebody listens for launchers, and KFDASH_LAUNCHER_URL is known. Raises CannotStart."""
    installation.launcher_bind()  # a setting that cannot be is no port that is taken
    try:
        listening = installation.listen_for_launchers()
    except installation.CannotStart:
        if not installation.find_launcher_url():
            raise
        yield  # it is taken: by kfdash itself, as a rule
        return
    server = _Server(listening)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        listening.close()


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802  # the name that http.server calls
        """Says that somebody is here."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: doctor prints its findings only."""


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname()[:2], _Answer, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
