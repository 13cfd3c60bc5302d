"""Lays one pod over another: what the one above says wins, lists of named things are merged by their name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any

NAMED: Mapping[str, str] = {  # a list in a pod → what tells its items apart
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
}
_JOINED = ("tolerations", "envFrom", "finalizers", "claims")  # lists without keys of which both parts hold


def laid_over(below: Mapping[str, Json], above: Mapping[str, Json]) -> dict[str, Json]:
    """A new dict with what either says; neither is changed. Of a volume's source, only the one above holds."""
    found = dict(below)
    for key, value in above.items():
        under = found.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            found[key] = laid_over(under, value)
        elif isinstance(under, list) and isinstance(value, list) and key in NAMED:
            found[key] = _merged(under, value, NAMED[key], whole=key in ("volumes", "env"))
        elif isinstance(under, list) and isinstance(value, list) and key in _JOINED:
            found[key] = under + [item for item in value if item not in under]
        else:
            found[key] = value
    return found


def _merged(below: list[Json], above: list[Json], key: str, *, whole: bool) -> list[Json]:
    """Items of `above` in their order, over those of `below` with the same key; what only `below` has comes after them."""
    under = {item.get(key): item for item in below if isinstance(item, Mapping)}
    found = []
    for item in above:
        beneath = under.pop(item.get(key), None)
        found.append(item if whole or beneath is None else laid_over(beneath, item))
    return found + list(under.values())
