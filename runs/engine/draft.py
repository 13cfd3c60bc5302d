"""The working copy of a run during one `advance`: what changed lies over what the source has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from datetime import datetime
from enum import Enum
from operator import attrgetter
from typing import Any

from pipelines.spec import paths
from pipelines.spec.model import ROOT
from runs.engine.again import Earlier
from runs.engine.model import Attempt, Event, Order, Run, Snapshot, State, Step, Task, Values
from runs.engine.places import Places
from runs.engine.record import difference, with_difference, with_others
from runs.engine.transitions import check_move

Json = Any

_FIELDS = {field.name: position for position, field in enumerate(fields(Task))}
_VALUES = attrgetter(*_FIELDS)

_VERBS = {
    State.RUNNING: "started",
    State.SUCCEEDED: "succeeded",
    State.SKIPPED: "skipped",
    State.FAILED: "failed",
    State.CANCELING: "canceling",
    State.CANCELED: "canceled",
}


def _changed(task: Task, changes: dict[str, Any]) -> Task:
    """What `dataclasses.replace` gives, in half the time: most of the engine's work is this."""
    values = list(_VALUES(task))
    for name, value in changes.items():
        values[_FIELDS[name]] = value
    return Task(*values)


class Then(Enum):
    """What is to be looked at next, for a path."""

    READY = "ready"  # nothing is waited for any more
    ENDED = "ended"  # it is final: tell the parent and the dependants
    ITERATE = "iterate"  # a loop may begin iterations


