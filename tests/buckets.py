"""A real S3 server for tests: moto's, in an environment of its own, because its dependencies do not go with ours."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator

import pytest

from kfdash.doctor import uv_program

KEYS = {"access_key_id": "testing", "secret_access_key": "testing-testing"}
_PACKAGE = "moto[s3,server]>=5,<6"


def program(folder: pathlib.Path) -> pathlib.Path:
    """moto's server in an environment in `folder`, made where it is not there yet. Skips the test where it cannot be had."""
    server = folder / "venv" / "bin" / "moto_server"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        if not server.exists():
            commands = [
                [uv_program(), "venv", "--quiet", "--clear", str(folder / "venv")],
                [uv_program(), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(folder / "venv"), _PACKAGE],
            ]
            for command in commands:
                done = subprocess.run(command, capture_output=True, text=True, timeout=300)
                if done.returncode:
                    pytest.skip(f"moto's server cannot be installed: {done.stderr.strip()[-300:]}")
    return server


@contextlib.contextmanager
def serving(folder: pathlib.Path) -> Iterator[str]:
    """The address of a running server."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KFDASH_", "DJANGO_", "PYTHON"))}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [program(folder), "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log, env=environment, stdin=subprocess.DEVNULL
        )
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5).close()
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def new_bucket(server: str) -> str:
    """The name of a bucket that was just made."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    urllib.request.urlopen(urllib.request.Request(f"{server}/{name}", method="PUT"), timeout=10).close()
    return name
