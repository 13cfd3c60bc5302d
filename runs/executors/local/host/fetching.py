"""Inputs that lie in other stores: copied next to the step before it starts, by a process of its own for each."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from runs.execution.amounts import size
from runs.execution.attempt import AttemptOrder
from runs.execution.locations import UnsafeLocation, inputs_elsewhere, inputs_in_workspace
from runs.executors.local.host.config import Config

_BETWEEN = 1.0  # seconds between two sentences on progress
_SOURCES = pathlib.Path(__file__).resolve().parents[4]


class FetchFailed(Exception):
    """An input could not be had. The message is for people."""


async def fetch_inputs(order: AttemptOrder, folder: pathlib.Path, config: Config, say: Callable[[str], None]) -> dict[str, str]:
    """URI → path of all inputs of other stores, fetched into `folder`; those for the run's workspace are put there.

    `say` is told the progress in words. Raises FetchFailed, and OSError where there is no room.
    """
    fetched = {}
    for number, uri in enumerate(inputs_elsewhere(order.executor_input)):
        path = folder / str(number) / _name(uri)
        await _fetch(uri, path, config, say)
        fetched[uri] = str(path)
    if order.workspace:
        workspace = config.workspaces / pathlib.PurePath(order.workspace).name
        try:
            wanted = inputs_in_workspace(order.executor_input, str(workspace))
        except UnsafeLocation as error:
            raise FetchFailed(str(error)) from None
        for uri, place in wanted.items():
            if not os.path.lexists(place):
                await _fetch(uri, pathlib.Path(place), config, say)
    return fetched


def _name(uri: str) -> str:
    """A file name like the URI's last segment, because programs look at the ending."""
    last = urlsplit(uri).path.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.-]", "_", last)[-100:].lstrip(".") or "data"


async def _fetch(uri: str, path: pathlib.Path, config: Config, say: Callable[[str], None]) -> None:
    say(f"fetching {uri}")
    program = [sys.executable, "-m", "runs.store", uri, str(path), "--artifacts", str(config.artifacts)]
    process = await asyncio.create_subprocess_exec(
        *program,
        f"--limit={config.output_bytes}",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(_SOURCES), os.environ.get("PYTHONPATH", "")]))},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout and process.stderr
    errors = asyncio.create_task(process.stderr.read())
    said = time.monotonic()
    try:
        async for line in process.stdout:
            if time.monotonic() - said > _BETWEEN:
                said = time.monotonic()
                say(f"fetching {uri}: {_progress(line)}")
        words = (await errors).decode(errors="replace").strip()
        status = await process.wait()
    finally:
        errors.cancel()
        if process.returncode is None:
            process.kill()
    if status:
        raise FetchFailed(
            f"An input could not be fetched. {words.splitlines()[-1] if words else f'Fetching {uri} ended with {status}.'}"
        )


def _progress(line: bytes) -> str:
    found = json.loads(line)
    done, total = size(found["done"]), found["total"]
    return f"{done} of {size(total)}" if total else done
