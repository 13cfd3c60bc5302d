"""The order in which the steps of a pipeline's top level come: each after those it waits for, otherwise as in the document."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.models import Specification
from pipelines.spec import parse
from pipelines.spec.model import DagSpec

_REMEMBERED = 1024
_orders: dict[str, tuple[str, ...]] = {}


def step_orders(specification_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Specification id → keys of its top level's tasks, in order. What is not in memory is read in one query."""
    wanted = set(specification_ids)
    if missing := wanted - _orders.keys():
        if len(_orders) > _REMEMBERED:
            _orders.clear()
        for row in Specification.objects.filter(pk__in=missing).only("pipeline", "platform"):
            dag = parse.build(row.pipeline, row.platform).root.dag
            _orders[row.pk] = ordered(dag) if dag else ()
    return {key: _orders[key] for key in wanted if key in _orders}


def ordered(dag: DagSpec) -> tuple[str, ...]:
    """Keys of a DAG's tasks in topological order; what lies on a cycle comes last."""
    waits = {key: len(task.dependencies) for key, task in dag.tasks.items()}
    ready = [key for key, count in waits.items() if not count]
    found = []
    for key in ready:  # grows while it is read
        found.append(key)
        for dependant in dag.dependants[key]:
            waits[dependant] -= 1
            if not waits[dependant]:
                ready.append(dependant)
    return (*found, *(key for key, count in waits.items() if count))
