"""Paging through long lists without counting or skipping: a page begins after, or ends before, a row's key. A leaf.

Rows are ordered newest first, by `created_at` and then id; the key of a row is both.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import AutoField, BooleanField, Func, Model, Q, QuerySet
from django.http import QueryDict

Row = TypeVar("Row", bound=Model)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """A page of rows, newest first; `newer` and `older` are keys for the pages beside it, empty at the ends."""

    rows: list[Row]
    newer: str = ""
    older: str = ""


def key_of(row: Model) -> str:
    """The key of a row, for an address: microseconds since 1970 and the id, of a UUID its hex digits."""
    micros = (row.created_at - _EPOCH) // timedelta(microseconds=1)  # type: ignore[attr-defined]
    return f"{micros}.{row.pk if isinstance(row.pk, int) else row.pk.hex}"


def page(rows: QuerySet[Row], query: QueryDict, *, size: int = 50, loaded: QuerySet[Row] | None = None) -> Page[Row]:
    """The page that `after=KEY` or `before=KEY` of a query asks for; the first where there is none, or the key is no key.

    `loaded` is as in `first_of`.
    """
    counted = isinstance(rows.model._meta.pk, AutoField)
    after, before = (_parse(query.get(name, ""), counted) for name in ("after", "before"))
    if before is not None:
        at, pk = before
        nearest = rows.filter(Q(created_at__gte=at) & (Q(created_at__gt=at) | Q(pk__gt=pk))).order_by("created_at", "id")
        found = list(first_of(nearest, size + 1, loaded))
        if len(found) <= size:  # the top is reached: show a whole page rather than the few rows above the key
            return page(rows, QueryDict(), size=size, loaded=loaded)
        found = found[size - 1 :: -1]
        return Page(found, newer=key_of(found[0]), older=key_of(found[-1]))
    if after is not None:
        at, pk = after
        rows = rows.filter(Q(created_at__lte=at) & (Q(created_at__lt=at) | Q(pk__lt=pk)))
    found = list(first_of(rows.order_by("-created_at", "-id"), size + 1, loaded))
    older = key_of(found[size - 1]) if len(found) > size else ""
    found = found[:size]
    return Page(found, newer=key_of(found[0]) if found and after is not None else "", older=older)


def first_of(rows: QuerySet[Row], count: int, loaded: QuerySet[Row] | None = None) -> QuerySet[Row]:
    """The first of ordered rows. With `loaded`, the same without filters, PostgreSQL looks for ids first: an index tells them."""
    if loaded is None or connection.vendor != "postgresql":
        return rows[:count]
    return loaded.filter(pk__in=rows.values("pk")[:count]).order_by(*rows.query.order_by)


class InOrder(Func):
    """Whether (value, key) of a row comes at or behind those of a named row: one comparison, for which an index needs one look."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, value: Any, key: Any, named: tuple[Any, Any], *, descending: bool) -> None:
        super().__init__(value, key, *named)
        self.sign = "<=" if descending else ">="

    def as_sql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        compiled = [compiler.compile(one) for one in self.get_source_expressions()]
        value, key, of, at = (sql for sql, _ in compiled)
        parameters = tuple(one for _, some in compiled for one in some)
        found = f"({value}, {key}) {self.sign} ({of}, {at})"
        if connection.vendor == "postgresql":
            return found, parameters
        alone = (*compiled[0][1], *compiled[2][1])  # said alone, it lets SQLite begin in an index of an expression
        return f"({value} {self.sign} {of} AND {found})", (*alone, *parameters)


def _parse(key: str, counted: bool) -> tuple[datetime, uuid.UUID | int] | None:
    """The key's parts. `counted` where ids are numbers."""
    micros, _, identifier = key.partition(".")
    try:
        number = int(identifier) if counted else uuid.UUID(hex=identifier)
        if isinstance(number, int) and not 0 <= number < 2**63:
            return None
        return _EPOCH + timedelta(microseconds=int(micros)), number
    except (ValueError, OverflowError):
        return None
