"""Lists: filtered, sorted by a column and then by id, in pages that begin at a named row (keyset paging).

A token names the first row of the next page with the order and the filter that it belongs to, so that a page can be asked for
with the token alone, and rows that come in between shift nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.db.models import CharField, DateTimeField, F, Field, IntegerField, Model, Q, QuerySet, UUIDField, Value

from kfdash.keyset import InOrder, first_of
from kfdash.wire.errors import Malformed, invalid
from kfdash.wire.filters import Column, Kind, Predicate, condition, kept_predicate, read_filter, sorted_by, unknown_column
from kfdash.wire.reading import Query, read_id, read_json

DEFAULT_SIZE, LARGEST_SIZE = 20, 200
_LONGEST_TOKEN = 64 * 1024

Row = TypeVar("Row", bound=Model)
Count = Callable[[Q], int | None]


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page: its rows, how many rows there are on all pages, the next page's token (empty on the last)."""

    rows: list[Row]
    total: int
    next_token: str

    def answer(self, name: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """The list response, unset parts left out."""
        found: dict[str, Any] = {name: messages} if messages else {}
        if self.total:
            found["total_size"] = self.total
        if self.next_token:
            found["next_page_token"] = self.next_token
        return found


@dataclass(frozen=True)
class _Order:
    field: str
    descending: bool


@dataclass(frozen=True)
class _Start:
    """Where a page begins: the sort column's value and the id of its first row; and what the first page counted."""

    value: Any
    key: Any
    total: int


@dataclass(frozen=True)
class Listing:
    """What can be listed: the resource's name (it stands in tokens), its columns, whether it has tags."""

    resource: str
    columns: Mapping[str, Column]
    tagged: bool = False

    def page(self, rows: QuerySet[Row], query: Query, *, where: Q | None = None, count: Count | None = None) -> Page[Row]:
        """The page that a query asks for, of the rows that meet `where`, too. They are counted for the first page alone.

        `count` knows how many rows meet some conditions without reading them, and says None of others. Raises WireError.
        """
        size = _size(query.integer("page_size"))
        order, predicates, start = self._read(query)
        wanted = condition(predicates, self.columns, tagged=self.tagged) & (where or Q())
        chosen = rows.filter(wanted)
        total = start.total if start else count(wanted) if count else None
        total = chosen.count() if total is None else total
        found: list[Row] = []
        if total:
            found = list(first_of(self._ordered(chosen, order, start), size + 1, self._ordered(rows, order, None)))
        token = self._token(order, predicates, found[size], total) if len(found) > size else ""
        return Page(found[:size], total, token)

    # --- inside ---

    def _read(self, query: Query) -> tuple[_Order, tuple[Predicate, ...], _Start | None]:
        sort_by, token = query.text("sort_by"), query.text("page_token")
        predicates = read_filter(query.text("filter"))
        if not token:
            return self._read_order(sort_by), predicates, None
        kept_order, kept_predicates, start = self._read_token(token)
        if sort_by and self._read_order(sort_by) != kept_order:
            raise invalid("The page token belongs to a list in another order: send the same sort_by, or none.")
        if predicates and predicates != kept_predicates:
            raise invalid("The page token belongs to a list with another filter: send the same filter, or none.")
        return kept_order, kept_predicates, start

    def _read_order(self, text: str) -> _Order:
        words = text.lower().split()
        if not words:
            return _Order("created_at", False)
        if len(words) > 2 or words[1:] not in ([], ["asc"], ["desc"]):
            raise invalid(f"sort_by is {text[:80]!r}; it must be a field, followed by asc or desc or by nothing.")
        if words[0] not in self.columns:
            raise unknown_column(words[0], self.columns)
        return _Order(words[0], words[1:] == ["desc"])

    def _ordered(self, rows: QuerySet[Row], order: _Order, start: _Start | None) -> QuerySet[Row]:
        column = self.columns[order.field]
        sign = "-" if order.descending else ""
        after = "lt" if order.descending else "gt"
        if column.kind is Kind.FIXED:
            rows = rows.order_by(f"{sign}pk")
            return rows.filter(**{f"pk__{after}e": start.key}) if start else rows
        name = "sort_value" if _is_computed(column) else column.source
        if _is_computed(column):
            rows = rows.annotate(sort_value=sorted_by(column))
        if start:
            value, pk = sorted_by(column), rows.model._meta.pk
            named = Value(start.value, output_field=_field_of(column)), Value(start.key, output_field=pk)
            rows = rows.filter(InOrder(value, F("pk"), named, descending=order.descending))
        return rows.order_by(f"{sign}{name}", f"{sign}pk")

    def _token(self, order: _Order, predicates: tuple[Predicate, ...], first: Model, total: int) -> str:
        column = self.columns[order.field]
        value: Any = None
        if column.kind is not Kind.FIXED:
            value = getattr(first, "sort_value" if _is_computed(column) else column.source)
        token = {
            "list": self.resource,
            "sort": [order.field, order.descending],
            "filter": [[predicate.operation, predicate.key, predicate.value] for predicate in predicates],
            "value": value.isoformat() if isinstance(value, datetime) else None if value is None else str(value),
            "id": str(first.pk),
            "total": total,
        }
        return base64.b64encode(json.dumps(token, separators=(",", ":")).encode()).decode()

    def _read_token(self, token: str) -> tuple[_Order, tuple[Predicate, ...], _Start]:
        try:
            if len(token) > _LONGEST_TOKEN:
                raise ValueError
            data = read_json(base64.b64decode(token, validate=True))
            field, descending = data["sort"]
            if data["list"] != self.resource or not isinstance(descending, bool):
                raise ValueError
            predicates = tuple(kept_predicate(*item) for item in data["filter"])
            order = _Order(field, descending)
            value, key, total = self._read_value(self.columns[field], data["value"]), self._read_key(data["id"]), data["total"]
            if not isinstance(total, int) or isinstance(total, bool) or not 0 <= total < 2**31:
                raise ValueError
            return order, predicates, _Start(value, key, total)
        except (Malformed, binascii.Error, ValueError, TypeError, KeyError, AttributeError):
            raise invalid("The page token is not one of this list.") from None

    @staticmethod
    def _read_value(column: Column, text: Any) -> Any:
        if column.kind is Kind.FIXED:
            return None
        if not isinstance(text, str):
            raise ValueError
        if column.kind is Kind.TIME:
            at = datetime.fromisoformat(text)
            if at.tzinfo is None:
                raise ValueError
            return at
        if column.kind is Kind.NUMBER:
            return int(text[:20])
        if column.kind is Kind.ID:
            if (key := read_id(text)) is None:
                raise ValueError
            return key
        return text

    @staticmethod
    def _read_key(text: Any) -> Any:
        if (key := read_id(text)) is not None:
            return key
        if text.isascii() and text.isdigit() and len(text) < 19:
            return int(text)
        raise ValueError


def _size(asked: int) -> int:
    if asked < 0:
        raise invalid("page_size must not be negative.")
    return min(asked or DEFAULT_SIZE, LARGEST_SIZE)


def _is_computed(column: Column) -> bool:
    return column.kind is Kind.TEXT or column.nullable


def _field_of(column: Column) -> Field[Any, Any]:
    kinds = {Kind.TIME: DateTimeField, Kind.ID: UUIDField, Kind.NUMBER: IntegerField}
    return kinds.get(column.kind, CharField)()
