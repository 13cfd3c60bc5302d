"""How long pods are kept that are over: by the rules of retention, else by KFDASH_POD_TTL and KFDASH_FAILED_POD_TTL."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections

from runs.executors.base import ExecutorUnavailable

_WELL, _ELSE = "SUCCEEDED", ("FAILED", "CANCELED")
_CHUNK = 400  # ids in one IN

Times = tuple[float, float]  # seconds that pods of steps that succeeded are kept, and all others


def times_of(run_ids: Collection[str]) -> Mapping[str, Times]:
    """Run → how long its pods are kept. An experiment's rules take the place of the site's; kept runs have the settings' times.

    Raises ExecutorUnavailable where the database does not answer.
    """
    try:
        return _read(run_ids)
    except DatabaseError as error:
        close_old_connections()
        raise ExecutorUnavailable(f"The database does not say how long pods are kept ({error}).") from None


def _read(run_ids: Collection[str]) -> Mapping[str, Times]:
    rules, all_runs = (
        apps.get_model("runs", name).objects for name in ("RetentionRule", "Run")
    )  # `doctor` reads this without models
    rows = list(rules.filter(what="pods", enabled=True))
    found: dict[str, Times] = {}
    wanted = sorted(run_ids) if rows else []
    for start in range(0, len(wanted), _CHUNK):
        runs = all_runs.filter(pk__in=wanted[start : start + _CHUNK], kept_at=None)
        for pk, experiment in runs.values_list("pk", "experiment_key"):
            own = [row for row in rows if row.experiment_key == experiment]
            found[str(pk)] = _times(own or [row for row in rows if row.experiment_key is None])
    return {run_id: found.get(run_id, _default()) for run_id in run_ids}


def _times(rules: Iterable[Any]) -> Times:
    """Of several rules about the same pods the shortest time counts; a rule without an age keeps them for ever."""
    well, other = (
        [math.inf if rule.age is None else float(rule.age) for rule in rules if set(states) & set(rule.states)]
        for states in ((_WELL,), _ELSE)
    )
    default = _default()
    return min(well, default=default[0]), min(other, default=default[1])


def _default() -> Times:
    return float(settings.POD_TTL), float(settings.FAILED_POD_TTL)
