"""Environments: what a step's command would have installed, built once with uv and kept by a hash of what was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import uv

Installs = tuple[tuple[str, ...], ...]
_USED = "last-used"
_WORDS = 12  # last lines of uv that explain a failure
_LIMIT = 3600.0  # seconds for one build


@dataclass(frozen=True, slots=True)
class Environment:
    """A finished environment."""

    key: str
    folder: pathlib.Path

    @property
    def bin(self) -> str:
        """The folder of its programs."""
        return str(self.folder / "bin")

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python3")


class BuildFailed(Exception):
    """An environment could not be made; the message has uv's last words."""


@dataclass(slots=True)
class Build:
    """A build under way: who waits hears its lines."""

    began: float
    task: asyncio.Task[Environment]
    listeners: list[Callable[[str], None]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """A line of progress."""
        self.lines.append(line)
        for listener in self.listeners:
            listener(line)


class Environments:
    """All environments of an installation, in one folder. `at_once` are built at a time."""

    def __init__(self, folder: pathlib.Path, env: Mapping[str, str], *, at_once: int = 2) -> None:
        self._folder = folder
        self._env = _for_uv(env)
        self._builds: dict[str, Build] = {}
        self._places = asyncio.Semaphore(at_once)
        self._clean()

    def _clean(self) -> None:
        """Removes what a build that was cut off left."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for entry in self._folder.glob("*.building"):
            shutil.rmtree(entry, ignore_errors=True)

    def key(self, installs: Installs | None) -> str:
        """The name of the environment for these installs."""
        asked = json.dumps([sys.version_info[:3], sys.base_prefix, installs])
        return hashlib.sha256(asked.encode()).hexdigest()[:24]

    def ready(self, installs: Installs | None) -> Environment | None:
        """The environment, if it exists."""
        environment = Environment(self.key(installs), self._folder / self.key(installs))
        return environment if os.path.exists(environment.python) else None

    def used(self, environment: Environment) -> None:
        """Notes that an interpreter of it was started."""
        with contextlib.suppress(OSError):
            (environment.folder / _USED).touch()

    def newest(self) -> Environment | None:
        """The environment that was used last."""
        found = []
        for mark in self._folder.glob(f"*/{_USED}"):
            with contextlib.suppress(OSError):
                found.append((mark.stat().st_mtime, mark.parent))
        if not found:
            return None
        folder = max(found)[1]
        return Environment(folder.name, folder)

    def build(self, installs: Installs | None) -> Build:
        """Builds one, or joins the build that is under way. Its task raises BuildFailed."""
        key = self.key(installs)
        build = self._builds.get(key)
        if build is None:
            build = Build(time.monotonic(), asyncio.create_task(self._run(key, installs or ())))
            self._builds[key] = build
            build.task.add_done_callback(lambda _: self._builds.pop(key, None))
        return build

    async def _run(self, key: str, installs: Installs) -> Environment:
        async with self._places:
            await asyncio.sleep(0)  # the first listener is there
            say = self._builds[key].say
            finished, building = self._folder / key, self._folder / f"{key}.building"
            shutil.rmtree(building, ignore_errors=True)
            python = str(building / "bin" / "python3")
            try:
                program = await self._bare(building, installs, say)
                for install in installs:
                    await self._uv([program, "pip", "install", "--python", python, *install], say)
                # Of large packages a step uses a part, and compiles that when it first imports it; all of it takes seconds.
                for package in building.glob("lib/python*/site-packages/kfp"):
                    await self._uv([python, "-m", "compileall", "-q", str(package)], say)
                os.rename(building, finished)
            except OSError as error:
                raise BuildFailed(f"The environment could not be stored: {error.strerror}.") from None
            finally:
                shutil.rmtree(building, ignore_errors=True)
            return Environment(key, finished)

    async def _bare(self, building: pathlib.Path, installs: Installs, say: Callable[[str], None]) -> str:
        """Makes an environment without packages; returns the program uv. A command may well need no Python at all: where
        nothing is to be installed it does without pip, and without uv. Raises BuildFailed.
        """
        try:
            program = find_uv()
        except BuildFailed as error:
            if installs:
                raise
            say(f"Without pip. {error}")
            await self._uv([sys.executable, "-m", "venv", "--without-pip", str(building)], say)
            return ""
        # Relocatable: it is renamed when complete.
        venv = ["venv", "--quiet", "--relocatable", "--python", sys.executable, str(building)]
        try:
            await self._uv([program, *venv, "--seed"], say)
        except BuildFailed:
            if installs:
                raise
            say("Without pip, for it cannot be had now.")
            await self._uv([program, *venv, "--clear"], say)
        return program

    async def _uv(self, command: Sequence[str], say: Callable[[str], None]) -> None:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=1024 * 1024,
        )
        last: list[str] = []
        assert process.stdout
        try:
            async with asyncio.timeout(_LIMIT):
                async for data in process.stdout:
                    line = data.decode(errors="replace").rstrip()
                    if line and not line.startswith("Using Python "):
                        say(line)
                        last = [*last[-_WORDS + 1 :], line.strip()]
                status = await process.wait()
        except TimeoutError:
            raise BuildFailed(f"Installing took longer than {_LIMIT / 60:.0f} minutes.") from None
        finally:
            if process.returncode is None:
                process.kill()
        if status:
            raise BuildFailed(_reason(last))

    async def close(self) -> None:
        """Ends what is being built."""
        tasks = [build.task for build in self._builds.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reason(last: Sequence[str]) -> str:
    """uv's last words as one text: from its first mark of an error on."""
    begin = next((i for i, line in enumerate(last) if line.startswith(("×", "error", "Error"))), 0)
    words = " ".join(line.lstrip("×╰─▶│├ ") for line in last[begin:])
    return words[:1500] or "uv ended without a word"


def find_uv() -> str:
    """Where uv is. Raises BuildFailed."""
    try:
        return str(uv.find_uv_bin())
    except FileNotFoundError:
        found = shutil.which("uv")
    if not found:
        raise BuildFailed("The program uv was not found; install it with: pip install uv.")
    return found


def _for_uv(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for uv: what pip was told about indexes and certificates holds for it too."""
    found = dict(env) | {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": env.get("UV_NO_CONFIG", "0")}
    pairs = {
        "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
        "PIP_EXTRA_INDEX_URL": "UV_INDEX",
        "PIP_FIND_LINKS": "UV_FIND_LINKS",
        "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
        "PIP_CERT": "SSL_CERT_FILE",
    }
    for name, ours in pairs.items():
        if env.get(name) and ours not in env:
            found[ours] = env[name]
    return found
