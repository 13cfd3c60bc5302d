"""The executor protocol: complete orders in, observations out.

An executor knows no database. It is given complete orders, tells facts, and can list what it has. Names are fixed in the
order, so that a repeated order recognises its own work and nothing is done twice. What an executor knows of an attempt it
keeps until `forget`: an observation may be lost on its way and is then asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from runs.engine.model import Fact
from runs.execution.attempt import AttemptOrder

__all__ = [
    "AttemptKey",
    "AttemptOrder",
    "ClaimRefused",
    "Executor",
    "ExecutorUnavailable",
    "FactObserved",
    "LogLine",
    "LogObserved",
    "NotNow",
    "Observation",
    "Standing",
]


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """Which attempt."""

    name: str
    run_id: str
    path: str
    number: int


@dataclass(frozen=True, slots=True)
class FactObserved:
    """A fact about an attempt of a run."""

    run_id: str
    fact: Fact


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log. `number` counts from 1; `at` is Unix time in microseconds; `stream` is `o`, `e` or `k` (ours)."""

    number: int
    at: int
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class LogObserved:
    """Lines of an attempt's log, consecutive. They are stored already (by host or launcher)."""

    log: str
    lines: tuple[LogLine, ...]
    ended: bool = False


Observation = FactObserved | LogObserved


@dataclass(frozen=True, slots=True)
class Standing:
    """How a backend stands, as far as it was seen: why it cannot be reached, and how many attempts it has in each phase."""

    trouble: str = ""
    phases: Mapping[str, int] = field(default_factory=dict)


class Executor(Protocol):
    """A backend that runs containers. All methods are safe to call twice and from several processes at once."""

    forget_after: float  # seconds after an attempt's end that `forget` is best called; several times that while others start

    def start(self, orders: Sequence[AttemptOrder]) -> Mapping[str, str]:
        """Starts attempts; returns name → sentence for those refused for good. Raises ExecutorUnavailable.

        All attempts of a task share the URIs of their outputs: what an earlier one left there is removed before it runs.
        """

    def stop(self, attempts: Sequence[AttemptKey], *, grace: float) -> Sequence[FactObserved]:
        """Ends attempts; `grace` in seconds, 0 at once. An attempt it never had is observed as AttemptStopped.

        Returns what it knows at once; whoever calls hands it on, because nobody may observe in this process.
        """

    def observe(self) -> Iterator[Sequence[Observation]]:
        """Yields batches of observations as they come, for ever; what happened before the call is not repeated."""

    def look(self, attempts: Sequence[AttemptKey]) -> Sequence[FactObserved]:
        """What it knows of these attempts now, as facts: the newest phase or the end; AttemptLost for unknown ones."""

    def forget(self, attempts: Sequence[AttemptKey]) -> None:
        """Their ends are recorded: what is kept for them (not logs, not artifacts) can go."""

    def clear(self, run_id: str) -> None:
        """The run is deleted: nothing that is kept for it stays. Its attempts were stopped and forgotten."""

    def standing(self) -> Standing:
        """How it stands, for whoever watches the installation: as this process saw it last, without a question."""

    def close(self) -> None:
        """Lets go of connections."""


class ExecutorUnavailable(Exception):
    """The executor cannot be reached now; the order stays due and is sent again. The message is for people."""


class NotNow(ExecutorUnavailable):
    """Some of the attempts cannot be started now, by name with the sentence why; the others were, or were refused."""

    def __init__(self, waiting: Mapping[str, str], refused: Mapping[str, str]) -> None:
        super().__init__(next(iter(waiting.values())))
        self.waiting = waiting
        self.refused = refused


class ClaimRefused(Exception):
    """A volume claim cannot be made or deleted, and no other try can mend that. The message is for people."""
