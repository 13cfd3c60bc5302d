"""Inputs and outputs of a task as its panel shows them: names as the user knows them, types in words, values as text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.spec.model import ComponentSpec
from runs import models


def shown_values(
    parameters: Mapping[str, Any], artifacts: Mapping[str, Any], values: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Dicts of `name`, `type`, `text` and `artifacts`, in the component's order; names that it does not declare come last.

    `values` is what a task's row holds (`Values.to_json`), None where there is nothing yet.
    """
    if not values:
        return []
    found = []
    given: Mapping[str, Any] = values.get("parameters", {})
    for name in [*(name for name in parameters if name in given), *(name for name in given if name not in parameters)]:
        kind = parameters[name].type.value if name in parameters else ""
        found.append({"name": shown_name(name), "type": _TYPES.get(kind, ""), "text": as_text(given[name]), "artifacts": []})
    made: Mapping[str, Sequence[Mapping[str, Any]]] = values.get("artifacts", {})
    for name, several in made.items():
        found.append({"name": shown_name(name), "type": "", "text": "", "artifacts": [_artifact(one) for one in several]})
    return found


def shown_arguments(run: models.Run, component: ComponentSpec, path: str) -> list[dict[str, Any]]:
    """What the run was given, while its root task has no inputs yet; nothing for any other path."""
    if path != "root":
        return []
    return shown_values(component.input_parameters, {}, {"parameters": run.arguments})


def _artifact(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": value.get("id", 0),
        "name": value.get("metadata", {}).get("display_name") or value.get("name", "").rpartition("/")[2],
        "type": value.get("type", "").rpartition(".")[2],
        "uri": value.get("uri", ""),
    }


_TYPES = {
    "NUMBER_INTEGER": "integer",
    "NUMBER_DOUBLE": "number",
    "STRING": "string",
    "BOOLEAN": "boolean",
    "LIST": "list",
    "STRUCT": "struct",
    "TASK_FINAL_STATUS": "status",
    "TASK_CONFIG": "configuration",
}


def shown_name(name: str) -> str:
    """An input's name as the user knows it: the compiler's channels lose their prefix."""
    return name.removeprefix("pipelinechannel--")


def as_text(value: Any) -> str:
    """A value as JSON; text as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
