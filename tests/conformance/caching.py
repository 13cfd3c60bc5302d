"""What must come from the cache when a pipeline is launched again with the same arguments."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import yaml

from tests.conformance.expected.model import Expected
from tests.conformance.seen import Seen


class Compiled:
    """A compiled package as YAML: which steps may come from the cache."""

    def __init__(self, package: pathlib.Path) -> None:
        documents = [one for one in yaml.safe_load_all(package.read_text()) if one]
        self.spec: dict[str, Any] = next(one for one in documents if "pipelineInfo" in one)

    def is_cacheable(self, path: str) -> bool:
        """Whether the task at a path has caching on, wherever it lies."""
        component = self.spec["root"]
        task: dict[str, Any] = {}
        for part in path.split("/"):
            task = component["dag"]["tasks"][unescaped(part.partition("[")[0])]
            component = self.spec["components"][task["componentRef"]["name"]]
        return bool(task.get("cachingOptions", {}).get("enableCache"))


def unescaped(key: str) -> str:
    """A task's key as it is in the document; in paths `/ [ ] %` are escaped."""
    for escape, character in (("%2F", "/"), ("%5B", "["), ("%5D", "]"), ("%25", "%")):
        key = key.replace(escape, character)
    return key


def compare_caching(passes: Sequence[Seen], compiled: Compiled, expected: Expected) -> None:
    """Raises AssertionError where a step was cached that must not be, or the other way round, or with other outputs."""
    first, second, third = passes
    assert not [path for path in first.steps() if "/" not in path and first.is_cached(path)], "the cache was off for these"
    for path, step in third.steps().items():
        before = second.tasks.get(path)
        if not compiled.is_cacheable(path) or step["kind"] != "container":
            assert not third.is_cached(path), f"{path} is compiled without cache"
        elif step["state"] == "SUCCEEDED" and before and before["state"] == "SUCCEEDED" and _given(before) == _given(step):
            assert third.is_cached(path), f"{path}\n{third.story}"
            assert _made(before) == _made(step), path
    if not expected.by_chance and all(map(compiled.is_cacheable, third.steps())):
        assert _made(second.tasks[""]) == _made(third.tasks[""])


def _given(task: dict[str, Any]) -> Any:
    values = task.get("inputs") or {}
    return values.get("parameters", {}), _ids(values)


def _made(task: dict[str, Any]) -> Any:
    values = task.get("outputs") or {}
    return values.get("parameters", {}), _ids(values)


def _ids(values: dict[str, Any]) -> dict[str, list[int]]:
    return {name: [one["id"] for one in every] for name, every in values.get("artifacts", {}).items()}
