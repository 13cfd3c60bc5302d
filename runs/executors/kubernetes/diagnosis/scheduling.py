"""Why no node takes a pod: what the scheduler counts, in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from runs.executors.kubernetes.diagnosis import devices, nodes, preparing
from runs.executors.kubernetes.diagnosis.podview import PodView, listed, mapping, text
from runs.executors.kubernetes.diagnosis.requests import asked_for, selector_text
from runs.executors.kubernetes.diagnosis.verdict import Cause, Diagnosis, tells, waits
from runs.executors.kubernetes.diagnosis.wording import joined, plain

Json = Any

_HEAD = re.compile(r"^\s*(\d+)/(\d+) nodes? (?:are|is) available: ")
_COUNTED = re.compile(r"(\d+) (.+)", re.DOTALL)
_TAIL = re.compile(r"\.?\s*(?:no new claims to deallocate,?|not found$|preemption: .*)", re.DOTALL)
_SPLIT = re.compile(r", (?=\d+ )")
_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
_CLAIM_GOING = re.compile(r'persistentvolumeclaim "([^"]+)" is being deleted')
_CLAIMS = "cannot allocate all claims"
_TAINT = re.compile(r"taint(?:\(s\))? \{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Counted:
    """How many nodes do not take the pod, and why."""

    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unscheduled:
    """The scheduler's message, taken apart."""

    nodes: int
    counted: tuple[Counted, ...]
    about_pod: str  # what holds for all nodes, said without counting
    too_large: bool  # not even an empty node would do, as far as the scheduler says


def read(message: str) -> Unscheduled:
    """Takes a FailedScheduling message apart."""
    head = _HEAD.match(message)
    rest = message[head.end() :] if head else message
    reasons = _TAIL.sub("", rest).strip().rstrip(".")
    counted, about = [], []
    for part in _SPLIT.split(reasons):
        match = _COUNTED.fullmatch(part.strip())
        if match is not None and head is not None:
            counted.append(Counted(int(match[1]), match[2].strip().rstrip(".")))
        elif part.strip():
            about.append(part.strip())
    helpless = "Preemption is not helpful" in message and "No preemption victims" not in message
    return Unscheduled(int(head[2]) if head else 0, tuple(counted), ", ".join(about), helpless)


def look(pod: PodView) -> Diagnosis | None:
    """Why the pod has no node, None where it has one or nothing is known."""
    if pod.node or pod.phase not in ("Pending", ""):
        return None
    condition = pod.condition("PodScheduled")
    if condition.get("reason") == "SchedulingGated":
        gates = joined([text(gate.get("name")) for gate in listed(pod.spec.get("schedulingGates"))])
        return waits(f"Held back: the pod waits for the scheduling gate {gates} to be opened.", Cause.UNSCHEDULABLE)
    message = text(condition.get("message")) if condition.get("status") == "False" else ""
    message = message or pod.said("FailedScheduling")
    if not message:
        scheduler = text(pod.spec.get("schedulerName")) or "default-scheduler"
        if scheduler == "default-scheduler" or condition:
            return None
        return tells(f"Waits for the scheduler {scheduler} to choose a node.", Cause.UNSCHEDULABLE)
    return _claims(pod, message) or _nodes(pod, read(message))


def _claims(pod: PodView, message: str) -> Diagnosis | None:
    if (match := _CLAIM.search(message)) is not None:
        return preparing.missing("claim", match[1], pod.namespace, " (PersistentVolumeClaim)")
    if (match := _CLAIM_GOING.search(message)) is not None:
        said = f"Claim going away: {match[1]} is being deleted. Use another claim."
        return waits(said, Cause.VOLUME)
    if "unbound immediate PersistentVolumeClaims" in message:
        claims = [
            text(mapping(volume.get("persistentVolumeClaim")).get("claimName"))
            for volume in listed(pod.spec.get("volumes"))
            if "persistentVolumeClaim" in volume
        ]
        named = f"claim {joined(claims)} has" if len(claims) == 1 else f"one of the claims {joined(claims)} has"
        said = f"Waits for a volume: the {named} none yet. Check that its storage class exists and can make one of that size."
        return waits(said, Cause.VOLUME)
    return None


