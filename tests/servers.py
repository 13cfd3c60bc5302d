"""PostgreSQL and Redis of a test's own, on free ports of this machine, gone with the `with` that they stand in."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import redis

from tests.running import wait_for


class NoServer(Exception):
    """A program that is not installed here; the message names it."""


@dataclass(frozen=True)
class Server:
    """A server that runs: where it is reached, and its first process."""

    url: str
    pid: int


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def postgresql(folder: pathlib.Path, *options: str) -> Iterator[Server]:
    """A PostgreSQL server with an empty database, its files in `folder`/postgresql; `options` such as `shared_buffers=256MB`.

    The folder must be one that the user `postgres` can enter. Raises NoServer.
    """
    programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    program = str(programs[-1]) if programs else shutil.which("pg_ctl")
    if program is None:
        raise NoServer("There is no PostgreSQL server here; install one (the package postgresql).")
    where, port = folder / "postgresql", free_port()
    where.mkdir()
    as_postgres: list[str] = []
    if os.getuid() == 0:
        shutil.chown(where, "postgres")
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    control = [*as_postgres, program, "-D", str(where / "data")]
    subprocess.run([*control, "init", "-s", "-o", "-N -A trust -U kfdash -E UTF8"], check=True, cwd=where)
    settings = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *options]
    told = " ".join(f"-c {setting}" for setting in settings)
    subprocess.run([*control, "start", "-w", "-s", "-l", str(where / "log"), "-o", told], check=True, cwd=where)
    try:
        pid = int((where / "data" / "postmaster.pid").read_text().splitlines()[0])
        yield Server(f"postgresql://kfdash@127.0.0.1:{port}/postgres", pid)
    finally:
        subprocess.run([*control, "stop", "-m", "immediate", "-s"], check=True, cwd=where)


@contextlib.contextmanager
def redis_server(folder: pathlib.Path, options: Sequence[str] = ()) -> Iterator[Server]:
    """An empty Redis that keeps nothing on disk. Raises NoServer."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise NoServer("There is no redis-server here; install one (the package redis-server).")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"

    def answers() -> bool:
        with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(url) as probe:
            return bool(probe.ping())
        return False

    try:
        if not wait_for(answers):
            raise NoServer(f"{program} does not answer on port {port}.")
        yield Server(url, process.pid)
    finally:
        process.terminate()
        process.wait()
