"""Filters of lists: KFP's predicates as JSON in the query, turned into conditions of the database."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from functools import reduce
from operator import and_, or_
from typing import Any
from urllib.parse import unquote_plus

from django.db.models import CharField, DateTimeField, F, Func, Q, UUIDField, Value
from django.db.models.functions import Coalesce, Left, Lower
from django.db.models.lookups import Contains, Exact, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual
from django.utils.dateparse import parse_date, parse_datetime

from kfdash.containing import contains
from kfdash.tagged import tag_is
from kfdash.wire.errors import Malformed, WireError, invalid
from kfdash.wire.messages import EPOCH
from kfdash.wire.reading import camel, read_id, read_json

_OPERATIONS = {
    1: "EQUALS",
    2: "NOT_EQUALS",
    3: "GREATER_THAN",
    5: "GREATER_THAN_EQUALS",
    6: "LESS_THAN",
    7: "LESS_THAN_EQUALS",
    8: "IN",
    9: "IS_SUBSTRING",
}
_WORDS = frozenset(_OPERATIONS.values())
_SCALARS = ("int_value", "long_value", "string_value", "timestamp_value")
_LISTS = ("int_values", "long_values", "string_values")
_FIELDS = {spelling: name for name in ("operation", "key", *_SCALARS, *_LISTS) for spelling in (name, camel(name))}
_LOOKUPS = {"GREATER_THAN": "gt", "GREATER_THAN_EQUALS": "gte", "LESS_THAN": "lt", "LESS_THAN_EQUALS": "lte"}
_TEXT_LOOKUPS = {
    "EQUALS": Exact,
    "GREATER_THAN": GreaterThan,
    "GREATER_THAN_EQUALS": GreaterThanOrEqual,
    "LESS_THAN": LessThan,
    "LESS_THAN_EQUALS": LessThanOrEqual,
}
_BEGIN_LOOKUPS = {**_TEXT_LOOKUPS, "GREATER_THAN": GreaterThanOrEqual, "LESS_THAN": LessThanOrEqual}
_BEGINNING = 200  # characters
_NOBODY = uuid.UUID(int=0)
_MOST_PREDICATES = 100
_NOTHING = Q(pk__in=[])
_BAD_ESCAPE = re.compile("%(?![0-9a-fA-F]{2})")
_FIRST_SECOND, _LAST_SECOND = -62135596800, 253402300798


class Kind(Enum):
    """How a column is compared."""

    TEXT = auto()  # without regard to case
    TIME = auto()  # as whole Unix seconds
    ID = auto()
    WORD = auto()  # an enum: words on the wire, each of which stands for words in rows
    NUMBER = auto()  # an integer
    FIXED = auto()  # the same text in every row


@dataclass(frozen=True)
class Column:
    """A key of filters and sorting: `source` is the ORM's name, for FIXED the text itself."""

    source: str
    kind: Kind = Kind.TEXT
    nullable: bool = False  # a time that may not have happened yet: 1970; an id that may be none: sorted as zeros
    long: bool = False  # a text without a limit: sorted by its beginning, as no index takes whole ones
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Predicate:
    """One condition; `value` is a list with IN, else a scalar."""

    operation: str
    key: str
    value: Any


def kept_predicate(operation: Any, key: Any, value: Any) -> Predicate:
    """A predicate from a page token, as `Page` wrote it there. Raises ValueError."""
    values = value if isinstance(value, list) else [value]
    if operation not in _WORDS or not isinstance(key, str) or (operation == "IN") != isinstance(value, list):
        raise ValueError(operation)
    if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in values):
        raise ValueError(value)
    return Predicate(operation, key, value)


def read_filter(text: str) -> tuple[Predicate, ...]:
    """The predicates in a `filter` parameter; none where it is empty. The text may be URL-encoded once more, as UIs send it.

    Raises WireError.
    """
    if not text.strip():
        return ()
    try:
        data = _decode(text)
    except Malformed as error:
        raise invalid(f"The filter cannot be read. {error.sentence}") from None
    if not isinstance(data, dict) or data.keys() - {"predicates"}:
        raise invalid('The filter must be an object such as {"predicates": [{"operation": "EQUALS", …}]}.')
    predicates = data.get("predicates") or []
    if not isinstance(predicates, list) or len(predicates) > _MOST_PREDICATES:
        raise invalid(f"The filter's predicates must be a list of at most {_MOST_PREDICATES}.")
    return tuple(_read_predicate(predicate) for predicate in predicates)


