"""What is said of a pod."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Short codes for filters and icons, beside those of `runs.execution.result.Cause`."""

    IMAGE = "image"
    UNSCHEDULABLE = "unschedulable"
    WAITS_FOR_ROOM = "no-room"
    OUT_OF_MEMORY = "out-of-memory"
    EVICTED = "evicted"
    NODE_LOST = "node-lost"
    PREEMPTED = "preempted"
    DELETED = "deleted"
    QUOTA = "quota"
    REFUSED = "refused"
    RIGHTS = "rights"
    MISSING = "missing"  # a secret, a config map, a claim, a service account
    VOLUME = "volume"
    TIMEOUT = "timeout"
    EXIT_CODE = "exit-code"
    SIGNAL = "signal"
    NOT_FOUND = "not-found"
    CONTAINER = "container"  # it could not be created or started
    LAUNCHER = "launcher"
    INIT_CONTAINER = "init-container"
    NODE = "node"  # what the node itself cannot do


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One sentence about a pod, and what follows from it.

    `fails`: the attempt is over, or cannot go on by itself. `lost`: by no fault of the step; another attempt is due that does
    not count against its retries (only with `fails`). `attention`: somebody should look; without it and without `fails` the
    sentence only tells what is going on.
    """

    sentence: str
    cause: str
    attention: bool = True
    fails: bool = False
    retryable: bool = True
    exit_code: int | None = None
    lost: bool = False


def waits(sentence: str, cause: str) -> Diagnosis:
    """What may still come right, by itself or when somebody does something."""
    return Diagnosis(sentence, cause)


def tells(sentence: str, cause: str = "") -> Diagnosis:
    """What is going on, and is no trouble."""
    return Diagnosis(sentence, cause, attention=False)


def fails(sentence: str, cause: str, *, retryable: bool = True, exit_code: int | None = None) -> Diagnosis:
    """What ends the attempt; not retryable where another attempt would end alike."""
    return Diagnosis(sentence, cause, attention=False, fails=True, retryable=retryable, exit_code=exit_code)


def loses(sentence: str, cause: str) -> Diagnosis:
    """What ended the attempt by no fault of the step."""
    return Diagnosis(sentence, cause, attention=False, fails=True, lost=True)
