"""The engine's values: the run, its tasks and attempts, facts that come in, and orders and events that go out.

All of them are immutable. Times are aware datetimes in UTC and come in with the facts or as `now`; the engine has no clock.
Paths are those of `pipelines.spec.paths`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from pipelines.spec.model import ComponentSpec, PipelineSpec
from runs.engine.values import ArtifactValue as ArtifactValue
from runs.engine.values import Values as Values

Json = Any


class State(StrEnum):
    """The state of a run or a task."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in _FINAL


_FINAL = frozenset({State.SUCCEEDED, State.SKIPPED, State.FAILED, State.CANCELED})


class Kind(StrEnum):
    """What a task is in the run."""

    DAG = "dag"  # the root, a nested pipeline, a condition's or an exit handler's group, an iteration of one of these
    LOOP = "loop"  # a task with an iterator; its children are the iterations
    CONTAINER = "container"
    IMPORTER = "importer"
    CREATE_CLAIM = "createpvc"  # the stub images of the runtime reference, §9: carried out, not run
    DELETE_CLAIM = "deletepvc"

    @property
    def is_group(self) -> bool:
        """Whether it has children in the run instead of attempts."""
        return self in (Kind.DAG, Kind.LOOP)


class Phase(StrEnum):
    """Where an attempt is."""

    QUEUED = "queued"  # ordered, nothing known yet, or it cannot start (then with a reason)
    STARTING = "starting"  # image pulled, environment made, inputs fetched
    RUNNING = "running"  # the user's code runs
    COLLECTING = "collecting"  # outputs are read and stored
    ENDED = "ended"


# --- the run as a value ---------------------------------------------------------------------------------------------


class Stop(StrEnum):
    """What a user asked of a run's end."""

    NO = ""
    GRACEFUL = "graceful"  # no new steps but exit tasks; running ones are told to end
    FORCE = "force"  # no exit tasks either; running ones are ended


class CacheUse(StrEnum):
    """What a run does with the cache."""

    USE = "use"
    REFRESH = "refresh"  # runs everything, records the new results
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Run:
    """A run. `state` is that of its root task; `arguments` are what the user sent, macros expanded."""

    id: str
    name: str  # the display name
    resource_name: str  # `<pipeline>-xxxxx`, KFP's workflow name
    state: State = State.PENDING
    arguments: Mapping[str, Json] = field(default_factory=dict)
    created_at: datetime | None = None
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    pipeline_root: str = ""  # `<root>/<pipelineInfo.name>/<run id>`
    cache: CacheUse = CacheUse.USE
    stop: Stop = Stop.NO
    stopped_by: str = ""
    paused: bool = False
    reason: str = ""  # one sentence; why it is not green
    most_iterations: int = 10_000  # of one loop


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a run; for a group the counters speak of its direct children (of a loop: its iterations)."""

    path: str
    kind: Kind
    state: State = State.PENDING
    inputs: Values | None = None  # resolved when it became ready
    outputs: Values | None = None  # set when it succeeded
    reason: str = ""  # one sentence: why failed, skipped, cancelled, or what it waits for
    cause: str = ""  # a short code for the reason, for filters and icons: `exit-code`, `condition`, `upstream-failed`, …
    culprit: str = ""  # path of the leaf whose failure explains this one's (its own path for a leaf)
    attention: bool = False  # ready, but cannot start, with a reason: shown as Waiting
    waiting_on: int = 0  # dependencies that have not ended
    blocker: str = ""  # path of the first dependency that ended without success
    attempt: int = 0  # number of the newest attempt; 0 before the first
    under_way: bool = False  # whether that attempt is not over
    failures: int = 0  # attempts that count against the user's retries
    lost: int = 0  # attempts in a row that the executor lost; they do not count
    retry_at: datetime | None = None  # the next attempt's due time, while one is waited for
    fingerprint: str = ""  # for the cache; set by the answer to LookInCache
    cached_from: str = ""  # `<run id>:<path>` of the task whose outputs were reused
    children: int = 0
    ended: int = 0  # children in a final state
    succeeded: int = 0
    failed: int = 0  # failed children that count (exit tasks do not)
    canceled: int = 0
    running: int = 0  # of a loop: iterations begun and not ended
    next_iteration: int = 0  # of a loop: the first index that has not begun
    created_at: datetime | None = None
    ready_at: datetime | None = None  # inputs there, condition true
    started_at: datetime | None = None  # user code of the first attempt, or the group's first look
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a task that is no group. `state` uses PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED."""

    path: str
    number: int
    state: State = State.PENDING
    phase: Phase = Phase.QUEUED
    reason: str = ""
    cause: str = ""
    attention: bool = False
    counts: bool = True  # against the user's retries (lost ones do not)
    exit_code: int | None = None
    peak_memory: int | None = None  # bytes
    queued_at: datetime | None = None
    starting_at: datetime | None = None
    running_at: datetime | None = None
    collecting_at: datetime | None = None
    finished_at: datetime | None = None


