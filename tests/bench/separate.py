"""kfdash as a cluster runs it, on this machine: PostgreSQL, Redis and each part a process of its own; the executor is the fake one.

All parts are the commands that containers run. Those that meet the executor are started through `tests.bench.shared_fake`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.bench.processes import children, peers, processor_times, resident, share
from tests.running import wait_for
from tests.servers import Server, free_port, postgresql, redis_server

_REAL = (sys.executable, "-P", "-m", "kfdash.cli")
_WITH_FAKE = (sys.executable, "-m", "tests.bench.shared_fake")
_MEET_THE_EXECUTOR = frozenset(("orders", "io", "observer"))
_ROOT = pathlib.Path(__file__).parents[2]


class Stack:
    """The processes of an installation; `parts` has those of kfdash by name, `addresses` the webs'."""

    def __init__(self, folder: pathlib.Path, database: Server, broker: Server, **environment: str) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("KFDASH_", "DJANGO_"))}
        self.folder, self.database, self.broker = folder, database, broker
        self.environment = {
            **own,
            "KFDASH_DATA_DIR": str(folder / "data"),
            "KFDASH_DATABASE_URL": database.url,
            "KFDASH_REDIS_URL": broker.url,
            "KFDASH_SECRET_KEY": "bench",
            "KFDASH_EXECUTOR": "fake",
            **environment,
        }
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self.addresses: dict[str, str] = {}
        (folder / "data").mkdir()
        subprocess.run([*_REAL, "migrate"], env=self.environment, cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)

    def begin(self, *names: str) -> None:
        """Starts parts: `web`, `worker`, …, with a number behind where there are several (`web-2`); returns when all serve."""
        for name in names:
            command = name.partition("-")[0]
            told = [*(_WITH_FAKE if command in _MEET_THE_EXECUTOR else _REAL), command]
            if command == "web":
                port = free_port()
                told += ["--bind", f"127.0.0.1:{port}"]
                self.addresses[name] = f"http://127.0.0.1:{port}"
            with self._output(name).open("ab") as output:
                self.parts[name] = subprocess.Popen(told, env=self.environment, cwd=_ROOT, stdout=output, stderr=output)
        for name in names:
            assert wait_for(lambda n=name: self._serves(n), 60), f"{name} did not begin:\n{self._output(name).read_text()}"

    def _serves(self, name: str) -> bool:
        if name not in self.addresses:
            return "begins." in self._output(name).read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.addresses[name]}/apis/v2beta1/healthz", timeout=5):
            return True
        return False

    def _output(self, name: str) -> pathlib.Path:
        return self.folder / f"{name}.output"

    def end(self, *names: str) -> None:
        """Ends parts in order."""
        for name in names:
            self.parts[name].send_signal(signal.SIGTERM)
        for name in names:
            self.addresses.pop(name, None)
            process = self.parts.pop(name)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pause(self, *names: str) -> None:
        """Lets parts stand still."""
        for name in names:
            self.parts[name].send_signal(signal.SIGSTOP)

    def go_on(self, *names: str) -> None:
        """Lets parts that stand still go on."""
        for name in names:
            self.parts[name].send_signal(signal.SIGCONT)

    def said(self) -> str:
        """What all parts printed, but that they begin."""
        texts = [path.read_text() for path in sorted(self.folder.glob("*.output"))]
        return "\n".join(line for text in texts for line in text.splitlines() if not line.endswith("begins."))

    # --- what they take ---

    def pids(self) -> dict[str, list[int]]:
        """Name → processes; those of the database together."""
        found = {name: [process.pid] for name, process in self.parts.items()}
        return {**found, "redis": [self.broker.pid], "postgresql": [self.database.pid, *children(self.database.pid)]}

    def cpu(self) -> dict[str, float]:
        """Name → seconds of processor time so far; of the database with its connections that are over."""
        found = {name: sum(processor_times(pid)[0] for pid in pids) for name, pids in self.pids().items()}
        found["postgresql"] += processor_times(self.database.pid)[1]
        return found

    def memory(self) -> dict[str, float]:
        """Name → resident MiB; of the database what its processes do not share, and the shared part once."""
        found = {name: resident(pids[0]) / 1024 for name, pids in self.pids().items()}
        found["postgresql"] = sum(map(share, self.pids()["postgresql"])) / 1024
        return found

    def connections(self) -> dict[str, tuple[int, int]]:
        """Part → its connections to the database and to Redis."""
        ports = [urlsplit(server.url).port or 0 for server in (self.database, self.broker)]
        found = {}
        for name, process in self.parts.items():
            others = peers(process.pid)
            found[name] = (others.count(ports[0]), others.count(ports[1]))
        return found


@contextlib.contextmanager
def separate(*parts: str, **environment: str) -> Iterator[Stack]:
    """An installation with these parts, gone in the end."""
    with tempfile.TemporaryDirectory(prefix="kfdash-bench-", ignore_cleanup_errors=True) as name, contextlib.ExitStack() as servers:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # the database's user must be able to enter
        database = servers.enter_context(postgresql(folder, "shared_buffers=256MB"))
        broker = servers.enter_context(redis_server(folder))
        stack = Stack(folder, database, broker, **environment)
        try:
            stack.begin(*parts)
            yield stack
        finally:
            stack.end(*stack.parts)


class Client:
    """A client of the API with one connection that stays; not for several threads at once."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)

    def send(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """The answer's JSON; raises AssertionError for one that is no success."""
        self._connection.request(method, path, body, {"Content-Type": kind})
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == 200, f"{method} {path}: {answer.status} {text[:500]!r}"
        return json.loads(text)

    def page(self, path: str) -> bytes:
        """The body of a page; raises AssertionError for one that is no success."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, f"{path}: {answer.status} {body[:300]!r}"
        return body

    def close(self) -> None:
        """Lets go of the connection."""
        self._connection.close()
