"""What the observer hands on, and when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runs import observer
from runs.engine.model import AttemptProgressed, AttemptSucceeded, Phase
from runs.executors.base import FactObserved


@pytest.fixture
def handed(monkeypatch):
    """(run, kinds of facts) as they reach the driver."""
    found: list = []
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, facts: found.append((run_id, [fact["fact"] for fact in facts])))
    return found


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
