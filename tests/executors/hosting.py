"""For tests of the local executor: real hosts in folders of their own."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from runs.executors.base import ExecutorUnavailable
from runs.executors.local.executor import LocalExecutor


@dataclass
class RunningHost:
    """A host process and its folders; can be killed and started again."""

    folder: pathlib.Path
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return str(self.folder / "host.sock")

    @property
    def logs(self) -> pathlib.Path:
        return self.folder / "logs"

    @property
    def artifacts(self) -> pathlib.Path:
        return self.folder / "artifacts"

    def start(self) -> RunningHost:
        """Starts the process and waits until it answers."""
        self.process = subprocess.Popen(self.command(), env=os.environ | self.environment)
        executor = LocalExecutor(self.socket)
        deadline = time.monotonic() + 20
        while True:
            try:
                executor.look([])
                executor._ask({"do": "state"})
                return self
            except ExecutorUnavailable:
                assert self.process.poll() is None and time.monotonic() < deadline, "the host did not start"
                time.sleep(0.02)

    def command(self) -> list[str]:
        """The command line."""
        folder = self.folder
        where = ["--folder", str(folder / "host"), "--socket", self.socket, "--artifacts", str(folder / "artifacts")]
        return [sys.executable, "-m", "runs.executors.local.host", *where, "--logs", str(folder / "logs"), *self.options]

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """As a supervisor does; returns the exit code."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@functools.cache
def _shared_environments() -> pathlib.Path:
    """Environments that all hosts of a test session use: making them takes longer than most tests."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kfdash-environments-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextlib.contextmanager
def running_host(*options: str, environment: dict[str, str] | None = None, fresh: bool = False) -> Iterator[RunningHost]:
    """A host for the time of a test, in a folder with a short name (sockets' paths may have about 100 bytes).

    A `fresh` one has no environments yet.
    """
    with tempfile.TemporaryDirectory(prefix="kfdash-") as folder:
        host = RunningHost(pathlib.Path(folder), options, environment or {})
        if not fresh:
            (host.folder / "host").mkdir()
            (host.folder / "host" / "environments").symlink_to(_shared_environments())
        host.start()
        try:
            yield host
        finally:
            host.end()


def eventually(is_so, what: str, patience: float = 15.0):
    """Waits until something is so; returns it."""
    deadline = time.monotonic() + patience
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"Waited {patience:g} s in vain for {what}."
        time.sleep(0.02)
    return found
