"""What a process says of itself to probes and to Prometheus: `/healthz`, `/readyz` and `/metrics` on KFDASH_METRICS_BIND.

Alive: its loop turns (of a worker that for messages, of the observer its ticks, of a listener that of events). Ready: the
database and Redis answered and the tables are of this version, once; from then on it stays ready, because a server that
says what is wrong is worth more than none. The body says what is away now.
"""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from django.conf import settings

from kfdash import metrics, pulse
from kfdash.system import looks, numbers

_STANDS_STILL = {"drive": 120.0, "orders": 120.0, "io": 120.0}  # seconds; a worker without threads is silent while it works
_OTHERS_STAND_STILL = 60.0
_began_well = threading.Event()


def begin(part: str) -> None:
    """This process is a part from now on: it tells of itself, and listens for probes where that is set."""
    metrics.begin(part)
    pulse.begin(part, metrics.text if settings.EMBEDDED and part != "web" else None)
    if settings.METRICS_BIND and (not settings.EMBEDDED or part == "web"):
        listen(settings.METRICS_BIND)


def alive() -> str:
    """Why this process is to be ended and started again, as a sentence; empty where its loop turns."""
    stood = pulse.stood()
    if stood <= _STANDS_STILL.get(pulse.part(), _OTHERS_STAND_STILL):
        return ""
    return f"The loop of {pulse.part() or 'this process'} has stood still for {stood:.0f} s."


def away() -> list[str]:
    """What does not answer now, as sentences: database, its tables, Redis. Costs nothing when asked often."""
    return [found.sentence for found in looks.now("database", "redis") if not found.ok]


def ready() -> tuple[bool, list[str]]:
    """Whether this process may be given work, and what is away now."""
    gone = away()
    if not gone:
        _began_well.set()
    return _began_well.is_set() and not alive(), gone


def listen(bind: str) -> ThreadingHTTPServer:
    """Serves probes and metrics in a thread, on `address:port`. Raises OSError where that cannot be listened on."""
    host, _, port = bind.rpartition(":")
    server = _Server((host.strip("[]") or "0.0.0.0", int(port)), _Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def _numbers() -> bytes:
    """What is shared is told by observers, and where one process speaks for all."""
    if settings.EMBEDDED:
        return numbers.text(shared=True, everybody=True)
    return numbers.text(shared=pulse.part() == "observer")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "kfdash", ""
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:  # noqa: N802  # the name that http.server asks for
        path = self.path.partition("?")[0]
        if path == "/healthz":
            reason = alive()
            self._answer(503 if reason else 200, (reason or "alive") + "\n")
        elif path == "/readyz":
            is_ready, gone = ready()
            self._answer(200 if is_ready else 503, "".join(f"{line}\n" for line in (gone or [alive() or "ready"])))
        elif path == "/metrics":
            self._answer(200, _numbers().decode(), "text/plain; version=0.0.4; charset=utf-8")
        else:
            self._answer(404, "Here are /healthz, /readyz and /metrics.\n")

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        with contextlib.suppress(OSError):  # whoever asked is gone
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Probes are not worth a line."""
