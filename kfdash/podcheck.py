"""Doctor's look at the way back: whether a pod of the cluster reaches kfdash's listener for launchers."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator, Sequence

from django.conf import settings

from kfdash import installation
from kfdash.doctor import Finding
from runs import executing
from runs.execution.locations import STORE


def findings(found: Sequence[Finding]) -> Iterator[Finding]:
    """Nothing where steps are no pods, or none can be made by what was `found`; this takes as long as a pod takes."""
    if settings.EXECUTOR == "kubernetes" and all(one.ok for one in found if one.what == "executor"):
        yield calling_back()


def calling_back() -> Finding:
    """Lets a pod call the listener; where kfdash does not run, we listen meanwhile."""
    if not settings.PODS_CALL:
        return _meeting()
    from runs.executors.kubernetes import probe  # noqa: PLC0415  # needs the optional package

    try:
        with _listening():
            config = executing.kubernetes_config()
            probe.call(config)
    except installation.CannotStart as error:
        return Finding("callback", str(error), ok=False)
    except probe.NoWay as error:
        return Finding("callback", f"{error} {_other_way() if error.tried else ''}".strip(), ok=False)
    return Finding("callback", f"a pod of {config.image} reaches kfdash at {config.launcher_url}")


def _meeting() -> Finding:
    """Lets a pod meet us in the bucket, where it cannot call us."""
    from runs.executors.kubernetes import probe  # noqa: PLC0415  # needs the optional package

    config = executing.kubernetes_config()
    try:
        probe.meet(config)
    except probe.NoWay as error:
        return Finding("callback", str(error), ok=False)
    return Finding("callback", f"pods do not call: one of {config.image} met kfdash in {config.mail_root}, and its log can be read")


def _other_way() -> str:
    """What helps where no address of this machine can be reached: a pod tries the bucket, where there is one."""
    if settings.PIPELINE_ROOT.startswith(STORE):
        return (
            "Where no pod can reach this machine (it is behind NAT), set KFDASH_LAUNCHER_URL=none, and KFDASH_PIPELINE_ROOT to a "
            "bucket that pods and this machine both reach."
        )
    found = _meeting()
    if found.ok:
        return f"Or set KFDASH_LAUNCHER_URL=none: a pod met kfdash in {settings.MAIL_ROOT}, and nobody need call this machine then."
    return f"Pods that cannot call could meet kfdash in its bucket (KFDASH_LAUNCHER_URL=none), but: {found.sentence}"


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