def _decode(text: str) -> Any:
    try:
        return read_json(text)
    except Malformed:
        if "%" not in text or _BAD_ESCAPE.search(text):
            raise
    return read_json(unquote_plus(text))


def _read_predicate(data: Any) -> Predicate:
    if not isinstance(data, dict):
        raise invalid("A predicate of the filter must be an object.")
    found: dict[str, Any] = {}
    for spelling, value in data.items():
        name = _FIELDS.get(spelling)
        if name is None or name in found:
            raise invalid(f"The predicate's field {spelling[:80]!r} is unknown or given twice.")
        if value is not None:
            found[name] = value
    operation, key = found.pop("operation", 0), found.pop("key", "")
    word = _OPERATIONS.get(operation) if isinstance(operation, int) and not isinstance(operation, bool) else operation
    if not isinstance(word, str) or word not in _WORDS:
        raise invalid(f"The predicate's operation is unknown; it must be one of {', '.join(_OPERATIONS.values())}.")
    if not isinstance(key, str) or not key:
        raise invalid("A predicate of the filter needs a key.")
    if len(found) != 1:
        raise invalid(f"The predicate on {key[:80]!r} needs exactly one value.")
    ((kind, value),) = found.items()
    if (word == "IN") != (kind in _LISTS):
        raise invalid(f"The predicate on {key[:80]!r}: IN takes a list of values, every other operation a single one.")
    if word == "IS_SUBSTRING" and kind != "string_value":
        raise invalid(f"The predicate on {key[:80]!r}: IS_SUBSTRING takes a string_value.")
    return Predicate(word, key, _read_values(key, kind, value) if word == "IN" else _read_scalar(key, kind, value))


def _read_values(key: str, kind: str, value: Any) -> list[Any]:
    values = value.get("values", []) if isinstance(value, dict) and not value.keys() - {"values"} else None
    if not isinstance(values, list) or len(values) > 1000:
        raise invalid(f'The predicate on {key[:80]!r}: {kind} must be {{"values": […]}} with at most 1000 values.')
    return [_read_scalar(key, kind.removesuffix("s"), item) for item in values]


def _read_scalar(key: str, kind: str, value: Any) -> Any:
    if kind == "string_value" and isinstance(value, str):
        return value
    if kind == "timestamp_value" and isinstance(value, str) and (seconds := _seconds(value)) is not None and "T" in value:
        return seconds
    if kind in ("int_value", "long_value"):
        bits = 31 if kind == "int_value" else 63
        text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if re.fullmatch("-?[0-9]{1,19}", text) and -(2**bits) <= int(text) < 2**bits:
            return int(text)
    raise invalid(f"The predicate on {key[:80]!r}: its {kind} is of the wrong kind.")


def _seconds(text: str) -> int | None:
    """Unix seconds from digits, a date or a date with a time; None where it is neither."""
    text = text.strip()
    if re.fullmatch("-?[0-9]{1,19}", text):
        return int(text)
    try:
        at = parse_datetime(text.replace(" ", "T", 1))
        if at is None and (day := parse_date(text)):
            at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return None if at is None else int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


# --- conditions -----------------------------------------------------------------------------------------------------


def condition(predicates: tuple[Predicate, ...], columns: Mapping[str, Column], *, tagged: bool = False) -> Q:
    """All predicates as one condition. Raises WireError for a key that is not among the columns."""
    return reduce(and_, (_one(predicate, columns, tagged) for predicate in predicates), Q())


def _one(predicate: Predicate, columns: Mapping[str, Column], tagged: bool) -> Q:
    if tagged and predicate.key.startswith("tags."):
        if predicate.operation != "EQUALS" or not isinstance(predicate.value, str):
            raise invalid("Tags are filtered by EQUALS with a string_value alone.")
        return tag_is(predicate.key.removeprefix("tags."), predicate.value)
    column = columns.get(predicate.key)
    if column is None:
        raise unknown_column(predicate.key, columns)
    if predicate.operation == "IN":
        conditions = [_CONDITIONS[column.kind](column, "EQUALS", value) for value in predicate.value]
        return reduce(or_, conditions) if conditions else _NOTHING
    if predicate.operation == "NOT_EQUALS":
        return ~_CONDITIONS[column.kind](column, "EQUALS", predicate.value)
    return _CONDITIONS[column.kind](column, predicate.operation, predicate.value)


def unknown_column(key: str, columns: Mapping[str, Column]) -> WireError:
    """The error about a key that cannot be filtered or sorted by."""
    return invalid(f"{key[:80]!r} cannot be filtered or sorted by; these can: {', '.join(columns)}.")


