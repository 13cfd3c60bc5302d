"""`kfdash up`: starts all parts of an installation, watches them, and leaves nothing running.

The order is: what others need first (Redis, the local host), meanwhile the code is loaded and the database migrated, then
web and workers are forked from this warm process. It has one thread and keeps no connection, now and later: a part that
ended is forked again from it. The listening socket is ours, so that requests wait while the web server is started again.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from kfdash import doctor, installation, processes

GRACE = {"host": 15.0, "redis": 10.0}  # seconds between SIGTERM and SIGKILL
_OTHERS_GRACE = 6.0
_LONGEST_PAUSE = 30.0  # seconds before a part that keeps ending is started again
_LIVED_WELL = 10.0  # seconds after which a part's earlier ends are forgotten
_STOPPED_LAST = ("host", "redis")  # they end when nobody needs them any more


@dataclass
class Part:
    """A process to keep running. `start` starts it and returns its pid."""

    name: str
    start: Callable[[], int]
    pid: int = 0
    started: float = 0.0
    ends: int = 0  # in a row, each soon after its start
    due: float = 0.0  # when to start it again; 0 while it runs
    end: dict[str, Any] = field(default_factory=dict)  # how it last ended by itself, at which Unix time, and the pause then


class Supervisor:
    """The installation's processes."""

    def __init__(self, host: str, port: int, *, demo: bool = False) -> None:
        self.host, self.port, self.demo = host, port, demo
        self.parts: dict[str, Part] = {}
        self.programs: dict[int, subprocess.Popen[bytes]] = {}
        self.stopping = 0  # how often we were asked to
        self.probe: socket.socket | None = None

    def run(self) -> int:
        """Runs until told to stop; the exit code. Raises CannotStart."""
        installation.check_address(self.host)
        settings.EMBEDDED, os.environ["KFDASH_EMBEDDED"] = True, "1"
        installation.check()
        self.lock = installation.Lock()
        self._name_observer()
        self.listening = installation.listen(self.host, self.port)
        self.address = _address(self.listening)
        self.launchers = installation.listen_for_launchers() if settings.EXECUTOR == "kubernetes" else None
        self.lifeline, self._lifeline_end = os.pipe()
        self._listen_for_signals()
        try:
            self._start_what_others_need()
            self._load()
            self._start_our_own()
            self._watch()
        finally:
            self._stop()
            for listening in self._sockets():
                listening.close()
        return 0

    # --- starting ---

    @staticmethod
    def _name_observer() -> None:
        """The data folder is ours alone: an observer that is started again, or with us, need not wait for the one before it."""
        if not settings.OBSERVER_NAME:
            settings.OBSERVER_NAME = os.environ["KFDASH_OBSERVER_NAME"] = f"{socket.gethostname()}:{settings.DATA_DIR}"

    def _start_what_others_need(self) -> None:
        if doctor.own_redis():
            self._begin("redis", self._start_redis)
        if settings.EXECUTOR == "local":
            self._begin("host", self._start_host)

    def _load(self) -> None:
        """Loads our code, brings the database up to date and waits for Redis."""
        self.code = importlib.import_module("kfdash.parts")  # reads the settings and takes its time: not before the checks
        installation.migrate()
        self.code.warm_up()
        if doctor.own_redis():
            self._wait_for_redis()
        gc.collect()
        gc.freeze()  # children share what is loaded: the collector must not write to it
        if (number := processes.threads()) > 1:
            print(f"note: {number} threads run before the parts are forked.", file=sys.stderr, flush=True)

    def _start_our_own(self) -> None:
        self._begin("web", lambda: self._start_listener("web", self.listening))
        if (launchers := self.launchers) is not None:
            self._begin("intake", lambda: self._start_listener("intake", launchers))
        for name, serve in self.code.WORKERS.items():
            self._begin(name, lambda name=name, serve=serve: self._start_part(name, serve))  # type: ignore[misc]
        self._ask_for_a_page()

    def _begin(self, name: str, start: Callable[[], int]) -> None:
        self.parts[name] = part = Part(name, start)
        self._start(part)

    def _start(self, part: Part) -> None:
        part.pid = part.start()
        part.started, part.due = time.monotonic(), 0.0
        with contextlib.suppress(OSError):
            os.setpgid(part.pid, part.pid)  # also done by the child: whoever comes first
        self._tell()

    def _tell(self) -> None:
        """Writes down which parts run, and how others ended: the page System reads it."""
        running = {part.name: part.pid for part in self.parts.values() if part.pid}
        self.lock.tell(address=self.address, parts=running, ends={part.name: part.end for part in self.parts.values() if part.end})

    def _start_listener(self, name: str, listening: socket.socket) -> int:
        return self._start_part(name, lambda: self.code.LISTENERS[name](listening), listening)

    def _start_part(self, name: str, serve: Callable[[], None], listening: socket.socket | None = None) -> int:
        if processes.LINUX:
            others = [sock.fileno() for sock in self._sockets() if sock is not listening]
            return processes.fork(name, serve, [self.lifeline, self._lifeline_end, *self._wake, *others])
        descriptor = [] if listening is None else [listening.fileno()]
        command = [sys.executable, "-m", "kfdash.cli", "part", name, *map(str, descriptor)]
        return self._program(command, keep=[self.lock.descriptor, *descriptor], settings_too=None)

    def _sockets(self) -> list[socket.socket]:
        return [self.listening] if self.launchers is None else [self.listening, self.launchers]

    def _start_redis(self) -> int:
        folder = settings.DATA_DIR / "redis"
        folder.mkdir(exist_ok=True)
        kept = folder / "redis.rdb"
        if self.parts["redis"].ends >= 2 and kept.exists():
            print("note: Redis does not start with what it kept; it starts without. No state is lost.", flush=True)
            kept.replace(kept.with_suffix(".unreadable"))
        values = {
            "port": "0",
            "unixsocket": str(settings.RUNTIME_DIR / "redis.sock"),
            "unixsocketperm": "700",
            "dir": str(folder),
            "dbfilename": kept.name,
            "save": "60 1",
            "stop-writes-on-bgsave-error": "no",  # on a full disk: what Redis holds may be lost, so it goes on without keeping it
            "loglevel": "warning",
            "logfile": str(folder / "redis.log"),
        }
        options = [text for name, value in values.items() for text in (f"--{name}", value)]
        return self._program([doctor.redis_program(), *options], keep=[self.lock.descriptor])

    def _start_host(self) -> int:
        told = {
            "--folder": settings.HOST_DIR,
            "--socket": settings.RUNTIME_DIR / "host.sock",
            "--artifacts": settings.ARTIFACTS_DIR,
            "--logs": settings.LOGS_DIR,
            "--log-limit": settings.STEP_LOG_MIB,
            "--output-limit": settings.STEP_OUTPUT_MIB,
            "--process-limit": settings.STEP_PROCESSES,
        }
        options = [str(text) for pair in told.items() for text in pair]
        command = [sys.executable, "-P", "-m", "runs.executors.local.host", *options]
        return self._program(command, keep=[self.lock.descriptor], settings_too=("KFDASH_STORE_OPTIONS", "KFDASH_STORES"))

    def _program(self, command: list[str], *, keep: list[int], settings_too: Sequence[str] | None = ()) -> int:
        """Starts another program. Of our settings it gets those that are named, all of them for None: they hold secrets."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if settings_too is None or name in settings_too or not name.startswith(("KFDASH_", "DJANGO_"))
        }
        program = processes.start(command, lifeline=self.lifeline, keep=keep, environment=environment)
        self.programs[program.pid] = program
        return program.pid

    def _wait_for_redis(self) -> None:
        path = str(settings.RUNTIME_DIR / "redis.sock")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not self.stopping:
            self._tend()
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(path)
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):  # not while it still reads what it kept
                    return
            time.sleep(0.01)
        if not self.stopping:
            log = settings.DATA_DIR / "redis" / "redis.log"
            raise installation.CannotStart(f"Redis ({doctor.redis_program()}) does not start; {log} says why.")

    # --- watching ---

    def _watch(self) -> None:
        while not self.stopping:
            self._tend()
            due = [part.due for part in self.parts.values() if part.due]
            self._sleep(max(0.0, min(due) - time.monotonic()) if due else None)

    def _tend(self) -> None:
        """Notes which parts ended, and starts again those whose time has come."""
        self._reap()
        now = time.monotonic()
        for part in self.parts.values():
            if part.due and part.due <= now:
                self._start(part)

    def _sleep(self, seconds: float | None) -> None:
        """Until a signal comes (a child's end, too), the first page is served or the time is over."""
        watched: list[Any] = [self._wake[0]] + ([self.probe] if self.probe else [])
        readable, _, _ = select.select(watched, [], [], seconds)
        if self._wake[0] in readable:
            os.read(self._wake[0], 4096)
        if self.probe in readable:
            self._see_the_page()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            if program := self.programs.pop(pid, None):
                program.returncode = code
            for part in self.parts.values():
                if part.pid == pid:
                    part.pid = 0
                    if not self.stopping:
                        self._ended(part, code)

    def _ended(self, part: Part, code: int) -> None:
        now = time.monotonic()
        part.ends = 1 if now - part.started > _LIVED_WELL else part.ends + 1
        pause = 0.0 if part.ends == 1 else min(_LONGEST_PAUSE, 0.5 * 2 ** (part.ends - 2))
        part.due = now + pause
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        when = "now" if not pause else f"in {pause:g} s"
        print(f"{part.name} ended ({how}); it is started again {when}.", file=sys.stderr, flush=True)
        part.end = {"at": time.time(), "how": how, "pause": pause}
        self._tell()

    def _ask_for_a_page(self) -> None:
        """The connection waits in the socket's queue, so the answer comes when the web server is there."""
        self.probe = socket.create_connection(self.listening.getsockname()[:2], timeout=5)
        host = self.address.removeprefix("http://")
        self.probe.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

    def _see_the_page(self) -> None:
        assert self.probe is not None
        try:
            answer = self.probe.recv(64)
        except OSError:
            answer = b""
        self.probe.close()
        self.probe = None
        if not answer:  # the web server ended with our question; the next one answers
            self._ask_for_a_page()
            return
        if answer.split(b" ")[1:2] == [b"500"]:
            print("note: the first page shows an error; the lines above say which.", file=sys.stderr, flush=True)
        if self.launchers is not None and settings.PODS_CALL:
            print(f"Pods reach this machine at {settings.LAUNCHER_URL} (KFDASH_LAUNCHER_URL).", flush=True)
        elif self.launchers is not None:
            print(f"Pods do not call this machine (KFDASH_LAUNCHER_URL); they meet it in {settings.MAIL_ROOT}.", flush=True)
        print(f"ready {self.address}", flush=True)
        if self.demo:
            command = [sys.executable, "-m", "kfdash.cli", "sample", self.address]
            self._program(command, keep=[], settings_too=None)

    # --- stopping ---

    def _listen_for_signals(self) -> None:
        self._wake = os.pipe()
        for end in self._wake:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._asked_to_stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def _asked_to_stop(self, number: int, frame: object) -> None:
        self.stopping += 1

    def _stop(self) -> None:
        """Ends everything in order; asked a second time, at once."""
        self.stopping = max(self.stopping, 1)
        first = [part for part in self.parts.values() if part.name not in _STOPPED_LAST]
        others = set(self.programs) - {part.pid for part in self.parts.values()}
        for pid in others:
            _signal(pid, signal.SIGTERM)
        self._end(first)
        for name in _STOPPED_LAST:
            self._end([part for part in self.parts.values() if part.name == name])
        with contextlib.suppress(OSError):
            for path in settings.RUNTIME_DIR.glob("*.sock"):
                path.unlink(missing_ok=True)
        doctor.leave()

    def _end(self, parts: list[Part]) -> None:
        for part in parts:
            _signal(part.pid, signal.SIGTERM)
        began = time.monotonic()
        while True:
            self._reap()
            left = [part for part in parts if part.pid]
            if not left:
                return
            for part in left:
                if self.stopping > 1 or time.monotonic() - began > GRACE.get(part.name, _OTHERS_GRACE):
                    print(f"{part.name} does not end by itself; it is ended by force.", file=sys.stderr, flush=True)
                    _signal(part.pid, signal.SIGKILL)
            self._sleep(0.2)


def _signal(pid: int, number: signal.Signals) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
