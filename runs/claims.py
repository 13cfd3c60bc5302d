"""Carries out orders that make and delete volume claims: no pod is needed for them."""

from __future__ import annotations

from django.utils import timezone

from kfdash import logcontext, trouble
from pipelines import specifications
from runs import models
from runs.engine.model import AttemptFailed, AttemptStopped, AttemptSucceeded, Fact, Kind, Values
from runs.executing import executor
from runs.execution.claims import claim_manifest, claim_to_delete
from runs.execution.order import attempt_name, with_defaults
from runs.execution.platform import InvalidOrder
from runs.executors.base import ClaimRefused, ExecutorUnavailable
from runs.ordering import done, inputs_of, open_order, put_off, tell


def carry_out(order_id: int) -> None:
    """Carries out the order to make or delete a claim; one that was carried out already, or is gone, is left alone.

    The claim's name is fixed by the attempt, so that an order that comes twice makes no second one.
    """
    order = open_order(order_id)
    if order is not None:
        with logcontext.about(run=order.run_id, task=order.path, attempt=order.attempt):
            _carry_out(order)


def _carry_out(order: models.Order) -> None:
    try:
        fact = _fact(order)
    except ExecutorUnavailable as error:
        trouble.met(error)
        put_off([order], str(error))
        return
    tell(order, fact)
    done([order])


def _fact(order: models.Order) -> Fact:
    began = timezone.now()
    inputs = inputs_of(order)
    if inputs is None:
        return AttemptStopped(order.path, order.attempt, began)
    try:
        outputs = _carried_out(order, inputs)
    except (InvalidOrder, ClaimRefused) as error:
        return AttemptFailed(order.path, order.attempt, timezone.now(), str(error), "claim", retryable=False)
    return AttemptSucceeded(order.path, order.attempt, timezone.now(), outputs, running_at=began)


def _carried_out(order: models.Order, inputs: Values) -> Values:
    _, component = specifications.load(order.run.specification_id).at(order.path)
    parameters = with_defaults(component, inputs)
    if order.task_kind == Kind.DELETE_CLAIM:
        executor().delete_claim(claim_to_delete(parameters))  # type: ignore[attr-defined]
        return Values()
    name = attempt_name(str(order.run_id), order.path, order.attempt)
    manifest = claim_manifest(parameters, attempt=name, run_id=str(order.run_id))
    executor().create_claim(manifest)  # type: ignore[attr-defined]
    return Values(parameters={"name": manifest["metadata"]["name"]})