class Draft:
    """Everything one `advance` knows and changes. `run` is the run as it is now."""

    def __init__(self, snapshot: Snapshot, now: datetime) -> None:
        self.run: Run = snapshot.run
        self.spec = snapshot.spec
        self.now = now
        self.places = Places(snapshot.spec)
        self.earlier = Earlier(snapshot.again) if snapshot.again is not None else None
        self.agenda: deque[tuple[Then, str]] = deque()
        self.startable: dict[str, None] = {}  # leaf tasks to look at when orders are decided, in order
        self.orders: list[Order] = []
        self._source = snapshot.tasks
        self._tasks: dict[str, Task] = {}
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._newest: dict[str, Attempt] = {}
        self._events: list[Event] = []
        self._created: set[str] = set()
        self._told: dict[str, Task] = {}  # as the events have it so far

    # --- reading ---

    def find(self, path: str) -> Task | None:
        """The task as it is now, None where there is none."""
        return self._tasks.get(path) or self._source.get(path)

    def get(self, path: str) -> Task:
        """The task as it is now. Raises KeyError where there is none."""
        task = self.find(path)
        if task is None:
            raise KeyError(f"The run {self.run.id} has no task at {path}.")
        return task

    def prefetch(self, wanted: Iterable[str]) -> None:
        """Says that these paths will be asked for."""
        self._source.prefetch([path for path in wanted if path not in self._tasks])

    def children(self, group: Task, wanted: list[str]) -> list[Task]:
        """The children of a group at the paths `wanted`, in that order; those that do not exist are left out."""
        missing = [path for path in wanted if path not in self._tasks]
        stored = {task.path: task for task in self._source.children(group.path)} if missing else {}
        found = (self._tasks.get(path) or stored.get(path) for path in wanted)
        return [task for task in found if task is not None]

    def unfinished(self) -> Iterator[Task]:
        """All tasks that are not final now."""
        seen = set()
        for stored in list(self._source.unfinished()):
            seen.add(stored.path)
            task = self._tasks.get(stored.path, stored)
            if not task.state.is_final:
                yield task
        for task in list(self._tasks.values()):
            if task.path not in seen and not task.state.is_final:
                yield task

    def attempt(self, path: str) -> Attempt | None:
        """The newest attempt of a task."""
        return self._newest.get(path) or self._source.attempt(path)

    @property
    def held(self) -> bool:
        """Whether nothing new may be started: paused, and nobody wants it to end."""
        return self.run.paused and not self.run.stop

    # --- changing ---

    def create(self, task: Task) -> None:
        """Adds a new task."""
        self._tasks[task.path] = task
        self._created.add(task.path)

    def change(self, task: Task, **fields: Any) -> Task:
        """Changes anything but the state."""
        self._tasks[task.path] = changed = _changed(task, fields)
        return changed

    def move(self, task: Task, state: State, *, at: datetime | None = None, **fields: Any) -> Task:
        """Changes the state, as the table allows, and tells it. Raises InvalidTransition."""
        check_move(task, state)
        fields["state"] = state
        self._tasks[task.path] = changed = _changed(task, fields)
        self._tell_move(changed, at)
        return changed

    def end(self, task: Task, state: State, *, at: datetime | None = None, **fields: Any) -> Task:
        """Moves a task to a final state; parent and dependants are looked at afterwards."""
        outcome = {"reason": "", "cause": "", **fields}
        ended = self.move(
            task, state, at=at, finished_at=at or self.now, under_way=False, attention=False, retry_at=None, **outcome
        )
        self.agenda.append((Then.ENDED, task.path))
        return ended

    def succeed(self, task: Task, outputs: Values, *, at: datetime | None = None, **fields: Any) -> Task:
        """Ends a task well."""
        return self.end(task, State.SUCCEEDED, at=at, outputs=outputs, culprit="", **fields)

    def fail(self, task: Task, reason: str, cause: str, *, at: datetime | None = None, culprit: str = "") -> Task:
        """Ends a task badly, with a sentence; the culprit is itself unless another path is given."""
        return self.end(task, State.FAILED, at=at, reason=reason, cause=cause, culprit=culprit or task.path)

    def put_attempt(self, attempt: Attempt) -> None:
        """Adds or changes an attempt."""
        self._attempts[attempt.path, attempt.number] = attempt
        self._newest[attempt.path] = attempt

    def tell(self, kind: str, path: str, /, *, at: datetime | None = None, attempt: int = 0, **data: Json) -> None:
        """Adds an event, with what is new of its task; data that is empty is left out."""
        event = Event(kind, path, at or self.now, attempt, {key: value for key, value in data.items() if value})
        self._events.append(with_difference(event, self._new_of(path)))

    def step(self) -> Step:
        """What this draft changed."""
        self._tell_the_rest()
        return Step(self.run, dict(self._tasks), dict(self._attempts), tuple(self._events), tuple(self.orders))

    def _new_of(self, path: str) -> dict[str, Any]:
        """What no event has said yet of a task."""
        task = self._tasks.get(path)
        if task is None:
            return {}
        told = self._told.get(path)
        if told is None and path not in self._created:
            told = self._source.get(path)
        self._told[path] = task
        return difference(told, task) if told is not task else {}

    def _tell_the_rest(self) -> None:
        """What has changed without an event of its own is said beside another: of a new task at its group's, else at the last."""
        rest: dict[int, dict[str, dict[str, Any]]] = {}
        last = {event.path: at for at, event in enumerate(self._events)}
        for path in self._tasks:
            begun = path in self._created and path not in self._told
            if not (new := self._new_of(path)):
                continue
            if not self._events:
                self._events.append(with_difference(Event("task.changed", path, self.now), new))
                continue
            at = last.get(paths.parent(path), -1) if begun else -1
            rest.setdefault(at % len(self._events), {})[path] = new
        for at, others in rest.items():
            self._events[at] = with_others(self._events[at], others)

    def _tell_move(self, task: Task, at: datetime | None) -> None:
        data: dict[str, Json] = {"reason": task.reason, "cause": task.cause, "kind": task.kind.value}
        if task.culprit != task.path:
            data["culprit"] = task.culprit
        if task.kind.is_group:
            data |= {"children": task.children, "failed": task.failed, "canceled": task.canceled}
        if task.path == ROOT:
            self._mirror(task)
        verb = _VERBS.get(task.state)
        if verb is None:
            return  # back to PENDING: the retry is told
        if task.path == ROOT:
            self.tell(f"run.{verb}", ROOT, at=at, **data)
        elif task.cached_from:
            self.tell("task.cached", task.path, at=at, cached_from=task.cached_from, **data)
        else:
            self.tell(f"task.{verb}", task.path, at=at, attempt=task.attempt, **data)

    def _mirror(self, root: Task) -> None:
        """The run's state is its root's."""
        self.run = replace(
            self.run,
            state=root.state,
            started_at=self.run.started_at or root.started_at,
            finished_at=root.finished_at,
            reason=root.reason,
        )
