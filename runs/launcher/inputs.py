"""Fetches a step's input artifacts to where its container looks for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from runs.launcher import parallel
from runs.launcher.asking import Line, Refused, Unanswered

Json = Any

_AT_ONCE = 6  # files


class NotFetched(Exception):
    """An input cannot be had. The message is for people."""


def places(executor_input: Mapping[str, Json]) -> dict[str, str]:
    """URI → path of what has to be fetched before the step begins."""
    from runs.execution.locations import IN_WORKSPACE, artifact_path, container_path  # noqa: PLC0415  # see `sidecar`

    found: dict[str, str] = {}
    for listed in executor_input.get("inputs", {}).get("artifacts", {}).values():
        for artifact in listed.get("artifacts", []):
            uri = artifact.get("uri", "")
            path = artifact_path({**artifact, "customPath": ""}, container_path)
            in_workspace = (artifact.get("metadata") or {}).get(IN_WORKSPACE) is True
            if path and not uri.startswith("oci://") and not (in_workspace and os.path.exists(path)):
                found[uri] = path
    return found


def fetch(
    line: Line,
    wanted: Mapping[str, str],
    listed: Mapping[str, Sequence[Mapping[str, Json]]],
    problems: Mapping[str, str],
    progress: Callable[[int, int], None],
) -> None:
    """Fetches all files of all inputs; `progress(done, total)` is told of bytes. Raises NotFetched."""
    files: list[tuple[str, str, str]] = []  # address, path, URI
    total = done = 0
    for uri, path in wanted.items():
        if uri in problems:
            raise NotFetched(problems[uri])
        for entry in listed.get(uri, ()):
            if ".." in entry["name"].split("/"):
                raise NotFetched(f"The input {uri} has a file that leads out of it: {entry['name']!r}.")
            files.append((entry["url"], f"{path}/{entry['name']}" if entry["name"] else path, uri))
            total += max(int(entry["size"]), 0)

    def more(size: int) -> None:
        nonlocal done
        done += size
        progress(done, total)

    def one(file: tuple[str, str, str]) -> None:
        address, path, uri = file
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            line.fetch(address, lambda: _opened(path), more)
        except (Refused, Unanswered) as error:
            raise NotFetched(f"The input {uri} could not be fetched: {error}") from None
        except OSError as error:
            raise NotFetched(f"The input {uri} could not be stored at {path}: {error.strerror or error}.") from None

    parallel.each(files, one, _AT_ONCE)


def _opened(path: str) -> IO[bytes]:
    return open(path, "wb")  # noqa: SIM115  # whoever asked closes it
