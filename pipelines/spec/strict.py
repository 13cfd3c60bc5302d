"""Strict reading of protobuf JSON with KFP's own messages: what fits comes out canonical, what does not is named, all of it."""

from __future__ import annotations

import math
import os
import re
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from pipelines.spec.problems import MAX_PROBLEMS, Finding, Place, suggestion
from pipelines.spec.values import kind_of

# Beside an installed `kfp`, the package would load the whole SDK (over a second) without this. It is set for this import
# only: the SDK itself cannot be imported under it, and children of this process must not inherit it.
_before = os.environ.get("_KFP_RUNTIME")
os.environ["_KFP_RUNTIME"] = "true"
try:
    from kfp.pipeline_spec import pipeline_spec_pb2
finally:
    if _before is None:
        del os.environ["_KFP_RUNTIME"]
    else:
        os.environ["_KFP_RUNTIME"] = _before

Json = Any

PIPELINE_SPEC: type[Message] = pipeline_spec_pb2.PipelineSpec
PLATFORM_SPEC: type[Message] = pipeline_spec_pb2.PlatformSpec
DEPLOYMENT_CONFIG: type[Message] = pipeline_spec_pb2.PipelineDeploymentConfig

_RECURSION = 1000  # the reader of documents has its own, lower limit
_REFUSALS = (json_format.ParseError, TypeError, ValueError, AttributeError)
_DURATION = re.compile(r"-?[0-9]+(\.[0-9]{1,9})?s")
_INTEGER_TYPES = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}
_FLOAT_TYPES = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}


def canonical(
    value: Json, message: type[Message], place: Place = (), *, tolerant: bool = False
) -> tuple[dict[str, Json], list[Finding]]:
    """The value as `message` says it (camelCase, defaults dropped, keys sorted), and what in it did not fit.

    Where something does not fit, the rest is given without it. `tolerant` drops unknown fields in silence, as KFP does
    inside `deploymentSpec`.
    """
    try:
        return _round_trip(value, message, tolerant), []
    except _REFUSALS as error:
        reason = str(error)
    findings: list[Finding] = []
    pruned = _Pruner(findings, tolerant).message(value, message.DESCRIPTOR, place)
    try:
        return _round_trip(pruned, message, True), findings or [Finding(place, f"This cannot be read: {reason}")]
    except _REFUSALS as error:
        return {}, [*findings, Finding(place, f"This cannot be read: {error}")]


def _round_trip(value: Json, message: type[Message], tolerant: bool) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    parsed = json_format.ParseDict(value, message(), ignore_unknown_fields=tolerant, max_recursion_depth=_RECURSION)
    return _sorted(json_format.MessageToDict(parsed))  # type: ignore[no-any-return]


def _sorted(value: Json) -> Json:
    """With keys in order: protobuf's maps have none of their own, and some databases keep none."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


class _Pruner:
    """Walks a value along a message's fields, notes what does not fit and leaves it out."""

    def __init__(self, findings: list[Finding], tolerant: bool) -> None:
        self._findings = findings
        self._tolerant = tolerant

    def message(self, value: Json, descriptor: Descriptor, place: Place) -> dict[str, Json]:
        if not isinstance(value, dict):
            self._misfit(value, "an object", place)
            return {}
        fields = {**descriptor.fields_by_name, **descriptor.fields_by_camelcase_name}
        kept: dict[str, Json] = {}
        chosen: dict[str, str] = {}  # oneof → the field that is set
        for key, item in value.items():
            field = fields.get(key)
            here = (*place, key)
            if field is None:
                if not self._tolerant:
                    known = descriptor.fields_by_camelcase_name if len(self._findings) < MAX_PROBLEMS else ()
                    self._findings.append(Finding(here, f"There is no field `{key}` here{suggestion(key, known)}"))
                continue
            if item is None and not _takes_null(field):
                continue
            choice = field.containing_oneof
            if choice is not None and chosen.setdefault(choice.name, key) != key:
                first = chosen[choice.name]
                self._findings.append(Finding(here, f"`{first}` and `{key}` exclude each other; keep one of them."))
                continue
            read = self._field(item, field, here)
            if read is not None or item is None:
                kept[field.json_name] = read
        return kept

    def _field(self, value: Json, field: FieldDescriptor, place: Place) -> Json:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if not isinstance(value, dict):
                return self._misfit(value, "an object", place)
            entry = field.message_type.fields_by_name["value"]
            items = {key: self._map_value(item, entry, (*place, key)) for key, item in value.items()}
            return {key: item for key, item in items.items() if item is not None}
        if field.is_repeated:
            if not isinstance(value, list):
                return self._misfit(value, "a list", place)
            items_read = [self._map_value(item, field, (*place, index)) for index, item in enumerate(value)]
            return [item for item in items_read if item is not None]
        return self._single(value, field, place)

    def _map_value(self, value: Json, field: FieldDescriptor, place: Place) -> Json:
        if value is None and not _takes_null(field):
            self._findings.append(Finding(place, "A value is missing here."))
            return None
        return self._single(value, field, place)

    def _single(self, value: Json, field: FieldDescriptor, place: Place) -> Json:
        if field.message_type is not None:
            return self._message_value(value, field.message_type, place)
        if field.enum_type is not None:
            names = field.enum_type.values_by_name
            known: Any = field.enum_type.values_by_number if isinstance(value, int) else names
            if isinstance(value, str | int) and value in known:
                return value
            return self._misfit(value, f"one of {', '.join(list(names)[1:])}", place)
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            return value if isinstance(value, str) else self._misfit(value, "text (in quotes)", place)
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return value if isinstance(value, bool) else self._misfit(value, "true or false", place)
        if kind in _INTEGER_TYPES:
            return value if _is_number(value, int) else self._misfit(value, "a whole number", place)
        if kind in _FLOAT_TYPES:
            return value if _is_number(value, float) else self._misfit(value, "a number", place)
        return value

    def _message_value(self, value: Json, descriptor: Descriptor, place: Place) -> Json:
        name = descriptor.full_name
        if name == "google.protobuf.Value":
            return value
        if name == "google.protobuf.Struct":
            return value if isinstance(value, dict) else self._misfit(value, "an object", place)
        if name == "google.protobuf.Duration":
            right = isinstance(value, str) and _DURATION.fullmatch(value)
            return value if right else self._misfit(value, 'a time like "10s"', place)
        return self.message(value, descriptor, place)

    def _misfit(self, value: Json, wanted: str, place: Place) -> None:
        given = f"the text `{value[:60]}`" if isinstance(value, str) else kind_of(value)
        self._findings.append(Finding(place, f"This must be {wanted}, not {given}."))


def _takes_null(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Value" and not field.is_repeated


def _is_number(value: Json, kind: type) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return kind is float or float(value).is_integer()
    if not isinstance(value, str):
        return False
    try:
        return math.isfinite(kind(value))
    except (ValueError, OverflowError):
        return False
