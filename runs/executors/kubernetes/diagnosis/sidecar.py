"""The containers beside the step's own: kfdash's launcher, and the init containers that the pipeline asks for."""

from __future__ import annotations

import re

from runs.executors.kubernetes.diagnosis import ending
from runs.executors.kubernetes.diagnosis.podview import LAUNCHER, MAIN, ContainerView, Ended, PodView
from runs.executors.kubernetes.diagnosis.verdict import Cause, Diagnosis, fails, waits
from runs.executors.kubernetes.diagnosis.wording import memory, plain

_NO_MODULE = re.compile(r"No module named '[^']+'")
_GIVEN_UP = 4  # restarts of a launcher, about a minute and a half of the cluster's back-off


def failed_before(pod: PodView) -> Diagnosis | None:
    """An init container that failed: the step's own container never begins."""
    for container in pod.containers:
        if not container.is_init or container.is_sidecar:
            continue
        ended = container.ended
        if ended is None or ended.code == 0:
            continue
        if ended.reason == "OOMKilled":
            limit = container.limit("memory")
            at = f" at its limit of {memory(limit)}" if limit else ""
            said = f"Init container {container.name} ran out of memory{at}; the step did not begin."
            return fails(said, Cause.INIT_CONTAINER, exit_code=ended.code)
        if ended.reason in ("StartError", "ContainerCannotRun"):
            return ending.not_started(ended.message, container)
        said = f"Init container {container.name} failed with exit code {ended.code}{_said(ended)}; the step did not begin."
        return fails(said, Cause.INIT_CONTAINER, exit_code=ended.code)
    return None


def look(pod: PodView) -> Diagnosis | None:
    """A sidecar that does not stay up, while the step itself has not ended."""
    main = pod.container(MAIN)
    if main is not None and main.ended is not None:
        return None
    launcher = pod.container(LAUNCHER)
    if launcher is not None and (found := _launcher(pod, launcher)) is not None:
        return found
    for container in pod.containers:
        if container.is_sidecar and container.name != LAUNCHER and container.waiting == "CrashLoopBackOff":
            ended = container.ended_before
            told = f" (exit code {ended.code}{_said(ended)})" if ended is not None else ""
            return waits(f"Sidecar {container.name} keeps failing{told}; the cluster starts it again.", Cause.INIT_CONTAINER)
    return None


def _launcher(pod: PodView, launcher: ContainerView) -> Diagnosis | None:
    ended = launcher.ended or (launcher.ended_before if launcher.waiting == "CrashLoopBackOff" else None)
    if ended is None or (ended.code == 0 and pod.newest("FailedPostStartHook") is None):
        return None
    times = f" ({launcher.restarts} restarts)" if launcher.restarts > 1 else ""
    said = f"kfdash's launcher fails in this pod{times}: {_launcher_end(pod, launcher, ended)}"
    return fails(said, Cause.LAUNCHER) if launcher.restarts >= _GIVEN_UP else waits(said, Cause.LAUNCHER)


def _launcher_end(pod: PodView, launcher: ContainerView, ended: Ended) -> str:
    if ended.reason == "OOMKilled":
        limit = launcher.limit("memory")
        return f"out of memory{f' at its limit of {memory(limit)}' if limit else ''}. Raise it in the pod template."
    if pod.newest("FailedPostStartHook") is not None:
        return f"its hook could not lay kfdash's program into the pod. Is {launcher.image} the image of this kfdash (KFDASH_IMAGE)?"
    if ended.reason in ("StartError", "ContainerCannotRun"):
        return f"it cannot be started, {plain(ended.message)}. Is {launcher.image} the image of this kfdash (KFDASH_IMAGE)?"
    if (match := _NO_MODULE.search(ended.message)) is not None:
        return f"{match[0]}. Is {launcher.image} the image of this kfdash (KFDASH_IMAGE)?"
    return f"exit code {ended.code}{_said(ended)}. The cluster starts it again."


def no_result(pod: PodView) -> Diagnosis:
    """That the step's command ended well and no result of it arrived."""
    launcher = pod.container(LAUNCHER)
    ended = launcher.ended if launcher is not None else None
    why = "kfdash's launcher told nothing of it"
    if ended is not None and ended.reason == "OOMKilled":
        why = "kfdash's launcher ran out of memory"
    elif ended is not None and ended.code:
        why = f"kfdash's launcher ended with exit code {ended.code}{_said(ended)}"
    return fails(f"No result: the command ended well, but {why}, so its outputs are not stored.", Cause.LAUNCHER, exit_code=0)


def _said(ended: Ended) -> str:
    """The last line of a container's termination message, after a colon."""
    return f": {plain(ended.message.splitlines()[-1])}" if ended.message else ""
