"""Before and after a step: its folders, its localised input, and what it left in its output files."""

from __future__ import annotations

import os
import pathlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runs.engine.model import Values
from runs.execution import collect, locations, placeholders
from runs.execution.amounts import size
from runs.execution.attempt import AttemptOrder
from runs.execution.order import attempt_name
from runs.executors.local.host.config import Config
from runs.executors.local.host.records import Record
from runs.executors.local.host.stepenv import folders

Json = Any


class OutputTooLarge(ValueError):
    """The step wrote more than it may. The message is for people."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A step that can be run: its argument list and where its outputs will be."""

    argv: list[str]
    localised: Mapping[str, Json]
    workspace: str

    @property
    def output_paths(self) -> list[str]:
        """Where output artifacts are expected."""
        listed = self.localised.get("outputs", {}).get("artifacts", {}).values()
        return [artifact["uri"] for entry in listed for artifact in entry["artifacts"]]


def prepare(order: AttemptOrder, record: Record, config: Config, fetched: Mapping[str, str] | None = None) -> Prepared:
    """The argument list; makes nothing yet. Raises UnsafeLocation, PlaceholderError."""
    workspace = str(config.workspaces / pathlib.PurePath(order.workspace).name) if order.workspace else ""
    localised = locations.localise(
        order.executor_input,
        str(config.artifacts),
        outputs_dir=folders(record)["outputs"],
        workspace_dir=workspace,
        fetched=fetched,
    )
    constants = order.placeholders
    if workspace:
        constants = {name: locations.workspace_moved(value, workspace) for name, value in constants.items()}

    def locate(uri: str) -> str | None:
        return uri if uri.startswith("/") else locations.container_path(uri)

    argv = placeholders.arguments([*order.command, *order.args], localised, constants, locate)
    return Prepared(argv, localised, workspace)


def make_folders(order: AttemptOrder, prepared: Prepared, record: Record) -> None:
    """The step's own folders and those of its outputs; what an earlier attempt left there is removed. Raises OSError.

    Only the working folder goes from attempt to attempt: a step that keeps its place there can go on.
    """
    if order.number > 1:
        record.take_home(Record(record.folder.with_name(attempt_name(order.run_id, order.path, order.number - 1))))
    for name, folder in folders(record).items():
        if name != "outputs":  # made below, where there are any
            os.makedirs(folder, exist_ok=True)
    if prepared.workspace:
        os.makedirs(prepared.workspace, exist_ok=True)
    outputs = prepared.localised.get("outputs", {})
    for parameter in outputs.get("parameters", {}).values():
        os.makedirs(os.path.dirname(parameter["outputFile"]), exist_ok=True)
    for path in prepared.output_paths:
        _remove(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
    if "outputFile" in outputs:
        _remove(outputs["outputFile"])
        os.makedirs(os.path.dirname(outputs["outputFile"]), exist_ok=True)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def gather(order: AttemptOrder, prepared: Prepared, config: Config) -> Values:
    """The outputs of a step that ended well, artifacts in their places. Raises OutputsInvalid, OutputTooLarge, OSError."""
    outputs = prepared.localised.get("outputs", {})
    files = outputs.get("parameters", {})
    artifacts_dir = str(config.artifacts)
    values = collect.collect(
        order,
        _read(outputs.get("outputFile", ""), collect.EXECUTOR_OUTPUT_LIMIT),
        lambda name: _read(files.get(name, {}).get("outputFile", ""), collect.PARAMETER_LIMIT),
        canonical=lambda location: locations.canonical_uri(location, artifacts_dir),
    )
    for name, listed in values.artifacts.items():
        for value in listed:
            if value["uri"].startswith(locations.STORE):
                _place(name, value["custom_path"], locations.local_path(value["uri"], artifacts_dir))
    total = measure(prepared.output_paths)
    if total > config.output_bytes:
        raise OutputTooLarge(f"Its outputs have {size(total)}; the most that a step may write is {size(config.output_bytes)}.")
    if prepared.workspace:
        return Values(locations.workspace_moved(dict(values.parameters), prepared.workspace, back=True), values.artifacts)
    return values


def _place(name: str, custom: str, path: str) -> None:
    """Copies what a step wrote elsewhere to the artifact's place in the store."""
    if not custom or custom == path:
        return
    try:
        if os.path.isdir(custom):
            shutil.copytree(custom, path, dirs_exist_ok=True)
        elif os.path.isfile(custom):
            shutil.copyfile(custom, path)
    except (OSError, shutil.Error) as error:
        raise collect.OutputsInvalid(f"The output '{name}' could not be copied from its custom path {custom}: {error}") from None


def _read(path: str, limit: int) -> bytes | None:
    """A file's content, at most one byte more than the limit; None where there is no such file."""
    try:
        # Without waiting for somebody to write into a named pipe that a step left there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit + 1)


def measure(paths: list[str], *, most_time: float = 5.0) -> int:
    """Bytes of files and folders; stops counting after some seconds."""
    total = 0
    until = time.monotonic() + most_time
    waiting = list(paths)
    while waiting and time.monotonic() < until:
        path = waiting.pop()
        try:
            if not os.path.isdir(path) or os.path.islink(path):
                total += os.lstat(path).st_size
                continue
            waiting += [entry.path for entry in os.scandir(path)]
        except OSError:
            continue
    return total
