"""Rows found by their tags (`{key: value}` in a JSON column called `tags`). A leaf."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import BooleanField, F, Func, Q, Value


def tagged(text: str) -> Q:
    """The rows with a tag: `key=value` as it stands there, or `key` with whatever value."""
    key, equals, value = text.partition("=")
    return tag_is(key, value) if equals else Q(tags__has_key=key)


def tag_is(key: str, value: str) -> Q:
    """The rows whose tag `key` has exactly this value."""
    return Q(_TagIs(key, value))


class _TagIs(Func):
    """Whether a tag by its exact key (a JSON path would read a key such as `1` as a list's index) has a value; never unknown."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, key: str, value: str) -> None:
        super().__init__(F("tags"), Value(key), Value(value))

    def as_sql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        column, key, value = self.get_source_expressions()
        sql, parameters = compiler.compile(column)
        if connection.vendor == "postgresql":  # an index of tags serves this
            return f"({sql} @> %s::jsonb)", (*parameters, json.dumps({key.value: value.value}))
        written = json.dumps(key.value)  # as in the column: without it there, the row's tags are not parsed
        found = f"(INSTR({sql}, %s) > 0 AND EXISTS (SELECT 1 FROM json_each({sql}) WHERE key = %s AND value = %s))"
        return found, (*parameters, written, *parameters, key.value, value.value)
