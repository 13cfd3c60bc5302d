"""The driver on SQLite: what one event costs in a large run."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from unittest import mock

from django.core.management import call_command
from django.db import connection

from kfdash import live, outbox
from pipelines import specifications
from pipelines.spec.parse import parse_text
from runs import driver, models
from runs.engine.model import AttemptProgressed, AttemptSucceeded, CacheUse, Phase, Values
from runs.services import launch_run
from tests.bench.figures import Figure, measure
from tests.bench.pipelines import layered

EVENTS = 100


@measure("drive")
def one_event_in_a_large_run() -> Iterator[Figure]:
    """A step ends in a run of 10,000 tasks: rows, events, orders, in one transaction, without Redis."""
    call_command("migrate", verbosity=0, interactive=False)
    spec = specifications.store(parse_text(json.dumps(layered(100, 100))))
    with (
        mock.patch.object(outbox, "enqueue"),
        mock.patch.object(outbox, "enqueue_drive"),
        mock.patch.object(live, "publish_run"),
    ):
        run = launch_run(specification=spec, arguments={}, cache=CacheUse.OFF)
        driver.drive(str(run.pk))
        attempts = list(models.Attempt.objects.filter(run=run).order_by("id")[:EVENTS])
        seconds = []
        for attempt in attempts:
            at = attempt.queued_at
            driver.drive(str(run.pk), AttemptProgressed(attempt.path, attempt.number, Phase.RUNNING, at))
            began = time.perf_counter()
            driver.drive(str(run.pk), AttemptSucceeded(attempt.path, attempt.number, at, Values({"Output": 1})))
            seconds.append(time.perf_counter() - began)
    yield Figure("drive: one event in a run of 10,000 tasks", statistics.median(seconds) * 1000, "ms", 10.0, _by_hand())


def _by_hand() -> float:
    """Milliseconds for one transaction that reads a row and writes five through the ORM."""
    seconds = []
    for number in range(EVENTS):
        began = time.perf_counter()
        row = models.NamespaceCounter.objects.get_or_create(namespace="bench")[0]
        models.NamespaceCounter.objects.bulk_create(
            models.NamespaceCounter(namespace=f"{row.namespace}-{number}-{n}") for n in range(4)
        )
        models.NamespaceCounter.objects.filter(pk=row.pk).update(last_number=number)
        seconds.append(time.perf_counter() - began)
    connection.close()
    return statistics.median(seconds) * 1000
