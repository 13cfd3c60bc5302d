"""Rows found by their tags (`{key: value}` in a JSON column called `tags`). A leaf."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, F, Func, Q, Value
from django.db.models.lookups import Exact


def tagged(text: str) -> Q:
    """The rows with a tag: `key=value` as it stands there, or `key` with whatever value."""
    key, equals, value = text.partition("=")
    return tag_is(key, value) if equals else Q(tags__has_key=key)


def tag_is(key: str, value: str) -> Q:
    """The rows whose tag `key` has exactly this value."""
    return Q(Exact(_Tag(key), value)) & Q(tags__has_key=key)  # false, not unknown, without the tag: it may be negated


class _Tag(Func):
    """The value of a tag by its exact key: a JSON path would read a key such as `1` as a list's index."""

    output_field = CharField()

    def __init__(self, key: str) -> None:
        super().__init__(F("tags"), Value(key))

    def as_sql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        column, key = self.get_source_expressions()
        sql, parameters = compiler.compile(column)
        if connection.vendor == "postgresql":
            return f"({sql} ->> %s)", (*parameters, key.value)
        return f"(SELECT value FROM json_each({sql}) WHERE key = %s)", (*parameters, key.value)
