"""How many there are, without reading them: from the counters that PostgreSQL's triggers keep (`runs.models`, at the end).

On SQLite there are none: None is said there, and of conditions that the counters cannot tell, and whoever asks counts rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db import connection
from django.db.models import Model, Q, QuerySet, Sum

from runs import models

_TOLD_APART: Mapping[type[Model], Mapping[str, frozenset[str]]] = {
    models.RunTally: {
        "experiment": frozenset({"experiment_key", "state", "storage_state"}),
        "pipeline": frozenset({"pipeline_key", "state", "storage_state"}),
        "person": frozenset({"created_by"}),
    },
    models.ArtifactTally: {"type": frozenset({"type"}), "name": frozenset({"name"})},
    models.CacheTally: {"pipeline": frozenset({"pipeline_name"})},
}
_LOOSE = 2000  # rows above twice those after the last time before they are put together again
_after: dict[type[Model], int] = {}  # how many rows there were then, as far as this process knows


def count_of(model: type[Model], *, namespace: str = "") -> Callable[[Q], int | None]:
    """For `RunTally`, `ArtifactTally` or `CacheTally`: a function that says how many of what it counts meet a condition."""

    def count(where: Q) -> int | None:
        fields = where.referenced_base_fields
        for of, told_apart in _TOLD_APART[model].items():
            if fields <= told_apart and has_counters():
                return _rows(model, of, namespace).filter(where).aggregate(total=Sum("count"))["total"] or 0
        return None

    return count


def has_counters() -> bool:
    """Whether this database keeps counters."""
    return connection.vendor == "postgresql"


def counted_values(model: type[Model], of: str, field: str, *, namespace: str = "") -> list[tuple[Any, int]] | None:
    """The values that a field has, with how many rows have each, in order; None without counters."""
    if not has_counters():
        return None
    grouped = _rows(model, of, namespace).values_list(field).annotate(total=Sum("count")).filter(total__gt=0)
    return list(grouped.order_by(field))


def cache_sums(*, namespace: str = "") -> dict[str, float] | None:
    """`{entries, hits, saved}` of the cache; None without counters."""
    if not has_counters():
        return None
    sums = _rows(models.CacheTally, "pipeline", namespace).aggregate(entries=Sum("count"), hits=Sum("hits"), saved=Sum("saved"))
    return {name: value or 0 for name, value in sums.items()}


def _rows(model: type[Model], of: str, namespace: str) -> QuerySet[Any]:
    return model._default_manager.filter(of=of, namespace=namespace)


def fold() -> int:
    """Puts the rows of counters together where there are many; returns how many rows went.

    One statement takes rows away and adds their sums, so that whoever reads meanwhile sees the one or the other.
    """
    if not has_counters():
        return 0
    gone = 0
    for model, told_apart in _TOLD_APART.items():
        before = model._default_manager.count()
        if before > 2 * _after.get(model, 0) + _LOOSE:
            _fold(model, tuple(told_apart))
            _after[model] = model._default_manager.count()
            gone += before - _after[model]
    return gone


def _fold(model: type[Model], of: tuple[str, ...]) -> None:
    table = model._meta.db_table
    sums = [field.column for field in model._meta.concrete_fields if field.column in ("count", "hits", "saved")]
    groups = [field.column for field in model._meta.concrete_fields if field.column not in ("id", *sums)]
    summed = ", ".join(f"sum({name})" for name in sums)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH gone AS (DELETE FROM {table} WHERE of = ANY(%s) RETURNING *) "
            f"INSERT INTO {table} ({', '.join([*groups, *sums])}) SELECT {', '.join(groups)}, {summed} FROM gone "
            f"GROUP BY {', '.join(groups)} HAVING {' OR '.join(f'sum({name}) <> 0' for name in sums)}",
            [list(of)],
        )
