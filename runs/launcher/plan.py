"""From the order to what `entry` does: the argument list, folders, variables, limits."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from runs.execution.attempt import AttemptOrder
from runs.execution.locations import UnsafeLocation, container_path, in_container
from runs.execution.placeholders import substitute
from runs.launcher.volume import Plan, Volume

Json = Any


def make_plan(order: AttemptOrder, told: Mapping[str, Json], volume: Volume, packages: str, places: Sequence[str] = ()) -> Plan:
    """The plan for an order with its inputs in place; `places` are folders that every step finds, where it may make them.

    Raises PlaceholderError, UnsafeLocation, and OSError for the packages.
    """
    argv = substitute(order, in_container(order.executor_input), container_path)
    written = written_paths(order)
    plan = Plan(
        argv=argv,
        folders=list(dict.fromkeys([*(posixpath.dirname(path) for path in written), *places])),
        readable=written,
        timeout=order.timeout,
        grace=float(told.get("grace") or 30.0),
        log_bytes=int(told["limits"]["log_bytes"]),
        log_lines=int(told["limits"]["log_lines"]),
    )
    if told.get("packages") and any("kfp" in text for text in argv[:3]):
        from runs.launcher import overlay  # noqa: PLC0415  # what few steps need, no other waits for

        if overlay.lay(argv, packages, volume.packages):
            plan.append["PYTHONPATH"] = volume.packages
    return plan


def written_paths(order: AttemptOrder) -> list[str]:
    """Where the step writes what is collected: parameters, artifacts, the executor's own file. Raises UnsafeLocation."""
    outputs = order.executor_input.get("outputs", {})
    found = [parameter["outputFile"] for parameter in outputs.get("parameters", {}).values()]
    for listed in outputs.get("artifacts", {}).values():
        found += [path for artifact in listed["artifacts"] if (path := container_path(artifact["uri"]))]
    if outputs.get("outputFile"):
        found.append(outputs["outputFile"])
    if bad := next((path for path in found if ".." in path.split("/")), None):
        raise UnsafeLocation(f"The step cannot write to {bad!r}: it has '..' in it.")
    return found
