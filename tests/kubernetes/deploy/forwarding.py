"""The pages of an installation on this machine, by `kubectl port-forward`, which a rolling restart breaks off.

kubectl ends where it notices that its pod is gone. It may also stay and let each call hang for half a minute, and kfp's client,
which waits for ever and asks four times, for two: so it is ended, too, where nothing came through it for some seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence

from tests.running import wait_for
from tests.servers import free_port

_ASK_EVERY, _ANSWER_WITHIN = 1.0, 5.0  # seconds
_SILENT = 15.0  # seconds without any answer
_PAUSE = 0.3
_ASKED = "/static/css/base.css"  # needs no database


@contextlib.contextmanager
def forwarded(namespace: str) -> Iterator[str]:
    """The address, from when something listens there. Raises AssertionError where nothing does for 30 seconds."""
    port, stop = free_port(), threading.Event()
    command = ["kubectl", "-n", namespace, "port-forward", "service/kfdash", f"{port}:80"]
    keeper = threading.Thread(target=_keep, args=(command, port, stop), daemon=True)
    keeper.start()
    try:
        assert wait_for(lambda: answers(port), 30)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        keeper.join()


def answers(port: int) -> bool:
    """Whether whatever is behind a port of this machine answers at all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_WITHIN)
    try:
        connection.request("HEAD", _ASKED)
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _keep(command: Sequence[str], port: int, stop: threading.Event) -> None:
    while not stop.is_set():
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as kubectl:
            heard = time.monotonic()
            while kubectl.poll() is None and time.monotonic() - heard < _SILENT and not stop.wait(_ASK_EVERY):
                if answers(port):
                    heard = time.monotonic()
            kubectl.kill()
        stop.wait(_PAUSE)
