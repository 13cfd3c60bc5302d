"""Paging through long lists without counting or skipping: a page begins after, or ends before, a row's key. A leaf.

Rows are ordered newest first, by `created_at` and then id; the key of a row is both.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from django.db.models import AutoField, Model, Q, QuerySet
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


def page(rows: QuerySet[Row], query: QueryDict, *, size: int = 50) -> Page[Row]:
    """The page that `after=KEY` or `before=KEY` of a query asks for; the first where there is none, or the key is no key."""
    counted = isinstance(rows.model._meta.pk, AutoField)
    after, before = (_parse(query.get(name, ""), counted) for name in ("after", "before"))
    if before is not None:
        at, pk = before
        nearest = rows.filter(Q(created_at__gte=at) & (Q(created_at__gt=at) | Q(pk__gt=pk))).order_by("created_at", "id")
        found = list(nearest[: size + 1])
        if len(found) <= size:  # the top is reached: show a whole page rather than the few rows above the key
            return page(rows, QueryDict(), size=size)
        found = found[size - 1 :: -1]
        return Page(found, newer=key_of(found[0]), older=key_of(found[-1]))
    if after is not None:
        at, pk = after
        rows = rows.filter(Q(created_at__lte=at) & (Q(created_at__lt=at) | Q(pk__lt=pk)))
    found = list(rows.order_by("-created_at", "-id")[: size + 1])
    older = key_of(found[size - 1]) if len(found) > size else ""
    found = found[:size]
    return Page(found, newer=key_of(found[0]) if found and after is not None else "", older=older)


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
