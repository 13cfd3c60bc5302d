"""Tasks of a run in dictionaries: the source for tests and for whatever needs no rows."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.spec import paths
from runs.engine.model import Attempt, Step, Task


class MemoryTasks:
    """A TaskSource that keeps what Steps changed."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.attempts: dict[tuple[str, int], Attempt] = {}
        self._unfinished: dict[str, None] = {}
        self._members: dict[str, list[str]] = {}

    def get(self, path: str) -> Task | None:
        """The task at a path, None where there is none."""
        return self.tasks.get(path)

    def prefetch(self, wanted: Iterable[str]) -> None:
        """Nothing to do: everything is here."""

    def children(self, path: str) -> list[Task]:
        """All direct children of a group, in the order in which they were made."""
        return [self.tasks[member] for member in self._members.get(path, ())]

    def unfinished(self) -> list[Task]:
        """All tasks that are not final."""
        return [self.tasks[path] for path in self._unfinished]

    def attempt(self, path: str) -> Attempt | None:
        """The newest attempt of a task."""
        task = self.tasks.get(path)
        return self.attempts.get((path, task.attempt)) if task else None

    def apply(self, step: Step) -> None:
        """Keeps what a step changed."""
        for path, task in step.tasks.items():
            if path not in self.tasks:
                self._members.setdefault(paths.parent(path), []).append(path)
            self.tasks[path] = task
            if task.state.is_final:
                self._unfinished.pop(path, None)
            else:
                self._unfinished[path] = None
        self.attempts.update(step.attempts)
