"""Fetches a step's input artifacts to where its container looks for them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Any

from runs.launcher.asking import Line, Refused, Unanswered

Json = Any

_AT_ONCE = 6  # files


class NotFetched(Exception):
    """An input cannot be had. The message is for people."""


@dataclass
class Wanted:
    """Where inputs go: URI → the paths at which they are to lie, and what `entry` copies to its place."""

    places: dict[str, str] = field(default_factory=dict)
    copies: list[tuple[str, str]] = field(default_factory=list)


def wanted(executor_input: Mapping[str, Json], inside: pathlib.Path) -> Wanted:
    """What has to be fetched, and to where. One with a custom path is fetched into `inside`: it may lie anywhere in the image."""
    from runs.execution.locations import IN_WORKSPACE, artifact_path, container_path  # noqa: PLC0415  # see `sidecar`

    found = Wanted()
    for listed in executor_input.get("inputs", {}).get("artifacts", {}).values():
        for artifact in listed.get("artifacts", []):
            uri = artifact.get("uri", "")
            path = artifact_path(artifact, container_path)
            in_workspace = (artifact.get("metadata") or {}).get(IN_WORKSPACE) is True
            if not path or uri in found.places or uri.startswith("oci://") or (in_workspace and os.path.exists(path)):
                continue
            if artifact.get("customPath"):
                beside = str(inside / str(len(found.copies)))
                found.copies.append((beside, path))
                path = beside
            found.places[uri] = path
    return found


def fetch(
    line: Line,
    places: Mapping[str, str],
    listed: Mapping[str, Sequence[Mapping[str, Json]]],
    problems: Mapping[str, str],
    progress: Callable[[int, int], None],
) -> None:
    """Fetches all files of all inputs; `progress(done, total)` is told of bytes. Raises NotFetched."""
    files: list[tuple[str, str, str]] = []  # address, path, URI
    total = done = 0
    for uri, path in places.items():
        if uri in problems:
            raise NotFetched(problems[uri])
        for entry in listed.get(uri, ()):
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

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for _ in threads.map(one, files):
            pass


def _opened(path: str) -> IO[bytes]:
    return open(path, "wb")  # noqa: SIM115  # whoever asked closes it
