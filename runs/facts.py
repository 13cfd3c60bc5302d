"""Facts as JSON, for their way through Redis to the driver."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any, get_args

from runs.engine.model import Fact, Phase, Values

_KINDS = {kind.__name__: kind for kind in get_args(Fact)}
_TIMES = {"at", "running_at", "collecting_at", "starting_at"}


def encode(fact: Fact) -> dict[str, Any]:
    """A fact as a JSON object; `fact` names its kind, fields at their defaults are left out."""
    data: dict[str, Any] = {"fact": type(fact).__name__}
    for field in dataclasses.fields(fact):
        value = getattr(fact, field.name)
        if value is None or value == field.default:
            continue
        if isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, Values):
            value = value.to_json()
        data[field.name] = value
    return data


def decode(data: dict[str, Any]) -> Fact:
    """The inverse of `encode`. Raises KeyError or TypeError for what it did not write."""
    fields = dict(data)
    kind = _KINDS[fields.pop("fact")]
    for name, value in fields.items():
        if name in _TIMES:
            fields[name] = datetime.fromisoformat(value)
        elif name == "phase":
            fields[name] = Phase(value)
        elif name == "outputs":
            fields[name] = Values.from_json(value)
    return kind(**fields)
