"""Pods that were taken away: deleted, evicted, preempted, lost with their node."""

from __future__ import annotations

import re

from runs.executors.kubernetes.diagnosis.podview import MAIN, PodView, text
from runs.executors.kubernetes.diagnosis.verdict import Cause, Diagnosis, fails, loses
from runs.executors.kubernetes.diagnosis.wording import memory, plain

_VOLUME = re.compile(r'Usage of EmptyDir volume "([^"]+)" exceeds the limit "([^"]+)"')
_CONTAINER_DISK = re.compile(r"Container (\S+) exceeded its local ephemeral storage limit \"([^\"]+)\"")
_POD_DISK = re.compile(r"[Ee]phemeral local storage usage exceeds the total limit of containers (\S+?)\.?\s*$")
_LOW = re.compile(r"The node was low on resource: ([\w/-]+)")
_USED = re.compile(r"Container (\S+) was using (\w+), request is (\w+)")
_PRESSURE = re.compile(r"The node had condition: \[(\w+)\]")
_RESOURCES = {
    "memory": "memory",
    "ephemeral-storage": "disk",
    "inodes": "inodes of its disk",
    "pids": "process numbers",
    "MemoryPressure": "memory",
    "DiskPressure": "disk",
    "PIDPressure": "process numbers",
}


def look(pod: PodView) -> Diagnosis | None:
    """Why the pod was taken away, None for one that was not."""
    condition = pod.condition("DisruptionTarget")
    disrupted = text(condition.get("reason")) if condition.get("status") == "True" else ""
    node = pod.node or "its node"
    if pod.reason == "Evicted" or (pod.phase == "Running" and pod.newest("Evicted") is not None):
        return _evicted(pod)
    match disrupted:
        case "PreemptionByScheduler":
            return loses(f"Preempted: the cluster gave its place on {node} to a pod of higher priority.", Cause.PREEMPTED)
        case "EvictionByEvictionAPI":
            return loses(f"Moved off its node: {node} is being emptied (drained), and the pod was ended for it.", Cause.EVICTED)
        case "DeletionByTaintManager":
            return loses(_tainted(pod), Cause.NODE_LOST)
        case "DeletionByPodGC":
            return loses(f"Node lost: {node} is no more in the cluster, and the pod went with it.", Cause.NODE_LOST)
    if pod.reason in ("NodeLost", "NodeShutdown", "Shutdown", "Terminated") or disrupted == "TerminationByKubelet":
        why = "does not answer any more" if pod.reason == "NodeLost" else "was shut down"
        return loses(f"Node lost: {node} {why} while the step was on it.", Cause.NODE_LOST)
    if pod.being_deleted:
        began = any(container.running or container.ended for container in pod.containers if container.name == MAIN)
        state = "while it ran" if began else "before it had begun"
        return loses(f"Pod deleted: somebody deleted {pod.name} {state}.", Cause.DELETED)
    return None


def _tainted(pod: PodView) -> str:
    if pod.newest("NodeNotReady") is not None or pod.condition("Ready").get("status") in ("Unknown", "False"):
        return f"Node lost: {pod.node} does not answer any more, and the cluster gave its pods up."
    return f"Moved off its node: {pod.node} got a taint (NoExecute) that the step does not tolerate."


def _evicted(pod: PodView) -> Diagnosis:
    message = pod.message or pod.said("Evicted")
    if (match := _VOLUME.search(message)) is not None:
        said = f"Evicted: it wrote more than {memory(match[2])}, the limit of its volume {match[1]}. Raise the limit or write less."
        return fails(said, Cause.EVICTED)
    if (match := _CONTAINER_DISK.search(message)) is not None:
        return fails(_disk(memory(match[2])), Cause.EVICTED)
    if (match := _POD_DISK.search(message)) is not None:
        return fails(_disk(memory(match[1])), Cause.EVICTED)
    node = pod.node or "its node"
    if (match := _LOW.search(message)) is not None or (match := _PRESSURE.search(message)) is not None:
        what = _RESOURCES.get(match[1], match[1])
        said = f"Evicted: {node} ran low on {what}{_used(message)}."
        advice = f" Ask for as much {what} as the step uses." if match[1] in ("memory", "ephemeral-storage") else ""
        return loses(said + advice, Cause.EVICTED)
    return loses(f"Evicted from {node}: {plain(message) or 'the node does not say why'}.", Cause.EVICTED)


def _disk(limit: str) -> str:
    told = f"Evicted: it wrote more than {limit} to its container's disk, its limit."
    return f"{told} Raise the limit of ephemeral-storage or write less."


def _used(message: str) -> str:
    """` (the step used 4 GiB and had asked for 0)` where the kubelet says so."""
    for name, used, asked in _USED.findall(message):
        if name == MAIN:
            return f"; the step used {memory(used)} and had asked for {memory(asked) if asked != '0' else 'none'}"
    return ""
