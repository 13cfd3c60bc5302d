"""The scripted executor: nothing runs, everything is told. For tests and for pages in odd states.

A behaviour is chosen by the attempt's name, the task's path, its path without iterations, or its key, in this order; a list
of behaviours is one for each attempt, the last one for all further attempts. One thread tells what is due.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pipelines.spec import paths
from pipelines.spec.model import ParameterType
from runs.engine.model import ArtifactValue, AttemptLost, AttemptProgressed, AttemptStopped, Fact, Phase, Values
from runs.execution.collect import OutputsInvalid, collect
from runs.execution.facts import fact_of
from runs.execution.result import Cause, Result, to_microseconds
from runs.executors.base import AttemptKey, AttemptOrder, FactObserved, LogLine, LogObserved, Observation, Standing

Json = Any

_EMPTY: Mapping[ParameterType, Json] = {
    ParameterType.NUMBER_INTEGER: 0,
    ParameterType.NUMBER_DOUBLE: 0,
    ParameterType.STRING: "",
    ParameterType.BOOLEAN: False,
    ParameterType.LIST: [],
    ParameterType.STRUCT: {},
    ParameterType.TASK_FINAL_STATUS: {},
    ParameterType.TASK_CONFIG: {},
}


@dataclass(frozen=True)
class Behaviour:
    """What becomes of an attempt. Declared outputs that are not given have the empty value of their type."""

    lines: Sequence[tuple[str, str]] = ()  # (stream, text), printed when it runs
    outputs: Mapping[str, Json] = field(default_factory=dict)  # parameters by name
    files: Mapping[str, str] = field(default_factory=dict)  # contents of output parameters' files, parsed as a step's are
    metadata: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)  # of output artifacts, by name
    missing: frozenset[str] = frozenset()  # output parameters that it does not write
    exit_code: int = 0
    reason: str = ""  # of a failure; made from the exit code where empty
    seconds: float = 0.0  # how long it runs
    starts_after: float = 0.0  # seconds in the phase STARTING
    waits: str = ""  # why it cannot start; it never does, unless `waits_for` seconds pass
    waits_for: float | None = None
    lost: bool = False  # the executor loses it when it would have ended
    refused: str = ""  # the sentence with which `start` refuses it
    ignores_stop: bool = False  # until the grace period is over
    last_words: Sequence[tuple[str, str]] = ()  # lines that it prints when it is told to stop


@dataclass
class _Attempt:
    order: AttemptOrder
    behaviour: Behaviour
    phase: Phase = Phase.QUEUED
    reason: str = ""
    times: dict[str, int] = field(default_factory=dict)
    printed: int = 0
    end: Fact | None = None
    stopping: bool = False

    @property
    def key(self) -> AttemptKey:
        return AttemptKey(self.order.name, self.order.run_id, self.order.path, self.order.number)


Script = Behaviour | Sequence[Behaviour]


class FakeExecutor:
    """An executor in memory. `behaviours` may be changed while it works; `store` is given every line before it is told."""

    forget_after = 0.0

    def __init__(
        self,
        behaviours: Mapping[str, Script] | None = None,
        *,
        default: Script = Behaviour(),
        store: Callable[[str, Sequence[LogLine]], None] | None = None,
    ) -> None:
        self.behaviours: dict[str, Script] = dict(behaviours or {})
        self.default = default
        self.started: list[AttemptOrder] = []  # every order that it began, in order
        self._store = store
        self._attempts: dict[str, _Attempt] = {}
        self._watchers: list[queue.SimpleQueue[Sequence[Observation] | None]] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._closed = False

    # --- the protocol ---

    def start(self, orders: Sequence[AttemptOrder]) -> Mapping[str, str]:
        """Begins those that it does not know yet."""
        refused = {}
        with self._changed:
            for order in orders:
                if order.name in self._attempts:
                    continue
                behaviour = self._behaviour(order)
                if behaviour.refused:
                    refused[order.name] = behaviour.refused
                    continue
                self.started.append(order)
                attempt = self._attempts[order.name] = _Attempt(order, behaviour)
                attempt.times["queued"] = _now()
                self._queue(attempt)
        return refused

    def stop(self, attempts: Sequence[AttemptKey], *, grace: float) -> Sequence[FactObserved]:
        """Ends attempts at once, those that ignore it after `grace` seconds."""
        with self._changed:
            for key in attempts:
                attempt = self._attempts.get(key.name)
                if attempt is None:
                    self._tell([FactObserved(key.run_id, AttemptStopped(key.path, key.number, datetime.now(UTC)))])
                elif attempt.end is None:
                    self._stop(attempt, grace)
        return ()

    def observe(self) -> Iterator[Sequence[Observation]]:
        """Batches as they come, until the executor is closed."""
        watcher: queue.SimpleQueue[Sequence[Observation] | None] = queue.SimpleQueue()
        with self._changed:
            self._watchers.append(watcher)
        try:
            while (batch := watcher.get()) is not None:
                yield batch
        finally:
            with self._changed:
                self._watchers.remove(watcher)

    def look(self, attempts: Sequence[AttemptKey]) -> Sequence[FactObserved]:
        """The newest of each."""
        with self._changed:
            return [FactObserved(key.run_id, self._newest(key)) for key in attempts]

    def forget(self, attempts: Sequence[AttemptKey]) -> None:
        """Drops those that have ended."""
        with self._changed:
            for key in attempts:
                attempt = self._attempts.get(key.name)
                if attempt is not None and attempt.end is not None:
                    del self._attempts[key.name]

    def clear(self, run_id: str) -> None:
        """Nothing is left of a run whose attempts are forgotten."""

    def standing(self) -> Standing:
        """Nothing is ever wrong with it."""
        return Standing()

    def close(self) -> None:
        """Ends all observing and the thread."""
        with self._changed:
            self._closed = True
            for watcher in self._watchers:
                watcher.put(None)
            self._changed.notify_all()

    # --- for tests ---

    def lose(self, key: AttemptKey) -> None:
        """Loses an attempt now: its machine is gone."""
        with self._changed:
            self._lose(self._attempts[key.name])

    # --- an attempt's way; the lock is held in all of these ---

    def _behaviour(self, order: AttemptOrder) -> Behaviour:
        for name in (order.name, order.path, paths.template(order.path), paths.key(order.path)):
            if name in self.behaviours:
                script = self.behaviours[name]
                break
        else:
            script = self.default
        return script if isinstance(script, Behaviour) else script[min(order.number, len(script)) - 1]

    def _newest(self, key: AttemptKey) -> Fact:
        attempt = self._attempts.get(key.name)
        if attempt is None:
            return AttemptLost(key.path, key.number, datetime.now(UTC), "The executor does not know this attempt.")
        return attempt.end or self._progress(attempt)

    def _progress(self, attempt: _Attempt) -> AttemptProgressed:
        order, at = attempt.order, datetime.now(UTC)
        return AttemptProgressed(order.path, order.number, attempt.phase, at, attempt.reason, bool(attempt.reason))

    def _enter(self, attempt: _Attempt, phase: Phase, reason: str = "") -> None:
        attempt.phase, attempt.reason = phase, reason
        attempt.times.setdefault(phase.value, _now())
        self._tell([FactObserved(attempt.order.run_id, self._progress(attempt))])

    def _queue(self, attempt: _Attempt) -> None:
        behaviour = attempt.behaviour
        if not behaviour.waits:
            self._begin(attempt)
            return
        self._enter(attempt, Phase.QUEUED, behaviour.waits)
        if behaviour.waits_for is not None:
            self._later(behaviour.waits_for, lambda: self._begin(attempt))

    def _begin(self, attempt: _Attempt) -> None:
        if attempt.end is None:
            self._enter(attempt, Phase.STARTING)
            self._later(attempt.behaviour.starts_after, lambda: self._run(attempt))

    def _run(self, attempt: _Attempt) -> None:
        if attempt.end is not None:
            return
        self._enter(attempt, Phase.RUNNING)
        self._print(attempt, attempt.behaviour.lines)
        limit = attempt.order.timeout
        if limit is not None and attempt.behaviour.seconds > limit:
            self._later(limit, lambda: self._time_out(attempt, limit))
        else:
            self._later(attempt.behaviour.seconds, lambda: self._finish(attempt))

    def _print(self, attempt: _Attempt, lines: Sequence[tuple[str, str]], *, ended: bool = False) -> None:
        numbered = tuple(LogLine(number, _now(), stream, text) for number, (stream, text) in enumerate(lines, attempt.printed + 1))
        attempt.printed += len(numbered)
        if numbered and self._store:
            self._store(attempt.order.log, numbered)
        if numbered or ended:
            self._tell([LogObserved(attempt.order.log, numbered, ended)])

    def _time_out(self, attempt: _Attempt, limit: float) -> None:
        if attempt.end is None and not attempt.stopping:
            self._end(attempt, "failed", reason=f"The step ran into its time limit of {limit:g} s.", cause=Cause.TIMEOUT)

    def _finish(self, attempt: _Attempt) -> None:
        behaviour = attempt.behaviour
        if attempt.end is not None or attempt.stopping:
            return
        if behaviour.lost:
            self._lose(attempt)
        elif behaviour.exit_code:
            reason = behaviour.reason or f"The step ended with exit code {behaviour.exit_code}."
            self._end(attempt, "failed", reason=reason, cause=Cause.EXIT_CODE, exit_code=behaviour.exit_code)
        else:
            self._enter(attempt, Phase.COLLECTING)
            try:
                outputs = self._outputs(attempt)
            except OutputsInvalid as error:
                self._end(attempt, "failed", reason=str(error), cause=Cause.OUTPUTS, exit_code=0)
            else:
                self._end(attempt, "succeeded", exit_code=0, outputs=outputs)

    def _outputs(self, attempt: _Attempt) -> Values:
        order, behaviour = attempt.order, attempt.behaviour
        files = {name: text.encode() for name, text in behaviour.files.items()}
        found = collect(_without(order, files.keys(), behaviour.missing), None, files.get)
        parameters: dict[str, Json] = {}
        for name, type in order.output_parameters.items():
            parameters[name] = found.parameters.get(name, behaviour.outputs.get(name, _EMPTY[ParameterType(type)]))
        artifacts: dict[str, list[ArtifactValue]] = {
            name: [{**value, "metadata": {**value["metadata"], **behaviour.metadata.get(name, {})}} for value in values]
            for name, values in found.artifacts.items()
        }
        return Values(parameters, artifacts)

    def _stop(self, attempt: _Attempt, grace: float) -> None:
        if attempt.behaviour.ignores_stop and grace > 0:
            attempt.stopping = True
            self._later(grace, lambda: self._stopped(attempt))
        else:
            self._stopped(attempt, attempt.behaviour.last_words if grace > 0 else ())

    def _stopped(self, attempt: _Attempt, last_words: Sequence[tuple[str, str]] = ()) -> None:
        if attempt.end is None:
            self._print(attempt, last_words)
            self._end(attempt, "stopped")

    def _lose(self, attempt: _Attempt) -> None:
        if attempt.end is None:
            self._end(attempt, "lost", reason="The machine that ran the step is gone.")

    def _end(self, attempt: _Attempt, state: Any, **fields: Any) -> None:
        attempt.phase = Phase.ENDED
        attempt.times["finished"] = _now()
        result = Result(attempt.order.name, state, attempt.times, **fields)
        attempt.end = fact_of(result, attempt.order.path, attempt.order.number)
        self._print(attempt, (), ended=True)
        self._tell([FactObserved(attempt.order.run_id, attempt.end)])

    # --- telling and waiting ---

    def _tell(self, batch: Sequence[Observation]) -> None:
        for watcher in self._watchers:
            watcher.put(batch)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        """Does it now where there is nothing to wait for, else in the thread."""
        if seconds <= 0:
            action()
            return
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._count), action))
        if self._thread is None:
            self._thread = threading.Thread(target=self._tick, name="fake-executor", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _tick(self) -> None:
        with self._changed:
            while not self._closed:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                else:
                    heapq.heappop(self._due)[2]()


def _without(order: AttemptOrder, written: Iterable[str], missing: frozenset[str]) -> AttemptOrder:
    """The order with those output parameters alone that are read from files, or found missing."""
    read = {*written, *missing}
    kept = {name: type for name, type in order.output_parameters.items() if name in read}
    return replace(order, output_parameters=kept)


def _now() -> int:
    return to_microseconds(datetime.now(UTC))
