"""Rows of orders: made complete for whoever carries them out, and what is written down of their being carried out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from kfdash import outbox
from pipelines import specifications
from pipelines.spec.model import PipelineSpec
from runs import models
from runs.engine.inputs import value_in_scope
from runs.engine.model import AttemptFailed, AttemptStopped, Fact, Run, Snapshot, Values
from runs.execution.attempt import AttemptOrder
from runs.execution.order import attempt_name, complete
from runs.executors.base import AttemptKey
from runs.facts import encode
from runs.rows import RowTasks, run_value
from runs.vanished import makers, missing_inputs, missing_sentence

log = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0  # seconds until an order that could not be carried out is due again
_USUAL_ACCOUNT = "pipeline-runner"  # what a run has whose user named none


def complete_orders(run: models.Run, wanted: Sequence[tuple[str, int]]) -> list[AttemptOrder | Fact]:
    """For each attempt, by path and number: its complete order, or the fact that there can be none.

    An attempt that is not the task's newest, or not under way, was stopped meanwhile.
    """
    spec = specifications.load(run.specification_id)
    value = run_value(run, most_iterations=settings.MOST_ITERATIONS)
    tasks = RowTasks(str(run.id))
    tasks.prefetch(path for path, _ in wanted)
    account = named_account(run)
    return [_complete(spec, value, tasks, path, number, account, run.pod_template) for path, number in wanted]


def named_account(run: models.Run) -> str:
    """The service account that the run's user named; empty where none was."""
    return run.service_account if run.service_account != _USUAL_ACCOUNT else ""


def _complete(
    spec: PipelineSpec, run: Run, tasks: RowTasks, path: str, number: int, account: str, template: Mapping[str, Any]
) -> AttemptOrder | Fact:
    task = tasks.get(path)
    if task is None or task.attempt != number or not task.under_way:
        return AttemptStopped(path, number, timezone.now())
    if missing := missing_inputs(task.inputs or Values()):
        why = missing_sentence(missing, makers(missing))
        return AttemptFailed(path, number, timezone.now(), why, "input-gone", retryable=False)
    try:
        return complete(
            spec=spec,
            component=spec.at(path)[1],
            run=run,
            task=task,
            number=number,
            resolve=partial(value_in_scope, Snapshot(run, spec, tasks), path),
            service_account=account,
            pod_template=template,
        )
    except ValueError as error:
        return AttemptFailed(path, number, timezone.now(), str(error), "invalid-order", retryable=False)


def key_of(run_id: str, path: str, number: int) -> AttemptKey:
    """How an executor knows an attempt."""
    return AttemptKey(attempt_name(run_id, path, number), run_id, path, number)


def open_order(order_id: int) -> models.Order | None:
    """The order with its run, where it still waits for being carried out."""
    waiting = models.Order.objects.filter(pk=order_id, carried_out_at=None)
    return waiting.select_related("run__specification").first()


def inputs_of(order: models.Order) -> Values | None:
    """The inputs of the order's task; None where the attempt is not its newest, or was stopped meanwhile."""
    task = models.Task.objects.filter(run=order.run, path=order.path).only("inputs", "attempt", "under_way").first()
    if task is None or task.attempt != order.attempt or not task.under_way:
        return None
    return Values.from_json(task.inputs) or Values()


def tell(order: models.Order, fact: Fact) -> None:
    """Hands a fact about the order's attempt to the driver. Raises NotHandedOver."""
    outbox.hand_over(str(order.run_id), [encode(fact)])


def done(orders: Sequence[models.Order]) -> None:
    """They are carried out."""
    models.Order.objects.filter(pk__in=[order.pk for order in orders]).update(carried_out_at=timezone.now())


def put_off(orders: Sequence[models.Order], why: str) -> None:
    """They could not be carried out now: back-off by the number of tries; the tick sends them again when they are due."""
    log.warning("%d orders could not be carried out and are tried again: %s", len(orders), why)
    for order in orders:
        wait = min(_FIRST_WAIT * 2**order.tries, _LONGEST_WAIT)
        models.Order.objects.filter(pk=order.pk).update(
            due=timezone.now() + timedelta(seconds=wait), tries=F("tries") + 1, answer=why
        )
