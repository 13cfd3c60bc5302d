"""A whole installation for tests: `kfdash up` in a data folder of its own, on a free port."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import psycopg.sql
import pytest

IMAGE = os.environ.get("KFDASH_TEST_IMAGE", "kfdash:dev")  # of the launcher beside each step on a cluster
SERVER = os.environ.get("KFDASH_TEST_INSTALLATIONS_ON", "")  # the URL of a PostgreSQL: installations keep their rows there
ON_SQLITE = pytest.mark.skipif(bool(SERVER), reason="It is about the database in the data folder.")
READY_WITHIN = 30.0  # seconds; some hundred times what it takes where nothing else runs


class Installation:
    """`kfdash up` as a process. Use it in a `with`; leaving it stops it and fails where something was left running."""

    def __init__(
        self, folder: pathlib.Path, *, program: Sequence[str] = (sys.executable, "-P", "-m", "kfdash.cli"), **environment: str
    ) -> None:
        self.folder, self.program = folder, list(program)
        self.mark = uuid.uuid4().hex  # in the environment of every process that comes from here
        own = {name: value for name, value in os.environ.items() if not name.startswith(("KFDASH_", "DJANGO_"))}
        database = {"KFDASH_DATABASE_URL": database_for(folder)} if SERVER else {}
        self.environment = {**own, "MARK_OF_A_TEST": self.mark, **database, **environment}
        self.output = folder.parent / f"{folder.name}.output"
        self.address = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.seen: dict[int, str] = {}  # parts that were told of: some (Valkey) overwrite their environment

    def __enter__(self) -> Installation:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        assert wait_for(lambda: not self.processes()), f"Left running: {self.processes()}\n{self.said()}"

    def start(self, *options: str) -> None:
        """Starts it and waits until it is ready; raises AssertionError with what it said where that does not come."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        command = [*self.program, "up", "--port", "0", "--data-dir", str(self.folder), *options]
        with self.output.open("ab") as output:
            before = output.tell()
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=self.environment, cwd=self.folder.parent
            )
        in_time = wait_for(lambda: "\nready " in f"\n{self.said(before)}" or self.process.poll() is not None, READY_WITHIN)
        lines = [line for line in self.said(before).splitlines() if line.startswith("ready ")]
        if not in_time or not lines:
            self.stop()
            raise AssertionError(f"It did not get ready:\n{self.said(before)}")
        self.address = lines[0].split()[1]
        self.parts()

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ends it as a person would; its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def refused(self, *options: str) -> str:
        """What a start that is to fail says; raises AssertionError where it does not fail or shows a traceback."""
        command = [*self.program, "up", "--data-dir", str(self.folder), *options]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=READY_WITHIN)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stderr.strip()

    def said(self, start: int = 0) -> str:
        """What it printed so far."""
        return self.output.read_bytes()[start:].decode(errors="replace") if self.output.exists() else ""

    def parts(self) -> dict[str, int]:
        """Name → pid of its parts, as it keeps them in its lock."""
        state: dict[str, Any] = json.loads((self.folder / "lock").read_text())
        parts: dict[str, int] = state.get("parts", {})
        self.seen.update({pid: born(pid) for pid in parts.values()})
        return parts

    def processes(self) -> list[int]:
        """Every process that comes from here: a part of it, or one with its mark in the environment (Linux)."""
        found = [pid for pid, at in self.seen.items() if at and born(pid) == at]
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes() and born(int(folder.name)):
                    found.append(int(folder.name))
            except OSError:
                continue
        return sorted(set(found))


def database_for(folder: pathlib.Path) -> str:
    """The URL of a database that belongs to a data folder, on the server; made where it is not there."""
    name = f"installation_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    with psycopg.connect(SERVER, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    return urllib.parse.urlsplit(SERVER)._replace(path=f"/{name}").geturl()


def born(pid: int) -> str:
    """When a process began, in ticks: tells it from a later one with its number. Empty where it does not run (Linux)."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def wait_for(condition: Callable[[], Any], seconds: float = 15.0) -> bool:
    """Whether a condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def on_pods(namespace: str, **more: str) -> dict[str, str]:
    """The settings of an installation whose steps are pods, in a namespace of the cluster of KUBECONFIG."""
    return {
        "KFDASH_EXECUTOR": "kubernetes",
        "KFDASH_KUBECONFIG": os.environ["KUBECONFIG"],
        "KFDASH_IMAGE": IMAGE,
        "KFDASH_POD_NAMESPACE": namespace,
        "KFDASH_LAUNCHER_BIND": "0.0.0.0:0",
        **more,
    }
