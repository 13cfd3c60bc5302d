"""What a run is given: whether it fits the pipeline's inputs, and macros such as `[[RunUUID]]` in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.spec.model import ParameterDefinition, ParameterType, PipelineSpec
from pipelines.spec.storable import unstorable
from pipelines.spec.values import fits, kind_of, to_text

Json = Any

_SET_BY_THE_SYSTEM = frozenset({ParameterType.TASK_FINAL_STATUS, ParameterType.TASK_CONFIG})
_WANTED: Mapping[ParameterType, str] = {
    ParameterType.NUMBER_INTEGER: "a number",
    ParameterType.NUMBER_DOUBLE: "a number",
    ParameterType.STRING: "a string",
    ParameterType.BOOLEAN: "true or false",
    ParameterType.LIST: "a list",
    ParameterType.STRUCT: "an object",
}


def check_arguments(spec: PipelineSpec, arguments: Mapping[str, Json]) -> dict[str, str]:
    """What is wrong with a run's arguments: input name → sentence; empty where all is well.

    A null counts as not given where the input is optional.
    """
    inputs = spec.root.input_parameters
    errors: dict[str, str] = {}
    for name, value in arguments.items():
        if name in inputs:
            if problem := _problem(inputs[name], value):
                errors[name] = problem
        elif name in spec.root.input_artifacts:
            errors[name] = f"`{name}` is an artifact; a run can be given parameters only."
        else:
            errors[name] = f"The pipeline has no input `{name}`."
    for name, definition in inputs.items():
        if (
            name not in arguments
            and not (definition.optional or definition.has_default)
            and definition.type not in _SET_BY_THE_SYSTEM
        ):
            errors[name] = f"`{name}` is missing: it has no default, so a value must be given."
    return errors


def _problem(definition: ParameterDefinition, value: Json) -> str | None:
    if definition.type in _SET_BY_THE_SYSTEM:
        return "This input is set by the system; a value cannot be given."
    if value is None and definition.optional:
        return None
    if problem := unstorable(value):
        return problem
    if not fits(definition.type, value):
        return f"This must be {_WANTED[definition.type]}, not {kind_of(value)}."
    if definition.literals and value not in definition.literals:
        return f"This must be one of {', '.join(to_text(literal) for literal in definition.literals)}."
    return None


# --- macros ---------------------------------------------------------------------------------------------------------

_MACRO = re.compile(
    r"\[\[(?P<name>RunUUID|Index|(?P<time>CurrentTime|ScheduledTime)(?:\.(?P<layout>[^\]]{1,200}))?)\]\]"
    r"|\{\{\$\.(?P<strftime>currentTime|scheduledTime)\.strftime\(\s*(?P<quote>['\"])(?P<format>[^'\"\n]{0,200})(?P=quote)\s*\)\}\}"
)
_PLAIN_TIME = "%Y%m%d%H%M%S"


def expand_macros(
    arguments: Mapping[str, Json],
    *,
    run_id: str,
    created_at: datetime,
    scheduled_at: datetime | None,
    index: int | None = None,
) -> dict[str, Json]:
    """The arguments with the macros in their strings replaced (top level only, as KFP does it).

    `scheduled_at` is None for a run that no schedule planned, `index` counts a schedule's runs from 1. A macro that has no
    value, or that is not known, stays as it is. Times are given in UTC.
    """
    times = {"currenttime": created_at.astimezone(UTC)}
    if scheduled_at is not None:
        times["scheduledtime"] = scheduled_at.astimezone(UTC)

    def replaced(match: re.Match[str]) -> str:
        if match["name"] == "RunUUID":
            return run_id
        if match["name"] == "Index":
            return match[0] if index is None else str(index)
        at = times.get((match["time"] or match["strftime"]).lower())
        if at is None:
            return match[0]
        if match["strftime"]:
            return _strftime(at, match["format"])
        return go_time(at, match["layout"]) if match["layout"] else at.strftime(_PLAIN_TIME)

    return {name: _MACRO.sub(replaced, value) if isinstance(value, str) else value for name, value in arguments.items()}


def _strftime(at: datetime, format: str) -> str:
    """`strftime`, with `%s` (seconds since 1970) the same on every system."""
    return at.strftime(re.sub(r"(?<!%)((?:%%)*)%s", rf"\g<1>{int(at.timestamp())}", format))


# --- Go's time layouts ----------------------------------------------------------------------------------------------

_GO_LAYOUT: Mapping[str, Callable[[datetime], str]] = {
    "January": lambda at: at.strftime("%B"),
    "Jan": lambda at: at.strftime("%b"),
    "Monday": lambda at: at.strftime("%A"),
    "Mon": lambda at: at.strftime("%a"),
    "MST": lambda at: "UTC",
    "2006": lambda at: f"{at.year:04}",
    "-07:00": lambda at: "+00:00",
    "-0700": lambda at: "+0000",
    "-07": lambda at: "+00",
    "Z07:00": lambda at: "Z",
    "Z0700": lambda at: "Z",
    "Z07": lambda at: "Z",
    "002": lambda at: f"{at.timetuple().tm_yday:03}",
    "01": lambda at: f"{at.month:02}",
    "02": lambda at: f"{at.day:02}",
    "03": lambda at: f"{at.hour % 12 or 12:02}",
    "04": lambda at: f"{at.minute:02}",
    "05": lambda at: f"{at.second:02}",
    "06": lambda at: f"{at.year % 100:02}",
    "15": lambda at: f"{at.hour:02}",
    "PM": lambda at: "AM" if at.hour < 12 else "PM",
    "pm": lambda at: "am" if at.hour < 12 else "pm",
    "_2": lambda at: f"{at.day:2}",
    "1": lambda at: str(at.month),
    "2": lambda at: str(at.day),
    "3": lambda at: str(at.hour % 12 or 12),
    "4": lambda at: str(at.minute),
    "5": lambda at: str(at.second),
}
_GO_PIECE = re.compile(
    # The longest first; a fraction of a second is a point or comma and zeros or nines, with no digit after them.
    r"(?P<fraction>[.,](?:0+|9+)(?![0-9]))|" + "|".join(re.escape(piece) for piece in sorted(_GO_LAYOUT, key=len, reverse=True))
)


def go_time(at: datetime, layout: str) -> str:
    """A time in UTC in the layout of Go's `time.Format`, whose example is `Mon Jan 2 15:04:05 MST 2006`."""

    def piece(match: re.Match[str]) -> str:
        fraction = match["fraction"]
        if not fraction:
            return _GO_LAYOUT[match[0]](at)
        digits = f"{at.microsecond:06}000"[: len(fraction) - 1]
        if fraction[1] == "9":
            digits = digits.rstrip("0")
            return fraction[0] + digits if digits else ""
        return fraction[0] + digits

    return _GO_PIECE.sub(piece, layout)
