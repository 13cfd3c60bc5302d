"""After the step: reads what it left, has custom paths copied, sends artifacts to where they are stored."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runs.engine.values import Values
from runs.execution.attempt import AttemptOrder
from runs.execution.collect import EXECUTOR_OUTPUT_LIMIT, PARAMETER_LIMIT, OutputsInvalid, collect
from runs.execution.locations import IN_WORKSPACE, UnsafeLocation, container_path, out_of_container
from runs.launcher import parallel
from runs.launcher.asking import Line, Refused
from runs.launcher.volume import Volume, opened, records

Json = Any

_AT_ONCE = 4  # files
_COPYING = 3600.0  # seconds that `entry` may take to copy custom paths


class NotStored(Exception):
    """The outputs cannot be stored. The message is for people."""


def gather(order: AttemptOrder) -> Values:
    """What the step gave, by its files. Raises OutputsInvalid."""
    outputs = order.executor_input.get("outputs", {})
    files = outputs.get("parameters", {})
    return collect(
        order,
        _read(outputs.get("outputFile", ""), EXECUTOR_OUTPUT_LIMIT),
        lambda name: _read(files.get(name, {}).get("outputFile", ""), PARAMETER_LIMIT),
        canonical=out_of_container,
    )


def _read(path: str, limit: int) -> bytes | None:
    """A file's content, at most one byte more than the limit; None where there is no such file."""
    try:
        with opened(path, path) as file:
            return file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise OutputsInvalid(f"The file {path} that the step wrote cannot be read: {error.strerror}.") from None


def store(line: Line, order: AttemptOrder, values: Values, volume: Volume, limit: int, alive: Callable[[], bool]) -> None:
    """Stores all files of all output artifacts; `limit` in bytes. Raises OutputsInvalid, NotStored, Unanswered."""
    files: list[tuple[tuple[str, str], dict[str, Json]]] = []
    for name, path, uri in _places(order, values, volume, alive):
        for inside, full, size in _files(path):
            files.append(((full, path), {"uri": uri, "name": inside, "size": size}))
        if sum(entry["size"] for _, entry in files) > limit:
            raise NotStored(f"Its outputs have more than {limit:,} bytes (with {name!r}), the most that a step may write.")
    if not files:
        return
    try:
        urls = _addresses(line, [entry for _, entry in files])
        parallel.each(zip(urls, files, strict=True), lambda job: _send(line, job[0], *job[1]), _AT_ONCE)
    except Refused as refused:
        raise NotStored(f"Its outputs could not be stored: {refused}") from None
    except OSError as error:
        raise NotStored(f"Its outputs could not be read: {error.strerror or error} ({error.filename}).") from None


def _addresses(line: Line, files: list[dict[str, Json]]) -> list[str]:
    """Where each file is to be put. Raises Refused, Unanswered."""
    answer = line.call("POST", "/v1/uploads", {"files": files})
    urls = answer.get("urls") if isinstance(answer, dict) else None
    if not isinstance(urls, list) or len(urls) != len(files) or not all(isinstance(url, str) for url in urls):
        raise Refused(502, "the answer has not an address for each file.")
    return urls


def _send(line: Line, url: str, place: tuple[str, str], entry: Mapping[str, Json]) -> None:
    line.send(url, lambda: opened(*place), entry["size"])


def _places(order: AttemptOrder, values: Values, volume: Volume, alive: Callable[[], bool]) -> Iterator[tuple[str, str, str]]:
    """Name, path as it can be read here, and URI of each output that may have files."""
    predefined = order.executor_input.get("outputs", {}).get("artifacts", {})
    custom: dict[str, str] = {}
    found = []
    for name, listed in values.artifacts.items():
        own = [artifact["uri"] for artifact in predefined.get(name, {}).get("artifacts", [])]
        for value in listed:
            if value["metadata"].get(IN_WORKSPACE) is True:
                continue  # it lies where it stays
            try:
                path = container_path(value["uri"])
            except UnsafeLocation as error:
                raise OutputsInvalid(str(error)) from None
            if path is None or value["uri"].startswith(("/", "oci://")):
                continue  # elsewhere: registered as it is
            chosen = bool(value["custom_path"]) and value["custom_path"] != path
            if not chosen and not any(value["uri"] == uri or value["uri"].startswith(f"{uri.rsplit('/', 1)[0]}/") for uri in own):
                continue
            there = value["custom_path"] if chosen else path
            if chosen or os.path.realpath(path) != path:  # where a link leads is known to the step's container only
                there = custom.setdefault(there, f"{volume.out}/{len(custom)}")
            found.append((name, there, value["uri"]))
    if custom:
        _copy(custom, volume, alive)
    yield from found


def _copy(custom: Mapping[str, str], volume: Volume, alive: Callable[[], bool]) -> None:
    """Has `entry` copy from its own container what we cannot see."""
    volume.write("copyout", records([text for pair in custom.items() for text in (f"F{pair[0]}", f"T{pair[1]}")]))
    until = time.monotonic() + _COPYING
    while (answer := volume.read("copied")) is None:
        if time.monotonic() > until or not alive():
            raise NotStored("Its outputs at custom paths could not be copied in time.")
        time.sleep(0.01)
    for path, why in (json.loads(answer).get("errors") or {}).items():
        raise OutputsInvalid(f"An output could not be copied from its custom path {path}: {why}")


def _files(path: str) -> Iterator[tuple[str, str, int]]:
    """Name within the artifact, path and bytes of each file; a link is followed where it stays within."""
    if _is_file(path):
        yield "", path, os.path.getsize(path)
        return
    top = os.path.realpath(path)
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            full = os.path.join(folder, name)
            if _is_file(full) and os.path.realpath(full).startswith(top + os.sep):
                yield os.path.relpath(full, path), full, os.path.getsize(full)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
