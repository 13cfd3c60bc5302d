"""From a pod, as the API server shows it, to what is known of its attempt. Plain dicts in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from runs.engine.model import AttemptFailed, AttemptLost, AttemptStopped, AttemptSucceeded, Fact, Phase, Values
from runs.executors.base import AttemptKey
from runs.executors.kubernetes.diagnosis import Diagnosis
from runs.executors.kubernetes.names import FINALIZER, LAUNCHER, MAIN, NUMBER, PATH, RUN

Json = Any

STOPPED = "kfdash.dev/stopped"  # the annotation of a pod that kfdash itself ends
RECORDED = "kfdash.dev/recorded"  # the label of one whose end is recorded
RECORDED_AT = "kfdash.dev/recorded-at"  # Unix time of that, an annotation

_LATE = timedelta(seconds=60)  # after its grace period, a pod that still seems to run has lost its node
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PodEnd:
    """That the user's container ended, or never will begin; without an exit code where no container told one."""

    at: datetime
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a pod tells of its attempt."""

    key: AttemptKey
    phase: Phase
    at: datetime  # when it entered the phase
    running_at: datetime | None  # when the user's container began: under `entry` that is before the user's code
    end: PodEnd | None
    stopped: bool  # kfdash ended it
    deleted_at: datetime | None  # when its grace period is over
    recorded: bool
    has_launcher: bool
    launcher_ended: bool
    launcher_began: bool = False  # it runs, or ran: it may have said something

    @property
    def started(self) -> bool:
        """Whether it has a node."""
        return self.phase is not Phase.QUEUED


def key_of(pod: Mapping[str, Json]) -> AttemptKey | None:
    """Whose pod it is; None for one that kfdash did not make."""
    metadata = pod.get("metadata", {})
    notes = metadata.get("annotations", {})
    number = notes.get(NUMBER, "")
    if PATH not in notes or not number.isdecimal():
        return None
    return AttemptKey(metadata.get("name", ""), metadata.get("labels", {}).get(RUN, ""), notes[PATH], int(number))


def read(pod: Mapping[str, Json]) -> Seen | None:
    """What the pod tells; None for one that kfdash did not make."""
    key = key_of(pod)
    if key is None:
        return None
    metadata, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    main = _state(status.get("containerStatuses"), MAIN)
    launcher = _state(status.get("initContainerStatuses"), LAUNCHER)
    deleted_at = moment(metadata.get("deletionTimestamp"))
    ended = main.get("terminated", {})
    phase, at, running_at = _phase(pod, main)
    return Seen(
        key=key,
        phase=phase,
        at=at,
        running_at=running_at or moment(ended.get("startedAt")),
        end=_end(pod, ended, deleted_at),
        stopped=STOPPED in metadata.get("annotations", {}),
        deleted_at=deleted_at,
        recorded=RECORDED in metadata.get("labels", {}) or FINALIZER not in metadata.get("finalizers", ()),
        has_launcher=any(container.get("name") == LAUNCHER for container in spec.get("initContainers", ())),
        launcher_ended="terminated" in launcher or status.get("phase") in ("Succeeded", "Failed"),
        launcher_began="running" in launcher or "terminated" in launcher,
    )


def _state(statuses: Json, name: str) -> Mapping[str, Json]:
    return next((one.get("state") or {} for one in statuses or () if one.get("name") == name), {})


def _phase(pod: Mapping[str, Json], main: Mapping[str, Json]) -> tuple[Phase, datetime, datetime | None]:
    created = moment(pod["metadata"].get("creationTimestamp")) or _EPOCH
    scheduled = _condition(pod, "PodScheduled")
    if "running" in main or "terminated" in main:
        began = moment((main.get("running") or main.get("terminated") or {}).get("startedAt")) or created
        return Phase.RUNNING, began, began
    if scheduled.get("status") == "True":
        return Phase.STARTING, moment(scheduled.get("lastTransitionTime")) or created, None
    return Phase.QUEUED, created, None


def _end(pod: Mapping[str, Json], ended: Mapping[str, Json], deleted_at: datetime | None) -> PodEnd | None:
    if ended:
        return PodEnd(moment(ended.get("finishedAt")) or _last_change(pod), ended.get("exitCode"))
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return PodEnd(_last_change(pod))
    if deleted_at is not None and not pod.get("spec", {}).get("nodeName"):
        return PodEnd(deleted_at)  # no kubelet will ever end it
    return None


def lost_with_its_node(seen: Seen, now: datetime) -> bool:
    """Whether a pod should have ended long ago and nobody says that it did."""
    return seen.end is None and seen.deleted_at is not None and now - seen.deleted_at > _LATE


def _last_change(pod: Mapping[str, Json]) -> datetime:
    """The newest time that the pod's status tells."""
    times = [moment(one.get("lastTransitionTime")) for one in pod.get("status", {}).get("conditions", ())]
    times.append(moment(pod["metadata"].get("creationTimestamp")))
    return max((at for at in times if at is not None), default=_EPOCH)


def _condition(pod: Mapping[str, Json], kind: str) -> Mapping[str, Json]:
    return next((one for one in pod.get("status", {}).get("conditions", ()) if one.get("type") == kind), {})


def moment(text: str | None) -> datetime | None:
    """A time as the API server writes it."""
    return datetime.fromisoformat(text) if text else None


# --- how an attempt ended that left no result document --------------------------------------------------------------


def end_fact(seen: Seen, end: PodEnd, diagnosis: Diagnosis | None) -> Fact:
    """The fact about an attempt whose pod ended, as far as the pod itself tells."""
    path, number = seen.key.path, seen.key.number
    at = max(end.at, seen.running_at or end.at)
    if seen.stopped:
        return AttemptStopped(path, number, at, end.exit_code)
    if end.exit_code == 0 and not seen.has_launcher:
        return AttemptSucceeded(path, number, at, Values(), running_at=seen.running_at)
    if diagnosis is not None and diagnosis.fails:
        return failure(seen, diagnosis, at)
    if end.exit_code == 0:
        return AttemptLost(path, number, at, "The step ended well, but its launcher ended before the outputs were stored.")
    if end.exit_code is not None:
        reason = f"The step ended with exit code {end.exit_code}."
        return AttemptFailed(path, number, at, reason, exit_code=end.exit_code, running_at=seen.running_at)
    return AttemptLost(path, number, at, "The step's pod ended, and the cluster does not say why.")


def failure(seen: Seen, diagnosis: Diagnosis, at: datetime) -> Fact:
    """A diagnosis that ends the attempt, as a fact."""
    if diagnosis.lost:
        return AttemptLost(seen.key.path, seen.key.number, at, diagnosis.sentence)
    return AttemptFailed(
        seen.key.path,
        seen.key.number,
        at,
        diagnosis.sentence,
        str(diagnosis.cause),
        diagnosis.exit_code,
        retryable=diagnosis.retryable,
        running_at=seen.running_at,
    )
