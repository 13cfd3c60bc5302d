"""What tasks get and give. It stands alone: programs that start fast need it, and nothing else of the engine's values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

Json = Any


class ArtifactValue(TypedDict):
    """An artifact as inputs and outputs hold it; JSON as it is. `id` is the row's, 0 while it has none."""

    id: int
    name: str
    uri: str
    type: str
    schema_version: str
    metadata: dict[str, Json]
    custom_path: str


@dataclass(frozen=True, slots=True)
class Values:
    """What a task got or gave: parameters by name, artifacts by name (always lists)."""

    parameters: Mapping[str, Json] = field(default_factory=dict)
    artifacts: Mapping[str, list[ArtifactValue]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """As rows hold it."""
        return {"parameters": dict(self.parameters), "artifacts": dict(self.artifacts)}

    @classmethod
    def from_json(cls, data: Mapping[str, Json] | None) -> Values | None:
        """The inverse of `to_json`; None stays None."""
        return None if data is None else cls(data.get("parameters", {}), data.get("artifacts", {}))
