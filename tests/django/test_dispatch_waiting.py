"""What an executor cannot start now: it stays due, and the page says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from runs import dispatch, models, ordering
from runs.execution.attempt import AttemptOrder
from runs.executors.base import ExecutorUnavailable, NotNow
from runs.facts import decode
from tests.django.documents import chain
from tests.django.driving import launched


class Reluctant:
    """An executor that answers `start` as it is told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.names: list[str] = []

    def start(self, orders: Sequence[AttemptOrder]) -> Mapping[str, str]:
        """Notes the names, and raises."""
        self.names = [order.name for order in orders]
        if self.error is not None:
            raise self.error
        return {}


@pytest.fixture
def reluctant(monkeypatch: pytest.MonkeyPatch) -> Reluctant:
    executor = Reluctant()
    monkeypatch.setattr(dispatch, "executor", lambda: executor)
    return executor


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    facts: list[Any] = []
    monkeypatch.setattr(dispatch.outbox, "hand_over", lambda run, data: facts.extend(map(decode, data)))
    return facts


@pytest.fixture
def orders(db: None) -> list[models.Order]:
    for _ in range(2):
        launched(chain(1))
    return list(models.Order.objects.filter(kind=models.OrderKind.START).order_by("id"))


def test_a_step_that_the_quota_holds_back_waits_and_the_others_are_started(
    reluctant: Reluctant, told: list[Any], orders: list[models.Order]
) -> None:
    first, second = orders
    waiting = ordering.key_of(str(first.run_id), first.path, first.attempt).name
    reluctant.error = NotNow({waiting: "The quota is used up."}, {})
    dispatch.carry_out([first.pk, second.pk])
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.carried_out_at is None and first.tries == 1 and second.carried_out_at is not None
    [fact] = told
    assert (fact.path, fact.reason, fact.attention) == (first.path, "The quota is used up.", True)


def test_an_executor_that_is_away_for_a_moment_is_not_worth_a_word(
    reluctant: Reluctant, told: list[Any], orders: list[models.Order]
) -> None:
    reluctant.error = ExecutorUnavailable("It does not answer.")
    ids = [order.pk for order in orders]
    dispatch.carry_out(ids)
    assert told == []
    models.Order.objects.filter(pk__in=ids).update(tries=2)
    dispatch.carry_out(ids)
    assert {fact.reason for fact in told} == {"It does not answer."} and len(told) == 2
