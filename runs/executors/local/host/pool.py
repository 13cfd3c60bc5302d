"""The host's side of fork servers: one for each environment in use, started when needed, ended when idle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import socket
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from runs.executors.local.host import processes

PROGRAM = pathlib.Path(__file__).with_name("forkserver.py")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step's process ended: its wait status, peak memory in bytes, processes it left behind (they were ended)."""

    status: int
    peak: int
    left: int


class ServerGone(Exception):
    """The fork server died, and the step with it."""


class CannotStart(Exception):
    """The environment's interpreter does not start; the message is its last words."""


@dataclass(slots=True)
class Step:
    """A step under way: its process and its end."""

    name: str
    server: ForkServer
    pid: asyncio.Future[int]
    ended: asyncio.Future[Ended]

    def signal(self, number: int) -> None:
        """Sends a signal to the step's group, if it still runs."""
        if not self.ended.done():
            self.server.send({"id": self.name, "signal": number})


class ForkServer:
    """One fork server and the steps it has."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: dict[str, Step] = {}
        self.gone = False
        self.used = 0.0  # loop time of the last step's end
        self._ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._outbox: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._buffer = b""
        self._process: asyncio.subprocess.Process | None = None
        self._socket, self._theirs = socket.socketpair()

    async def start(self, python: str, modules: list[str], env: Mapping[str, str], errors: pathlib.Path) -> None:
        """Starts the process and waits until it is ready. Raises CannotStart."""
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        options = ["-S", "-E"] if not modules else []
        with errors.open("wb") as stderr, self._theirs:
            arguments = [*options, str(PROGRAM), str(self._theirs.fileno()), *modules]
            self._process = await asyncio.create_subprocess_exec(
                python,
                *arguments,
                env=dict(env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=[self._theirs.fileno()],
                start_new_session=True,
            )
        loop.add_reader(self._socket, self._receive)
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), 120)
        except (ServerGone, TimeoutError):
            self.close()
            words = errors.read_text(errors="replace").strip().splitlines()
            raise CannotStart(words[-1] if words else "it ended without a word") from None

    def launch(self, name: str, job: Mapping[str, object], out: int, err: int) -> Step:
        """Forks a step; closes the two descriptors once they are sent."""
        loop = asyncio.get_running_loop()
        step = Step(name, self, loop.create_future(), loop.create_future())
        self.steps[name] = step
        self.send({"id": name, "job": job}, (out, err))
        return step

    def send(self, message: dict[str, object], descriptors: tuple[int, ...] = ()) -> None:
        """Sends as soon as the socket takes it."""
        if self.gone:
            _close_all(descriptors)
            return
        self._outbox.append((json.dumps(message).encode() + b"\n", descriptors))
        self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._outbox:
            data, descriptors = self._outbox[0]
            try:
                sent = socket.send_fds(self._socket, [data], list(descriptors)) if descriptors else self._socket.send(data)
            except BlockingIOError:
                loop.add_writer(self._socket, self._flush)
                return
            except OSError:
                self._lost()
                return
            _close_all(descriptors)
            if sent < len(data):
                self._outbox[0] = (data[sent:], ())
            else:
                self._outbox.popleft()
        loop.remove_writer(self._socket)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._heard(json.loads(line))

    def _heard(self, message: dict[str, int | str]) -> None:
        if "ready" in message:
            if not self._ready.done():
                self._ready.set_result(int(message["ready"]))
            return
        step = self.steps.get(str(message["id"]))
        if step is None:
            return
        if "pid" in message:
            step.pid.set_result(int(message["pid"]))
        else:
            del self.steps[step.name]
            self.used = asyncio.get_running_loop().time()
            step.ended.set_result(Ended(int(message["status"]), int(message["peak"]), int(message["left"])))

    def _lost(self) -> None:
        """The server died: so did its steps (they are tied to it), and what they left is ended here."""
        if self.gone:
            return
        self.close()
        error = ServerGone(f"The process that ran the steps of environment {self.name} was ended from outside.")
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # also when nobody waits
        for step in self.steps.values():
            if step.pid.done() and not step.pid.cancelled():
                processes.kill_session(step.pid.result())
            for future in (step.pid, step.ended):
                if not future.done():
                    future.set_exception(error)
                    future.exception()
        self.steps.clear()

    def close(self) -> None:
        """Ends the server (and with it what it runs)."""
        if self.gone:
            return
        self.gone = True
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        self._socket.close()
        for _, descriptors in self._outbox:
            _close_all(descriptors)
        self._outbox.clear()

    async def wait(self) -> None:
        """Waits for the process to be gone, at most some seconds."""
        if self._process is None:
            return
        try:
            await asyncio.wait_for(self._process.wait(), 6)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


def _close_all(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class Pool:
    """Fork servers by environment. `most` idle ones are kept, each for `idle` seconds."""

    def __init__(self, folder: pathlib.Path, env: Mapping[str, str], *, most: int = 6, idle: float = 300.0) -> None:
        self._folder = folder
        self._env = dict(env)
        self._most, self._idle = most, idle
        self._servers: dict[str, asyncio.Task[ForkServer]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    async def get(self, name: str, python: str, modules: list[str]) -> ForkServer:
        """The server of an environment, started if need be. `name` is its key. Raises CannotStart."""
        task = self._servers.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception() or task.result().gone)):
            task = asyncio.create_task(self._start(name, python, modules))
            self._servers[name] = task
        return await asyncio.shield(task)

    def has(self, name: str) -> bool:
        """Whether an environment's server runs or is starting."""
        return name in self._servers

    async def plain(self) -> ForkServer:
        """The server for commands: it has imported nothing."""
        return await self.get("plain", sys.executable, [])

    async def _start(self, name: str, python: str, modules: list[str]) -> ForkServer:
        server = ForkServer(name)
        env = self._env | ({"_KFP_RUNTIME": "true"} if modules else {})
        await server.start(python, modules, env, self._folder / f"{name}.err")
        server.used = asyncio.get_running_loop().time()
        return server

    def tidy(self) -> None:
        """Ends servers that were idle for long, and the longest idle ones above the number that is kept."""
        now = asyncio.get_running_loop().time()
        idle = []
        for name, task in list(self._servers.items()):
            if not task.done():
                continue
            if task.cancelled() or task.exception() or task.result().gone:
                del self._servers[name]
            elif not task.result().steps and name != "plain":
                idle.append((task.result().used, name))
        idle.sort()
        for position, (used, name) in enumerate(idle):
            newest = position == len(idle) - 1  # stays: the next step will likely be one of its
            if (now - used > self._idle and not newest) or len(idle) - position > self._most:
                self._servers.pop(name).result().close()

    async def close(self) -> None:
        """Ends all of them and their steps."""
        servers = [
            task.result() for task in self._servers.values() if task.done() and not task.cancelled() and not task.exception()
        ]
        for server in servers:
            server.close()
        await asyncio.gather(*(server.wait() for server in servers))
