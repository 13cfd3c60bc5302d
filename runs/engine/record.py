"""What events say of tasks, so that a run can be replayed: differences on the way out, tasks again on the way in.

An event's `data["to"]` holds what is new of the task it is about, `data["also"]` what is new of others, as pairs of fields and
paths (`root/each[0-999]` means a thousand iterations). True for a time means the event's own, for a text the event's own word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Protocol

from pipelines.spec import paths
from runs.engine.model import Event, Kind, State, Task

Json = Any

_PLAIN = ("attention", "cached_from", "attempt", "waiting_on", "children", "ended", "succeeded", "failed", "canceled", "running")
_TIMES = ("retry_at", "created_at", "ready_at", "started_at", "finished_at")
_SAID = ("reason", "cause")
RECORDED = ("kind", "state", *_SAID, *_PLAIN, *_TIMES)
_NEW: dict[str, Any] = {field.name: field.default for field in fields(Task) if field.name in RECORDED and field.name != "kind"}
_FIRST = (None, *(_NEW[name] for name in RECORDED[1:]))
_VALUES = attrgetter(*RECORDED)
# Causes by which the engine knows how far it is, while a task has not ended.
_INNER = {"cache-lookup", "cache-miss", "stopping", "stopping-by-force", "deadline", "deadline-by-force"}
_CAUSE = RECORDED.index("cause")
_RANGE = re.compile(r"^(?P<loop>.*)\[(?P<first>\d+)-(?P<last>\d+)\]$", re.DOTALL)


class Told(Protocol):
    """An event, as the engine gives it or as a row has it."""

    kind: str
    path: str
    at: datetime
    attempt: int
    data: Mapping[str, Json]


# --- out ------------------------------------------------------------------------------------------------------------


def recorded(task: Task) -> dict[str, Any]:
    """What is remembered of a task; of causes those that say something to people."""
    return dict(zip(RECORDED, _values(task), strict=True))


def _values(task: Task) -> tuple[Any, ...]:
    values: tuple[Any, ...] = _VALUES(task)
    return values if task.state.is_final or task.cause not in _INNER else (*values[:_CAUSE], "", *values[_CAUSE + 1 :])


def difference(before: Task | None, after: Task) -> dict[str, Any]:
    """What is new of a task; without `before` all that is not as it is at first."""
    old = _values(before) if before is not None else _FIRST
    return {name: new for name, was, new in zip(RECORDED, old, _values(after), strict=True) if new is not was and new != was}


def with_difference(event: Event, new: Mapping[str, Any]) -> Event:
    """The event, saying what is new of its task."""
    if not new:
        return event
    said = {name: _written(name, value, event) for name, value in new.items()}
    return Event(event.kind, event.path, event.at, event.attempt, {**event.data, "to": said})


def with_others(event: Event, others: Mapping[str, Mapping[str, Any]]) -> Event:
    """The event, saying what is new of other tasks, by path."""
    alike: dict[tuple[tuple[str, Json], ...], list[str]] = {}
    for path, new in others.items():
        said = tuple((name, _written(name, value, event)) for name, value in new.items())
        alike.setdefault(said, []).append(path)
    also = [[dict(said), _in_ranges(found)] for said, found in alike.items()]
    return Event(event.kind, event.path, event.at, event.attempt, {**event.data, "also": also})


def _written(name: str, value: Any, event: Event) -> Json:
    if name in _TIMES and value is not None:
        return True if value == event.at else value.isoformat()
    if name in _SAID and value and event.data.get(name) == value:
        return True
    return value.value if isinstance(value, Kind | State) else value


def _in_ranges(found: list[str]) -> list[str]:
    """The paths, with neighbouring iterations of a loop as one."""
    written: list[str] = []
    run: tuple[str, int, int] | None = None
    for path in [*found, ""]:
        index = paths.index(path) if path else None
        loop = paths.parent(path) if index is not None else ""
        if run is not None and index is not None and loop == run[0] and index == run[2] + 1:
            run = (loop, run[1], index)
            continue
        if run is not None:
            written.append(f"{run[0]}[{run[1]}-{run[2]}]" if run[2] > run[1] else paths.iteration(run[0], run[1]))
        run = (loop, index, index) if index is not None else None
        if path and index is None:
            written.append(path)
    return written


# --- in -------------------------------------------------------------------------------------------------------------


def replay(events: Iterable[Told]) -> dict[str, Task]:
    """The tasks as they were after these events (a run's first ones, in order), without inputs and outputs."""
    known: dict[str, dict[str, Any]] = {}
    for event in events:
        to = event.data.get("to")
        if to is None:
            to = _by_its_kind(event)
        if to:
            _take(known, event.path, to, event)
        for new, written in event.data.get("also", ()):
            for path in _each(written):
                _take(known, path, new, event)
    return {path: Task(path=path, **{"kind": Kind.CONTAINER, **new}) for path, new in known.items()}


def _take(known: dict[str, dict[str, Any]], path: str, new: Mapping[str, Json], event: Told) -> None:
    task = known.get(path)
    if task is None:
        task = known[path] = dict(_NEW)
    for name, value in new.items():
        if name in _TIMES and value is not None:
            value = event.at if value is True else datetime.fromisoformat(value)
        elif name in _SAID and value is True:
            value = event.data[name]
        elif name == "state":
            value = State(value)
        elif name == "kind":
            value = Kind(value)
        task[name] = value


def _each(written: Iterable[str]) -> Iterable[str]:
    for text in written:
        if (found := _RANGE.match(text)) is None:
            yield text
            continue
        for index in range(int(found["first"]), int(found["last"]) + 1):
            yield paths.iteration(found["loop"], index)


_ENDS = {
    "succeeded": State.SUCCEEDED,
    "cached": State.SUCCEEDED,
    "skipped": State.SKIPPED,
    "failed": State.FAILED,
    "canceled": State.CANCELED,
}


def _by_its_kind(event: Told) -> dict[str, Json]:
    """What an event from before differences were recorded says: the state, and when."""
    subject, _, verb = event.kind.partition(".")
    kind = {"kind": event.data["kind"]} if "kind" in event.data else {"kind": Kind.DAG.value} if subject == "run" else {}
    if event.kind == "attempt.started":
        return {"attempt": event.attempt, "ready_at": True, **kind}
    if event.kind in ("task.reset", "run.retried", "attempt.retry"):
        return {"state": State.PENDING.value, "finished_at": None, "reason": ""}
    if subject not in ("task", "run"):
        return {}
    if verb == "started":
        return {"state": State.RUNNING.value, "started_at": True, "children": event.data.get("children", 0), **kind}
    if verb == "canceling":
        return {"state": State.CANCELING.value}
    if verb not in _ENDS:
        return {}
    words = {name: event.data.get(name, "") for name in (*_SAID, "cached_from")}
    return {"state": _ENDS[verb].value, "finished_at": True, **words, **kind}
