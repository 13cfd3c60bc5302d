"""Reads requests: JSON bodies, query parameters and ids, each with KFP's rules of what is taken and what is refused."""

from __future__ import annotations

import json
import math
import re
import uuid
from typing import Any, NoReturn

from django.core.exceptions import RequestDataTooBig
from django.http import QueryDict
from django.http.request import UnreadablePostError
from rest_framework.request import Request

from kfdash.wire.errors import Malformed

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_LARGEST_INT32 = 2**31 - 1


def read_json(text: str | bytes) -> Any:
    """The JSON value in a text. Raises Malformed, also for NaN, for what is nested too deeply and for unstorable text."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_read_float)
    except UnicodeDecodeError:
        raise Malformed("The JSON is not in UTF-8.") from None
    except RecursionError:
        raise Malformed("The JSON is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"The JSON cannot be read: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except ValueError as error:
        raise Malformed(f"The JSON cannot be read: {error}.") from None
    if (b"\\u" in text if isinstance(text, bytes) else "\\u" in text) and _has_unstorable(value):  # only escapes can bring it
        raise Malformed("The JSON has a NUL character or half of a surrogate pair in a text; leave it out.")
    return value


def _has_unstorable(value: Any) -> bool:
    """Whether a text in the value cannot be stored: PostgreSQL takes no NUL, UTF-8 no half of a surrogate pair."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if _UNSTORABLE.search(item):
                return True
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            waiting += item.keys()
            waiting += item.values()
    return False


def _read_float(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def read_body(request: Request) -> Any:
    """The JSON of a request's body, None where it is empty. The content type is not looked at. Raises Malformed."""
    try:
        body = request._request.body
    except RequestDataTooBig:
        raise Malformed("The request's body is too large: at most 32 MiB are taken.") from None
    except UnreadablePostError:
        raise Malformed("The request's body did not arrive in full.") from None
    return read_json(body) if body.strip() else None


def read_id(text: str) -> uuid.UUID | None:
    """The id in a path or a body, None where it cannot be one."""
    return uuid.UUID(text) if _UUID.fullmatch(text) else None


def camel(name: str) -> str:
    """`page_size` as `pageSize`, as protobuf's JSON has it."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


class Query:
    """Query parameters: by proto name or in camelCase, each at most once; an empty text is the same as none."""

    def __init__(self, parameters: QueryDict) -> None:
        self._parameters = parameters

    def text(self, name: str) -> str:
        """A text, empty where it is absent. Raises Malformed when it is given twice or cannot be text in a database."""
        value = self._one(name) or ""
        if _UNSTORABLE.search(value):
            raise Malformed(f"The query parameter {name!r} has a NUL character or half of a surrogate pair in it.")
        return value

    def integer(self, name: str) -> int:
        """An int32, 0 where it is absent. Raises Malformed for one that is empty or no integer."""
        value = self._one(name)
        if value is None:
            return 0
        if not re.fullmatch(r"[+-]?[0-9]{1,10}", value) or abs(int(value)) > _LARGEST_INT32:
            raise Malformed(f"The query parameter {name!r} is {value[:40]!r}; it must be a whole number.")
        return int(value)

    def flag(self, name: str) -> bool:
        """A boolean as Go reads it, False where it is absent. Raises Malformed."""
        value = self._one(name)
        if value is None or value in _FALSE:
            return False
        if value not in _TRUE:
            raise Malformed(f"The query parameter {name!r} is {value[:40]!r}; it must be true or false.")
        return True

    def _one(self, name: str) -> str | None:
        values = self._parameters.getlist(name)
        if (other := camel(name)) != name:
            values = values + self._parameters.getlist(other)
        if len(values) > 1:
            raise Malformed(f"The query parameter {name!r} is given more than once: too many values.")
        return values[0] if values else None
