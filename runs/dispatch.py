"""Carries committed orders out. An order can be carried out twice without harm: executors know attempts by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.conf import settings
from django.utils import timezone

from kfdash import logcontext, metrics, outbox, trouble
from runs import models
from runs.engine.model import AttemptFailed, AttemptProgressed, AttemptStopped, Fact, Kind, Phase
from runs.executing import executor
from runs.executors.base import AttemptOrder, ExecutorUnavailable, NotNow
from runs.facts import encode
from runs.ordering import complete_orders, done, key_of, put_off, tell

_PATIENT_TRIES = 2  # after which an executor that cannot be reached is worth a word on the page


def carry_out(order_ids: Sequence[int]) -> None:
    """Carries these orders out, those that still wait for it. What cannot be done now stays due, with back-off."""
    orders = models.Order.objects.filter(pk__in=order_ids, carried_out_at=None).select_related("run").order_by("id")
    starts = [order for order in orders if order.kind == models.OrderKind.START]
    stops = [order for order in orders if order.kind == models.OrderKind.STOP]
    with logcontext.about(**_named(orders)):
        _carry_out_starts(starts)
        _carry_out_stops(stops)


def _named(orders: Iterable[models.Order]) -> dict[str, str]:
    """What all these orders are about together: their run, and the attempt where it is one."""
    runs, attempts = {str(order.run_id) for order in orders}, {(order.path, str(order.attempt)) for order in orders}
    named = {"run": runs.pop()} if len(runs) == 1 else {}
    return {**named, **dict(zip(("task", "attempt"), attempts.pop(), strict=True))} if named and len(attempts) == 1 else named


def _carry_out_starts(orders: list[models.Order]) -> None:
    containers = [order for order in orders if order.task_kind == Kind.CONTAINER]
    ready: dict[str, tuple[models.Order, AttemptOrder]] = {}
    for order, built in _complete(containers):
        if isinstance(built, AttemptOrder):
            ready[built.name] = (order, built)
        else:
            tell(order, built)
            done([order])
    if ready:
        try:
            refused, waiting, some_wait = executor().start([built for _, built in ready.values()]), {}, False
        except NotNow as some:
            refused, waiting, some_wait = some.refused, some.waiting, True
        except ExecutorUnavailable as error:
            trouble.met(error)
            refused, waiting, some_wait = {}, dict.fromkeys(ready, str(error)), False
        for name, sentence in refused.items():
            order = ready[name][0]
            tell(order, AttemptFailed(order.path, order.attempt, timezone.now(), sentence, "refused", retryable=False))
        done([order for name, (order, _) in ready.items() if name not in waiting])
        _count("start", done=len(ready) - len(refused) - len(waiting), refused=len(refused), put_off=len(waiting))
        for sentence in dict.fromkeys(waiting.values()):
            put_off([ready[name][0] for name, why in waiting.items() if why == sentence], sentence)
        for name, sentence in waiting.items():
            order = ready[name][0]
            if some_wait or order.tries >= _PATIENT_TRIES:
                tell(order, AttemptProgressed(order.path, order.attempt, Phase.QUEUED, timezone.now(), sentence, attention=True))
    for order in orders:
        if order.task_kind == Kind.IMPORTER:
            outbox.enqueue("runs.jobs.import_artifact", order.pk)
        elif order.task_kind in (Kind.CREATE_CLAIM, Kind.DELETE_CLAIM) and settings.EXECUTOR == "kubernetes":
            outbox.enqueue("runs.jobs.carry_out_claim", order.pk)
        elif order.task_kind != Kind.CONTAINER:
            sentence = "Claims need a cluster: the local executor has no volumes. Run this pipeline on Kubernetes."
            tell(order, AttemptFailed(order.path, order.attempt, timezone.now(), sentence, "refused", retryable=False))
            done([order])


def _count(kind: str, **outcomes: int) -> None:
    for outcome, number in outcomes.items():
        if number:
            metrics.ORDERS.labels(kind, outcome).inc(number)


def _complete(orders: list[models.Order]) -> list[tuple[models.Order, AttemptOrder | Fact]]:
    """Each order with its complete form, or with the fact that there can be none."""
    found: list[tuple[models.Order, AttemptOrder | Fact]] = []
    for run in {order.run_id: order.run for order in orders}.values():
        mine = [order for order in orders if order.run_id == run.id]
        found += zip(mine, complete_orders(run, [(order.path, order.attempt) for order in mine]), strict=True)
    return found


def _carry_out_stops(orders: list[models.Order]) -> None:
    containers = [order for order in orders if order.task_kind == Kind.CONTAINER]
    for force in (False, True):
        mine = [order for order in containers if order.force == force]
        if not mine:
            continue
        keys = [key_of(str(order.run_id), order.path, order.attempt) for order in mine]
        try:
            known = executor().stop(keys, grace=0 if force else settings.STOP_GRACE)
        except ExecutorUnavailable as error:
            trouble.met(error)
            put_off(mine, str(error))
            _count("stop", put_off=len(mine))
        else:
            for seen in known:
                outbox.hand_over(seen.run_id, [encode(seen.fact)])
            done(mine)
            _count("stop", done=len(mine))
    for order in orders:
        if order.task_kind != Kind.CONTAINER:  # carried out within moments, or not at all: there is nothing to stop
            tell(order, AttemptStopped(order.path, order.attempt, timezone.now()))
            done([order])
