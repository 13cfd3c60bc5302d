"""Parameter values: how they become text, whether they fit their declared type, and placeholders in constants.

Numbers are ints where they are integral (`normalise`), because KFP shows `3.0` as `3` everywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.spec.parameter_types import ParameterType

Json = Any

WORKSPACE_PATH = "/kfp-workspace"

_INPUT_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\[(?:'([^'\]]*)'|\"([^\"\]]*)\")\]\}\}")
_HTML_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_HTML_CHARACTERS = re.compile("[<>&\u2028\u2029]")

_KINDS: Mapping[ParameterType, tuple[type, ...]] = {
    ParameterType.NUMBER_INTEGER: (int, float),
    ParameterType.NUMBER_DOUBLE: (int, float),
    ParameterType.STRING: (str,),
    ParameterType.BOOLEAN: (bool,),
    ParameterType.LIST: (list,),
    ParameterType.STRUCT: (dict,),
    ParameterType.TASK_FINAL_STATUS: (dict,),
    ParameterType.TASK_CONFIG: (dict,),
}


def normalise(value: Json) -> Json:
    """The value with every integral float as an int, at every depth."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list | tuple):
        return [normalise(item) for item in value]
    if isinstance(value, dict):
        return {key: normalise(item) for key, item in value.items()}
    return value


def to_json_text(value: Json) -> str:
    """Compact JSON with sorted keys, and `< > &` escaped as Go does it."""
    text = json.dumps(normalise(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return _HTML_CHARACTERS.sub(lambda match: _HTML_ESCAPES[match.group()], text)


def to_text(value: Json) -> str:
    """The value as command lines, STRING inputs and f-strings show it: no exponents, null empty, structures as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_text(value)
    return to_json_text(value)


def _float_text(value: float) -> str:
    """The shortest plain decimal form; what is no finite number stays as Python names it."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value.is_integer():
        return str(int(value))
    digits, _, exponent = repr(value).partition("e")
    if not exponent:
        return digits
    sign = "-" if value < 0 else ""  # what has an exponent here is small: large numbers are integral
    return f"{sign}0.{'0' * (-int(exponent) - 1)}{digits.lstrip('-').replace('.', '')}"


def fits(type: ParameterType, value: Json) -> bool:
    """Whether the value's JSON kind is that of the type; both number types take any number."""
    if isinstance(value, bool):
        return type is ParameterType.BOOLEAN
    return isinstance(value, _KINDS[type])


def kind_of(value: Json) -> str:
    """The value's JSON kind in a person's words: `a number`, `a list`, …"""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"


# --- placeholders in constants --------------------------------------------------------------------------------------


def has_placeholders(value: Json) -> bool:
    """Whether a constant may hold placeholders, at any depth."""
    return isinstance(value, str | list | tuple | dict) and "{{$" in str(value)


def expand(value: Json, constants: Mapping[str, str], parameter: Callable[[str], str | None]) -> Json:
    """A constant with its placeholders replaced, in strings at every depth (keys of objects too).

    `constants` has the whole placeholders (`{{$.pipeline_job_name}}`) as keys. `parameter` gives the text of an input,
    or None where there is no such input: then the placeholder stays as it is.
    """
    if isinstance(value, str):
        return _expand_text(value, constants, parameter)
    if isinstance(value, list | tuple):
        return [expand(item, constants, parameter) for item in value]
    if isinstance(value, dict):
        return {_expand_text(key, constants, parameter): expand(item, constants, parameter) for key, item in value.items()}
    return value


def _expand_text(text: str, constants: Mapping[str, str], parameter: Callable[[str], str | None]) -> str:
    if "{{$" not in text:
        return text

    def constant_or_input(match: re.Match[str]) -> str:
        if match.group() in constants:
            return constants[match.group()]
        name = _INPUT_PARAMETER.fullmatch(match.group())
        found = parameter(name.group(1) or name.group(2) or "") if name else None
        return match.group() if found is None else found

    # One pass, so that a placeholder inside a replaced value stays text.
    return re.sub(r"\{\{\$[^{}]*\}\}", constant_or_input, text)


def parameters_mentioned(value: Json) -> frozenset[str]:
    """Names of the inputs that placeholders in a constant refer to."""
    if isinstance(value, str):
        return frozenset(match.group(1) or match.group(2) or "" for match in _INPUT_PARAMETER.finditer(value))
    if isinstance(value, list | tuple):
        return frozenset().union(*(parameters_mentioned(item) for item in value))
    if isinstance(value, dict):
        return frozenset().union(*(parameters_mentioned(key) | parameters_mentioned(item) for key, item in value.items()))
    return frozenset()