def sorted_by(column: Column) -> Any:
    """What a column is compared and sorted by, the same expression as in its index: the ORM's name, or an expression.

    Texts without regard to case; of long ones their beginning; what may be unset as if it were the least there is.
    """
    if column.kind is Kind.TEXT:
        return Lower(Left(F(column.source), _BEGINNING)) if column.long else Lower(F(column.source))
    if not column.nullable:
        return F(column.source)
    if column.kind is Kind.ID:  # a foreign key, too, is the id that it holds
        return Coalesce(F(column.source), Value(_NOBODY), output_field=UUIDField())
    return Coalesce(F(column.source), Value(EPOCH), output_field=DateTimeField())


def _text(column: Column, operation: str, value: Any) -> Q:
    if operation == "IS_SUBSTRING":
        found = contains(column.source, value)
        return found & ~Q(**{column.source: ""}) if column.long and value else found  # indexes leave empty ones out
    found = Q(_TEXT_LOOKUPS[operation](Lower(F(column.source)), Lower(Value(str(value)))))
    if column.long:  # said of the beginning, too, it lets the database use the index
        found &= Q(_BEGIN_LOOKUPS[operation](sorted_by(column), Lower(Left(Value(str(value)), _BEGINNING))))
    return found


def _id(column: Column, operation: str, value: Any) -> Q:
    if operation == "IS_SUBSTRING":
        needle = str(value).replace("-", "").lower()
        return Q(Contains(_Hex(F(column.source)), Value(needle))) if re.fullmatch("[0-9a-f]*", needle) else _NOTHING
    key = read_id(str(value))
    if key is None:
        return _NOTHING
    return Q(**{column.source if operation == "EQUALS" else f"{column.source}__{_LOOKUPS[operation]}": key})


class _Hex(Func):
    """An id's digits, without dashes."""

    output_field = CharField()

    def as_sql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        sql, parameters = compiler.compile(self.get_source_expressions()[0])
        return (f"encode(uuid_send({sql}), 'hex')" if connection.vendor == "postgresql" else sql), parameters


def _number(column: Column, operation: str, value: Any) -> Q:
    text = str(value)
    if operation == "IS_SUBSTRING" or not re.fullmatch("-?[0-9]{1,18}", text):
        raise invalid(f"{text[:40]!r} is no whole number.")
    return Q(**{column.source if operation == "EQUALS" else f"{column.source}__{_LOOKUPS[operation]}": int(text)})


def _word(column: Column, operation: str, value: Any) -> Q:
    """By the words of the wire: whatever comparison it is, it picks some of them."""
    wanted = str(value).casefold()
    compare = _COMPARE[operation]
    rows = [row for word, rows in column.words.items() if compare(word.casefold(), wanted) for row in rows]
    return Q(**{f"{column.source}__in": rows}) if rows else _NOTHING


def _fixed(column: Column, operation: str, value: Any) -> Q:
    return Q() if _COMPARE[operation](column.source.casefold(), str(value).casefold()) else _NOTHING


def _time(column: Column, operation: str, value: Any) -> Q:
    """By whole seconds, which is what the wire shows; rows know microseconds."""
    seconds = value if isinstance(value, int) else _seconds(value)
    if seconds is None or operation == "IS_SUBSTRING":
        raise invalid(f"{str(value)[:40]!r} is no time; a time is RFC 3339 or Unix seconds.")
    begin = EPOCH + timedelta(seconds=min(max(seconds, _FIRST_SECOND), _LAST_SECOND))
    end = begin + timedelta(seconds=1)
    at = sorted_by(column)
    return {
        "EQUALS": Q(GreaterThanOrEqual(at, begin)) & Q(LessThan(at, end)),
        "GREATER_THAN": Q(GreaterThanOrEqual(at, end)),
        "GREATER_THAN_EQUALS": Q(GreaterThanOrEqual(at, begin)),
        "LESS_THAN": Q(LessThan(at, begin)),
        "LESS_THAN_EQUALS": Q(LessThan(at, end)),
    }[operation]


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "EQUALS": lambda a, b: a == b,
    "GREATER_THAN": lambda a, b: a > b,
    "GREATER_THAN_EQUALS": lambda a, b: a >= b,
    "LESS_THAN": lambda a, b: a < b,
    "LESS_THAN_EQUALS": lambda a, b: a <= b,
    "IS_SUBSTRING": lambda a, b: b in a,
}
_CONDITIONS = {Kind.TEXT: _text, Kind.ID: _id, Kind.NUMBER: _number, Kind.WORD: _word, Kind.FIXED: _fixed, Kind.TIME: _time}
