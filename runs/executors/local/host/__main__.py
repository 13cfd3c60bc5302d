"""`python -m runs.executors.local.host`: runs a local installation's steps until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import pathlib
import signal
import sys

from runs.executors.local.host import processes, records
from runs.executors.local.host.config import Config, default_places
from runs.executors.local.host.server import Host

_MIB = 1024 * 1024


def parse(arguments: list[str] | None = None) -> Config:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m runs.executors.local.host", description="Runs the steps of a local kfdash.")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="attempts, environments and workspaces")
    parser.add_argument("--socket", type=pathlib.Path, required=True, help="where to listen; a path of at most about 100 bytes")
    parser.add_argument("--artifacts", type=pathlib.Path, required=True, help="the artifact store's folder")
    parser.add_argument("--logs", type=pathlib.Path, required=True, help="the log store's folder")
    parser.add_argument("--steps-at-once", type=int, default=0, help=f"default: {default_places()}, by the number of cores")
    parser.add_argument("--log-limit", type=int, default=200, help="MiB of one step's log")
    parser.add_argument("--log-lines", type=int, default=2_000_000, help="lines of one step's log")
    parser.add_argument("--output-limit", type=int, default=20 * 1024, help="MiB that one step may write")
    parser.add_argument("--process-limit", type=int, default=4096, help="processes that one step may have")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument("--idle", type=float, default=300.0, help="seconds until a warm process that is not used ends")
    parser.add_argument("--pass", dest="pass_on", default="", help="names of own environment variables for steps, with commas")
    given = parser.parse_args(arguments)
    return Config(
        folder=given.folder.resolve(),
        socket=given.socket,
        artifacts=given.artifacts.resolve(),
        logs=given.logs.resolve(),
        places=given.steps_at_once if given.steps_at_once > 0 else default_places(),
        log_bytes=given.log_limit * _MIB,
        log_lines=given.log_lines,
        output_bytes=given.output_limit * _MIB,
        most_processes=given.process_limit,
        grace=given.grace,
        idle=given.idle,
        pass_on=tuple(name.strip() for name in given.pass_on.split(",") if name.strip()),
    )


async def run(config: Config) -> None:
    """Until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    host = Host(config)
    host.recover()
    server = await host.serve(config.socket)
    tasks = [asyncio.create_task(host.warm_up()), asyncio.create_task(host.tend()), asyncio.create_task(host.count())]
    await over.wait()
    for task in tasks:
        task.cancel()
    server.close()
    config.socket.unlink(missing_ok=True)
    await host.close()


def main() -> int:
    """The program; returns its exit code."""
    config = parse()
    processes.adopt_orphans()
    try:
        for folder in (config.folder, config.artifacts, config.logs, config.socket.parent):
            folder.mkdir(parents=True, exist_ok=True)
        held = records.lock(config.folder)
    except records.Taken as error:
        print(f"kfdash host: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"kfdash host: {error.filename} cannot be used: {error.strerror}.", file=sys.stderr)
        return 2
    try:
        asyncio.run(run(config))
    except OSError as error:
        print(f"kfdash host: {config.socket}: {error}.", file=sys.stderr)
        return 2
    finally:
        records.unlock(held)
    return 0


if __name__ == "__main__":
    sys.exit(main())
