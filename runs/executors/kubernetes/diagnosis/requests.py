"""What a pod asks of its node, as a person writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runs.executors.kubernetes.diagnosis.podview import MAIN, listed, mapping, text
from runs.executors.kubernetes.diagnosis.wording import joined, memory

Json = Any


def asked_for(spec: Mapping[str, Json], resource: str) -> str:
    """How much of a resource the step's own container asks for; empty where it does not say."""
    for container in listed(spec.get("containers")):
        if container.get("name") == MAIN:
            wanted = mapping(container.get("resources"))
            amount = mapping(wanted.get("requests")).get(resource) or mapping(wanted.get("limits")).get(resource)
            if amount is None:
                return ""
            return f"{amount} CPU" if resource == "cpu" else amount_of(resource, str(amount))
    return ""


def amount_of(resource: str, amount: str) -> str:
    """An amount of a resource: `512 MiB` for memory and disk (also in a quota: `requests.memory`), else as it is."""
    return memory(amount) if amount != "0" and ("memory" in resource or "storage" in resource) else amount


def selector_text(spec: Mapping[str, Json]) -> str:
    """`its node selector disk=nvme` or `its node affinity zone In eu-1`; empty where it has neither."""
    labels = mapping(spec.get("nodeSelector"))
    found = []
    if labels:
        found.append("its node selector " + ", ".join(f"{key}={value}" for key, value in labels.items()))
    affinity = mapping(mapping(spec.get("affinity")).get("nodeAffinity"))
    required = mapping(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))
    terms = [_term(term) for term in listed(required.get("nodeSelectorTerms"))]
    if any(terms):
        found.append("its node affinity " + " or ".join(term for term in terms if term))
    return joined(found)


def _term(term: Mapping[str, Json]) -> str:
    rules = [*listed(term.get("matchExpressions")), *listed(term.get("matchFields"))]
    return " and ".join(_rule(rule) for rule in rules)


def _rule(rule: Mapping[str, Json]) -> str:
    values = rule.get("values")
    listed_values = "/".join(str(value) for value in values) if isinstance(values, list) else ""
    return f"{text(rule.get('key'))} {text(rule.get('operator'))} {listed_values}".rstrip()
