"""Messages of the API as serializers: what is taken, with protobuf's JSON rules, and what the OpenAPI document says.

Answers are written by functions beside the views and passed through `compact`: unset values are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from kfdash.wire.errors import Malformed
from kfdash.wire.reading import camel, read_body

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def compact(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message without what is unset: None, False, zero, empty texts, lists and maps. Nested ones are left alone."""
    return {name: value for name, value in message.items() if value or (isinstance(value, float) and value)}


def stamp(at: datetime | None) -> str:
    """A time as the wire has it, whole seconds in UTC; what has not happened is 1970."""
    return (at or EPOCH).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_message(request: Request, kind: type[Message]) -> dict[str, Any]:
    """The request's body as a message: fields by proto name, unset ones absent. An empty body is an empty message.

    Raises Malformed for malformed JSON, an unknown field, a value of the wrong kind.
    """
    body = read_body(request)
    try:
        return dict(kind().run_validation({} if body is None else body))
    except serializers.ValidationError as error:
        raise Malformed("; ".join(_sentences(error.detail, ""))) from None


def _sentences(detail: Any, place: str) -> list[str]:
    if isinstance(detail, Mapping):
        found = []
        for key, inner in detail.items():
            found += _sentences(inner, f"{place}.{key}" if place else str(key))
        return found
    if isinstance(detail, list):
        return [sentence for inner in detail for sentence in _sentences(inner, place)]
    return [f"{place}: {detail}" if place else str(detail)]


class Message(serializers.Serializer[Any]):
    """A protobuf message: fields in snake_case or camelCase, `null` is unset, unknown fields are refused."""

    one_of: tuple[tuple[str, ...], ...] = ()  # groups of fields of which at most one may be set

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The fields that are set, by proto name; those of the server alone are left out."""
        if not isinstance(data, Mapping):
            raise serializers.ValidationError(f"an object is expected here, not {_kind(data)}")
        fields: Mapping[str, Any] = self.fields
        names = {camel(name): name for name in fields} | {name: name for name in fields}
        found: dict[str, Any] = {}
        seen: set[str] = set()
        for key, value in data.items():
            name = names.get(key)
            if name is None:
                raise serializers.ValidationError(f"unknown field {key[:80]!r}")
            if name in seen:
                raise serializers.ValidationError(f"the field {name!r} is given twice")
            seen.add(name)
            if value is None or fields[name].read_only:
                continue
            try:
                found[name] = fields[name].run_validation(value)
            except serializers.ValidationError as error:
                raise serializers.ValidationError({name: error.detail}) from None
        for group in self.one_of:
            if len(given := [name for name in group if name in found]) > 1:
                raise serializers.ValidationError(f"only one of {' and '.join(given)} may be set")
        return found

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        """Nothing is required and nothing has a default: absent is unset."""
        return False, data


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "this")


class _Field(serializers.Field[Any, Any, Any, Any]):
    """A field that is never required."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"required": False} | options if not options.get("read_only") else options))

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field(OpenApiTypes.STR)
class Text(_Field):
    """A string."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError(f"a text is expected, not {_kind(data)}")
        return data


@extend_schema_field(OpenApiTypes.DATETIME)
class Time(_Field):
    """A timestamp: RFC 3339."""

    def to_internal_value(self, data: Any) -> datetime:
        try:
            found = parse_datetime(data) if isinstance(data, str) else None
            found = found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
        except (ValueError, OverflowError):
            found = None
        if found is None:
            raise serializers.ValidationError("a time such as 2026-07-08T10:11:12Z is expected")
        return found


@extend_schema_field(OpenApiTypes.BOOL)
class Flag(_Field):
    """A boolean."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError(f"true or false is expected, not {_kind(data)}")
        return data


@extend_schema_field(OpenApiTypes.INT)
class Int32(_Field):
    """A 32-bit integer: a number on the wire."""

    def to_internal_value(self, data: Any) -> int:
        return _integer(data, 32)


@extend_schema_field({"type": "string", "format": "int64"})
class Int64(_Field):
    """A 64-bit integer: a string on the wire, taken as a number too."""

    def to_internal_value(self, data: Any) -> int:
        return _integer(data, 64)


def _integer(data: Any, bits: int) -> int:
    try:
        if (
            isinstance(data, bool)
            or (isinstance(data, float) and not data.is_integer())
            or (isinstance(data, str) and len(data) > 20)
        ):
            raise ValueError
        found = int(data)
        if abs(found) >= 2 ** (bits - 1):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise serializers.ValidationError(f"a whole number of at most {bits} bits is expected") from None
    return found


@extend_schema_field(OpenApiTypes.DOUBLE)
class Number(_Field):
    """A floating-point number."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise serializers.ValidationError(f"a number is expected, not {_kind(data)}")
        return float(data)


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class Labels(_Field):
    """A map of texts."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
            raise serializers.ValidationError("an object of texts is expected")
        return data


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class Texts(_Field):
    """A list of texts."""

    def to_internal_value(self, data: Any) -> list[str]:
        if not isinstance(data, list) or not all(isinstance(value, str) for value in data):
            raise serializers.ValidationError("a list of texts is expected")
        return data


@extend_schema_field({"type": "object", "additionalProperties": {}})
class Struct(_Field):
    """A free object."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError(f"an object is expected here, not {_kind(data)}")
        return data


class Word(_Field):
    """An enum: its words, or their numbers."""

    def __init__(self, words: Mapping[str, int], **options: Any) -> None:
        super().__init__(**options)
        self.words = words
        extend_schema_field({"type": "string", "enum": list(words)})(self)

    def to_internal_value(self, data: Any) -> str:
        if isinstance(data, str) and data in self.words:
            return data
        if isinstance(data, int) and not isinstance(data, bool):
            for word, number in self.words.items():
                if number == data:
                    return word
        raise serializers.ValidationError(f"one of {', '.join(self.words)} is expected")


class StatusDetail(Message):
    """What google.rpc.Status carries along."""

    code = Int32()
    message = Text()


class Status(Message):
    """google.rpc.Status: the gRPC code, the message, and the short message for people in the details."""

    code = Int32()
    message = Text()
    details = StatusDetail(many=True, required=False)


class Empty(Message):
    """Nothing to say: `{}`."""