def _nodes(pod: PodView, found: Unscheduled) -> Diagnosis:
    if not found.counted:
        if found.nodes == 0 and "no nodes available" in found.about_pod:
            return waits("Cannot be scheduled: the cluster has no nodes. Add one.", Cause.UNSCHEDULABLE)
        said = plain(found.about_pod) or "the scheduler does not say why"
        return waits(f"Cannot be scheduled: {said}.", Cause.UNSCHEDULABLE)
    scarce = [one for one in found.counted if _is_room(one.reason)]
    never = nodes.too_large(pod) if pod.nodes else found.too_large
    devices_lack = any(_CLAIMS in one.reason for one in found.counted)
    reasons = (not devices_lack and _named(pod)) or _counted(pod, found, never)
    if scarce and not never:
        return tells(f"Waits for room: {reasons}. It starts when others end.", Cause.WAITS_FOR_ROOM)
    return waits(f"Cannot be scheduled: {reasons}. {_advice(found)}", Cause.UNSCHEDULABLE)


def _named(pod: PodView) -> str:
    return "; ".join(nodes.predicates(pod))


def _counted(pod: PodView, found: Unscheduled, never: bool) -> str:
    parts = [_part(pod, one, never) for one in found.counted]
    if found.nodes == 1:
        return f"the only node {joined(parts)}"
    return f"of {found.nodes} nodes, {joined([f'{one.count} {part}' for one, part in zip(found.counted, parts, strict=True)])}"


def _is_room(reason: str) -> bool:
    return reason.startswith("Insufficient ") or reason == "Too many pods"


def _part(pod: PodView, one: Counted, never: bool) -> str:
    """One reason as a predicate: `has no …`, `does not …` (`have`, `do` for several nodes)."""
    has, does, be = ("has", "does", "is") if one.count == 1 else ("have", "do", "are")
    reason = one.reason
    if reason.startswith("Insufficient "):
        resource = reason.removeprefix("Insufficient ")
        asked = asked_for(pod.spec, resource)
        enough = f"{has} not enough {'CPU' if resource == 'cpu' else resource}" if never else f"{has} not enough {resource} free"
        return f"{enough}{f' (the step asks for {asked})' if asked else ''}"
    if "taint" in reason:
        match = _TAINT.search(reason)
        named = f" ({match[1].strip().rstrip(':')})" if match else ""
        return f"{has} a taint that the step does not tolerate{named}"
    if "didn't match Pod's node affinity" in reason or "didn't match node selector" in reason:
        wanted = selector_text(pod.spec)
        return f"{does} not match {wanted or 'its node selector or affinity'}"
    for mark, told in (
        ("Too many pods", f"{has} no room for more pods"),
        ("were unschedulable", f"{be} closed to new pods (cordoned)"),
        ("volume node affinity conflict", f"{be} not where its volume lies"),
        ("didn't find available persistent volumes", f"{has} no volume for its claim"),
        ("exceed max volume count", f"{has} as many volumes as it can"),
        ("free ports", f"{has} the step's port taken"),
        ("pod anti-affinity", f"{be} taken by pods that it must not stand beside"),
        ("pod affinity", f"{has} none of the pods that it must stand beside"),
        ("topology spread", f"{does} not fit its spread over zones"),
        ("had no available volume zone", f"{be} not in its volume's zone"),
        ("not ready", f"{be} not ready"),
        (_CLAIMS, f"{has} no free device for the step's resource claim {devices.names(pod)}"),
    ):
        if mark in reason:
            return told
    return f"{has}: {plain(reason)}"


def _advice(found: Unscheduled) -> str:
    reasons = " ".join(one.reason for one in found.counted)
    advice = []
    if "Insufficient " in reasons:
        advice.append("ask for less, or add a node that has as much")
    if "affinity/selector" in reasons or "node selector" in reasons:
        advice.append("label a node, or change the step's node selector")
    if "taint" in reasons:
        advice.append("give the step a toleration")
    if _CLAIMS in reasons:
        advice.append("wait until such a device is free, or claim another")
    if "unschedulable" in reasons:
        advice.append("open the node again (uncordon)")
    if not advice:
        return "Look at the nodes, or change where the step may run."
    told = "; or ".join(advice)
    return f"{told[:1].upper()}{told[1:]}."
