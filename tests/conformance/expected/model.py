"""What can be expected of a run, and how it is compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.conformance.seen import Seen

Check = Callable[[Seen], None]


@dataclass(frozen=True)
class Expected:
    """How a run of a pipeline ends. Paths are without `root/`; the root's own is empty. `[*]` stands for every iteration.

    A key of `values`, `texts` or `metadata` is a path, a dot and an output's name. With `[*]` in it the value is a list over
    the iterations, in order; `texts` and `printed` are one flat list of texts and lines always.
    """

    ran: Mapping[str, int] | None  # key of a step → how many were run or taken from the cache; None: see `check`
    state: str = "SUCCEEDED"
    arguments: Mapping[str, Any] = field(default_factory=dict)  # "{folder}" in a text: a folder of this launch
    values: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, list[str]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)  # path → input parameters among others
    printed: Mapping[str, list[str]] = field(default_factory=dict)  # what the user's code wrote to its standard output
    skipped: tuple[str, ...] | None = ()  # every task that was skipped, groups too; None: see `check`
    failed: tuple[str, ...] = ()  # every step that failed
    attempts: Mapping[str, int] = field(default_factory=dict)  # of steps that do not have exactly one
    after: Mapping[str, str] = field(default_factory=dict)  # path → path that ended before it began
    limits: Mapping[str, int] = field(default_factory=dict)  # path of a loop → iterations at once
    check: Check | None = None  # what else must hold
    passes: int = 3  # from the package, from the uploaded version, from it again
    by_chance: bool = False  # outputs differ from launch to launch

    def compare(self, seen: Seen) -> None:
        """Raises AssertionError at the first thing that is not as expected."""
        assert seen.state == self.state, seen.story
        if self.ran is not None:
            assert seen.ran() == self.ran, seen.story
        if self.skipped is not None:
            assert seen.in_state("SKIPPED") == _matching(seen, self.skipped), seen.story
        assert seen.failed() == _matching(seen, self.failed), seen.story
        self._compare_outputs(seen)
        self._compare_steps(seen)
        if self.check is not None:
            self.check(seen)

    def _compare_outputs(self, seen: Seen) -> None:
        for key, value in self.values.items():
            path, name = _split(key)
            found = [seen.value(one, name) for one in seen.paths(path)]
            assert found == (value if "[*]" in path else [value]), f"{key}: {found!r}\n{seen.story}"
        for key, texts in self.texts.items():
            path, name = _split(key)
            found = [text for one in seen.paths(path) for text in seen.texts(one, name)]
            assert found == texts, f"{key}: {found!r}\n{seen.story}"
        for key, metadata in self.metadata.items():
            path, name = _split(key)
            found = [each.get("metadata", {}) for one in seen.paths(path) for each in seen.artifacts(one, name)]
            assert found == (metadata if isinstance(metadata, list) else [metadata]), f"{key}\n{seen.story}"

    def _compare_steps(self, seen: Seen) -> None:
        for path, inputs in self.inputs.items():
            found = seen.inputs(path)
            assert {name: found.get(name) for name in inputs} == inputs, f"{path}: {found}"
        for pattern, lines in self.printed.items():
            paths = seen.paths(pattern)
            assert paths, f"{pattern}\n{seen.story}"
            if not any(seen.is_cached(path) for path in paths):
                found = [line for path in paths for line in seen.printed(path)]
                assert found == lines, f"{pattern}: {found}\n{seen.story}"
        for path, one in seen.steps().items():
            if one["state"] in ("SUCCEEDED", "FAILED") and one["kind"] == "container" and not seen.is_cached(path):
                assert len(one.get("attempts", [])) == self.attempts.get(path, 1), f"{path}\n{seen.story}"
        for later, earlier in self.after.items():
            for path in seen.paths(later):
                before = max(at(seen, one, "finished_at") for one in seen.paths(earlier) if _same_iteration(one, path))
                assert before <= at(seen, path, "ready_at"), f"{path} began before {earlier} ended"
        for loop, limit in self.limits.items():
            for path in seen.paths(loop):
                assert _most_at_once(seen, f"{path}[*]") <= limit, path


def _split(key: str) -> tuple[str, str]:
    path, _, name = key.rpartition(".")
    return path, name


def _matching(seen: Seen, patterns: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        matching = seen.paths(pattern)
        assert matching, f"Nothing is called {pattern}.\n{seen.story}"
        found.update(matching)
    return found


def at(seen: Seen, path: str, name: str) -> datetime:
    """A time of a task; that of its end where it has no such time."""
    task = seen.tasks[path]
    return datetime.fromisoformat(task.get(name) or task["finished_at"])


def _same_iteration(one: str, other: str) -> bool:
    """Whether a task lies in the group, or in the iteration, that the other lies in."""
    return other.startswith(one.rpartition("/")[0])


def _most_at_once(seen: Seen, pattern: str) -> int:
    """How many tasks were under way at the same time, at most."""
    moments = []
    for path in seen.paths(pattern):
        below = [one for one in seen.steps() if one.startswith(f"{path}/")]
        begun, ended = min(at(seen, one, "started_at") for one in below), max(at(seen, one, "finished_at") for one in below)
        moments += [(begun, 1), (ended, -1)]
    most = count = 0
    for _, change in sorted(moments):
        count += change
        most = max(most, count)
    return most
