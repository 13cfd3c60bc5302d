"""The engine alone: no rows, no clock, no executor."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pipelines.spec.parse import parse_text
from runs.engine.advance import advance
from runs.engine.memory import MemoryTasks
from runs.engine.model import (
    AttemptProgressed,
    AttemptSucceeded,
    CacheAnswered,
    Fact,
    LookedOver,
    LookInCache,
    Phase,
    Run,
    Snapshot,
    StartAttempt,
    State,
    Values,
)
from tests.bench.figures import Figure, measure
from tests.bench.pipelines import layered

LAYERS, WIDTH = 100, 100
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DONE = Values({"Output": 1})


@measure("engine")
def engine_to_the_end() -> Iterator[Figure]:
    """10,000 tasks from the first look to the last, each fact alone."""
    document = layered(LAYERS, WIDTH)
    spec = parse_text(json.dumps(document)).spec
    tasks, run = MemoryTasks(), Run("bench", "bench", "bench-00000", created_at=NOW)
    waiting: deque[Fact] = deque([LookedOver()])
    began = time.perf_counter()
    while waiting:
        facts: list[Fact] = [waiting.popleft()]
        while facts:
            step = advance(Snapshot(run, spec, tasks), facts, NOW)
            tasks.apply(step)
            run, facts = step.run, []
            for order in step.orders:
                if isinstance(order, LookInCache):
                    facts.append(CacheAnswered(order.path, NOW, "fingerprint", None))
                elif isinstance(order, StartAttempt):
                    waiting.append(AttemptProgressed(order.path, order.number, Phase.RUNNING, NOW))
                    waiting.append(AttemptSucceeded(order.path, order.number, NOW, DONE))
    seconds = time.perf_counter() - began
    assert run.state is State.SUCCEEDED and len(tasks.tasks) == LAYERS * WIDTH + 1
    yield Figure("engine: a graph of 10,000 tasks to its end", seconds, "s", 2.0, _by_hand(document))


def _by_hand(document: dict[str, Any]) -> float:
    """Seconds to walk the same graph with counters in dictionaries."""
    tasks = document["root"]["dag"]["tasks"]
    began = time.perf_counter()
    left = {name: len(task["dependentTasks"]) for name, task in tasks.items()}
    after: dict[str, list[str]] = {}
    for name, task in tasks.items():
        for before in task["dependentTasks"]:
            after.setdefault(before, []).append(name)
    ready = deque(name for name, count in left.items() if not count)
    done = 0
    while ready:
        done += 1
        for name in after.get(ready.popleft(), ()):
            left[name] -= 1
            if not left[name]:
                ready.append(name)
    assert done == len(tasks)
    return time.perf_counter() - began
