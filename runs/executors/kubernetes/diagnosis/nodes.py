"""Why each node does not take a pod, where the nodes may be read: its name, and what it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from runs.executors.kubernetes.diagnosis.podview import MAIN, PodView, listed, mapping, text
from runs.executors.kubernetes.diagnosis.wording import memory

Json = Any

MOST_NAMED = 4
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")
_FACTORS = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    **{unit: Fraction(1000 ** (number + 1)) for number, unit in enumerate("kMGTPE")},
    **{f"{unit}i": Fraction(1024 ** (number + 1)) for number, unit in enumerate("KMGTPE")},
}
_BYTES = ("memory", "ephemeral-storage")


def quantity(amount: Json) -> Fraction:
    """A Kubernetes quantity as a number; 0 for what is none."""
    match = _QUANTITY.fullmatch(str(amount).strip())
    return Fraction(match[1]) * _FACTORS.get(match[2], Fraction(0)) if match else Fraction(0)


def requests(spec: Mapping[str, Json]) -> dict[str, Fraction]:
    """What a pod asks of its node in all: its containers and sidecars together."""
    found: dict[str, Fraction] = {}
    sidecars = [one for one in listed(spec.get("initContainers")) if one.get("restartPolicy") == "Always"]
    for container in (*listed(spec.get("containers")), *sidecars):
        resources = mapping(container.get("resources"))
        wanted = {**mapping(resources.get("limits")), **mapping(resources.get("requests"))}
        for resource, amount in wanted.items():
            found[resource] = found.get(resource, Fraction(0)) + quantity(amount)
    return found


def too_large(pod: PodView) -> bool:
    """Whether no node could take the pod even if it were empty; only where nodes are known."""
    wanted = requests(pod.spec)
    return bool(pod.nodes) and not any(_could_take(node, wanted) for node in pod.nodes)


def _could_take(node: Mapping[str, Json], wanted: Mapping[str, Fraction]) -> bool:
    has = mapping(mapping(node.get("status")).get("allocatable"))
    return all(quantity(has.get(kind, 0)) >= asked for kind, asked in wanted.items())


def predicates(pod: PodView) -> list[str]:
    """`node-1 has 23.4 GiB of memory, the step asks for 500 GiB` for each node; empty where there are none or too many."""
    if not 0 < len(pod.nodes) <= MOST_NAMED:
        return []
    wanted = requests(pod.spec)
    return [f"{text(mapping(node.get('metadata')).get('name'))} {_why(pod, node, wanted)}" for node in pod.nodes]


def _why(pod: PodView, node: Mapping[str, Json], wanted: Mapping[str, Fraction]) -> str:
    spec = mapping(node.get("spec"))
    if spec.get("unschedulable"):
        return "is closed to new pods (cordoned)"
    labels = mapping(mapping(node.get("metadata")).get("labels"))
    for key, value in mapping(pod.spec.get("nodeSelector")).items():
        if labels.get(key) != value:
            has = f"has {key}={labels[key]}" if key in labels else f"has no label {key}"
            return f"{has}, the step wants {key}={value}"
    for taint in listed(spec.get("taints")):
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not any(_tolerates(one, taint) for one in _tolerations(pod)):
            value = f"={taint['value']}" if taint.get("value") else ""
            return f"has the taint {taint.get('key')}{value}:{taint.get('effect')}, which the step does not tolerate"
    allocatable = mapping(mapping(node.get("status")).get("allocatable"))
    alone = requests({"containers": [one for one in listed(pod.spec.get("containers")) if one.get("name") == MAIN]})
    for kind, asked in wanted.items():
        there = quantity(allocatable.get(kind, 0))
        if there < asked:
            shown = alone[kind] if alone.get(kind, Fraction(0)) > there else asked
            return f"has {_amount(kind, there)} in all, the step asks for {_amount(kind, shown, short=True)}"
    return "has not enough left beside what runs there"


def _amount(kind: str, count: Fraction, *, short: bool = False) -> str:
    if kind in _BYTES:
        return f"{memory(str(int(count)))}{'' if short else f' of {kind}'}"
    return f"{float(count):g} {'CPU' if kind == 'cpu' else kind}" if count else f"no {'CPU' if kind == 'cpu' else kind}"


def _tolerations(pod: PodView) -> Iterator[Mapping[str, Json]]:
    yield from listed(pod.spec.get("tolerations"))


def _tolerates(toleration: Mapping[str, Json], taint: Mapping[str, Json]) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if not toleration.get("key"):
        return toleration.get("operator") == "Exists"
    if toleration.get("key") != taint.get("key"):
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
