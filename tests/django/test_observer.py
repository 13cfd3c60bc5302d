"""What the observer hands on, and when."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from kfdash import outbox
from runs import models, observer
from runs.engine.model import AttemptProgressed, AttemptSucceeded, Phase
from runs.executors.base import FactObserved
from tests.django.documents import chain
from tests.django.driving import launched, succeed


@pytest.fixture
def handed(monkeypatch):
    """(run, kinds of facts) as they reach the driver."""
    found: list = []
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, facts: found.append((run_id, [fact["fact"] for fact in facts])))
    return found


class Leads:
    """One that always leads."""

    def wait(self, seconds: float) -> bool:
        return True


def progress(run: str) -> FactObserved:
    return FactObserved(run, AttemptProgressed("root/a", 1, Phase.RUNNING, datetime.now(UTC)))


def end(run: str) -> FactObserved:
    return FactObserved(run, AttemptSucceeded("root/a", 1, datetime.now(UTC)))


def test_progress_waits_for_a_moment_and_goes_with_the_end(handed):
    gatherer = observer.Gatherer()
    observer.hand_on([progress("a"), progress("b")], gatherer)
    assert handed == []
    observer.hand_on([end("a")], gatherer)
    assert handed == [("a", ["AttemptProgressed", "AttemptSucceeded"])]
    gatherer.flush()
    assert handed[1:] == [("b", ["AttemptProgressed"])]
    gatherer.flush()
    assert len(handed) == 2


def test_a_batch_reaches_each_run_together(handed):
    observer.hand_on([progress("a"), end("a"), end("b")])
    assert handed == [("a", ["AttemptProgressed", "AttemptSucceeded"]), ("b", ["AttemptSucceeded"])]


def test_observing_begins_again_whatever_it_broke_off_with(handed, monkeypatch):
    stop = threading.Event()
    monkeypatch.setattr(stop, "wait", lambda seconds=None: stop.is_set())

    class Breaking:
        looks = 0

        def observe(self):
            self.looks += 1
            if self.looks == 1:
                raise ValueError("I/O operation on closed file.")  # as a client of Redis does whose socket was closed
            yield [end("a")]
            stop.set()

    breaking = Breaking()
    monkeypatch.setattr(observer, "executor", lambda: breaking)
    observer._observe(stop, Leads())
    assert handed == [("a", ["AttemptSucceeded"])]


class Forgetting:
    """One that forgets, and would rather do so later."""

    forget_after = 15.0

    def __init__(self) -> None:
        self.forgot: list[str] = []

    def forget(self, attempts):
        self.forgot += [key.path for key in attempts]


@pytest.mark.django_db
def test_ends_are_forgotten_after_a_while_and_later_where_others_are_starting(monkeypatch):
    run = launched(chain(2))
    succeed(run, "root/s0")
    now, one = datetime.now(UTC), Forgetting()
    monkeypatch.setattr(observer, "executor", lambda: one)
    ended = models.Attempt.objects.filter(path="root/s0")
    ended.update(finished_at=now - timedelta(seconds=20))
    observer.forget_ended()
    assert one.forgot == []  # root/s1 is queued
    models.Attempt.objects.filter(path="root/s1").update(phase=Phase.RUNNING)
    observer.forget_ended()
    observer.forget_ended()
    assert one.forgot == ["root/s0"]
    ended.update(released=False, finished_at=now)
    observer.forget_ended()
    assert one.forgot == ["root/s0"]


def test_a_socket_that_is_closed_under_the_client_counts_as_not_handed_over(monkeypatch):
    class Closed:
        def pipeline(self, transaction):
            raise ValueError("I/O operation on closed file.")

    monkeypatch.setattr(outbox, "connection", Closed)
    with pytest.raises(outbox.NotHandedOver, match="does not take what is told of run a"):
        outbox.hand_over("a", [])