class TaskSource(Protocol):
    """Where a snapshot's tasks come from: a dict in tests, rows loaded as they are asked for in the driver.

    The engine never writes into it; what it changes in one `advance` it keeps to itself and gives back in the Step.
    """

    def get(self, path: str) -> Task | None:
        """The task at a path, None where there is none yet."""

    def prefetch(self, paths: Iterable[str]) -> None:
        """Says that these paths will be asked for: one query instead of many."""

    def children(self, path: str) -> Iterable[Task]:
        """All direct children of a group (a loop's iterations in order of their index)."""

    def unfinished(self) -> Iterable[Task]:
        """All tasks of the run that are not final, in any order."""

    def attempt(self, path: str) -> Attempt | None:
        """The newest attempt of a task."""


@dataclass(frozen=True, slots=True)
class Again:
    """The earlier run that a run takes steps over from: what is at `paths`, and all that depends on it, is done again.

    A path without indices (`root/each/score`) stands for the step in every iteration.
    """

    run_id: str
    spec: PipelineSpec
    tasks: TaskSource
    paths: frozenset[str] = frozenset()
    same_arguments: frozenset[str] = frozenset()  # given alike; macros in them may have made other values
    bound: Callable[[ComponentSpec, Values], bool] = lambda component, inputs: False  # whether a step works in its run's workspace
    memory: dict[str, Mapping[str, str]] = field(default_factory=dict, compare=False)  # what follows from the choice, by group


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as a value, as far as the facts at hand reach."""

    run: Run
    spec: PipelineSpec
    tasks: TaskSource
    again: Again | None = None


# --- facts: what happened -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LookedOver:
    """Nothing in particular: look at the whole run (at its begin, after stop, pause, resume, retry, resync)."""


@dataclass(frozen=True, slots=True)
class TimeCame:
    """A time that was ordered with WakeLater has come, for the task at `path` (the root: the run's own limit)."""

    path: str


@dataclass(frozen=True, slots=True)
class AttemptProgressed:
    """An attempt entered `phase`, or, in the same phase, what it waits for became known or changed (`reason`)."""

    path: str
    number: int
    phase: Phase
    at: datetime
    reason: str = ""
    attention: bool = False


@dataclass(frozen=True, slots=True)
class AttemptSucceeded:
    """An attempt ended well. The driver gives the artifacts their ids before the engine sees the fact."""

    path: str
    number: int
    at: datetime
    outputs: Values = Values()
    peak_memory: int | None = None
    running_at: datetime | None = None  # times the executor knows better than facts that may have been lost
    collecting_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt failed. `retryable` is False for what another try cannot mend (an invalid order, a refused input)."""

    path: str
    number: int
    at: datetime
    reason: str
    cause: str = "exit-code"
    exit_code: int | None = None
    retryable: bool = True
    peak_memory: int | None = None
    running_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The executor lost an attempt by no fault of the user's code: it is tried again and does not count."""

    path: str
    number: int
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptStopped:
    """An attempt ended because it was told to."""

    path: str
    number: int
    at: datetime
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class CacheAnswered:
    """The answer to LookInCache: the fingerprint, and on a hit the outputs and whose they are."""

    path: str
    at: datetime
    fingerprint: str
    outputs: Values | None = None
    cached_from: str = ""


Fact = LookedOver | TimeCame | AttemptProgressed | AttemptSucceeded | AttemptFailed | AttemptLost | AttemptStopped | CacheAnswered


# --- orders: what is to be done -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Start attempt `number` of the task (run a container, import an artifact, make or delete a claim, by its kind)."""

    path: str
    number: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """End an attempt: with the grace period, or at once."""

    path: str
    number: int
    kind: Kind
    force: bool = False


@dataclass(frozen=True, slots=True)
class LookInCache:
    """Compute the task's fingerprint; where `use`, say whether there is an entry for it."""

    path: str
    use: bool = True


@dataclass(frozen=True, slots=True)
class WakeLater:
    """Hand in TimeCame(path) at `due`. Where that comes too early, this is ordered again."""

    path: str
    due: datetime


Order = StartAttempt | StopAttempt | LookInCache | WakeLater


# --- what comes out -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """Something to remember, for the events tab and for replay. `kind` is `run.started`, `task.failed`, `attempt.lost`, …"""

    kind: str
    path: str
    at: datetime
    attempt: int = 0
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """What one `advance` did: the run as it is now, all changed or new tasks and attempts, events and orders in order."""

    run: Run
    tasks: Mapping[str, Task] = field(default_factory=dict)
    attempts: Mapping[tuple[str, int], Attempt] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    orders: tuple[Order, ...] = ()


class InvalidTransition(Exception):
    """A move of a state that the table does not allow: a fault in kfdash. The message tells the task's story."""
