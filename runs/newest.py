"""The newest few runs of each of several experiments, pipelines or versions, in one statement that reads only those."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.db import connection

from kfdash.strips import Mark
from kfdash.words import state_word
from runs.models import Run

_FIELDS = ("experiment_key", "pipeline_key", "version_id")


def newest_of_each(field: str, keys: Iterable[uuid.UUID], *, count: int = 8) -> dict[uuid.UUID, list[Mark]]:
    """Key → marks of its newest runs, oldest first. A window function would read all runs of each; this reads `count`."""
    assert field in _FIELDS, field
    keys = list(keys)
    if not keys:
        return {}
    parts, values = [], []
    for position, key in enumerate(keys):
        newest = Run.objects.filter(**{field: key}).order_by("-created_at", "-id").values_list("state", "number")[:count]
        sql, parameters = newest.query.sql_with_params()
        parts.append(f"SELECT {position}, part{position}.* FROM ({sql}) AS part{position}")
        values += parameters
    found: dict[uuid.UUID, list[Mark]] = {key: [] for key in keys}
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), values)
        for position, state, number in cursor.fetchall():
            found[keys[position]].insert(0, Mark(state, title=f"#{number} {state_word(state).lower()}"))
    return found
