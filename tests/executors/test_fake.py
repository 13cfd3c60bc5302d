"""The scripted executor keeps the contract, and does as it is scripted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runs.engine.model import AttemptFailed, AttemptLost, AttemptProgressed, AttemptSucceeded, Phase
from runs.executors.base import AttemptOrder, LogLine
from runs.executors.fake import Behaviour, FakeExecutor
from tests.executors.contract import ExecutorContract
from tests.executors.watching import Act, Exit, Give, OnStop, Say, Sleep, Watcher, key_of, order


def behaviour_of(acts: tuple[Act, ...]) -> Behaviour:
    """The acts as a behaviour."""
    stops = [act.text for act in acts if isinstance(act, OnStop)]
    return Behaviour(
        lines=[(act.stream, act.text) for act in acts if isinstance(act, Say)],
        files={act.output: act.text for act in acts if isinstance(act, Give)},
        seconds=sum(act.seconds for act in acts if isinstance(act, Sleep)),
        exit_code=next((act.code for act in acts if isinstance(act, Exit)), 0),
        missing=frozenset({"forgotten"}),
        ignores_stop=stops == [None],
        last_words=[("o", text) for text in stops if text is not None],
    )


@pytest.fixture
def executor() -> Iterator[FakeExecutor]:
    executor = FakeExecutor()
    yield executor
    executor.close()


@pytest.fixture
def watcher(executor: FakeExecutor) -> Watcher:
    watcher = Watcher(executor, 5)
    watcher.ready()
    return watcher


class TestContract(ExecutorContract):
    patience = 5.0

    @pytest.fixture
    def executor(self) -> Iterator[FakeExecutor]:
        executor = FakeExecutor()
        yield executor
        executor.close()

    def make(self, executor: FakeExecutor, *acts: Act, **fields: object) -> AttemptOrder:  # type: ignore[override]
        made = order(*acts, **fields)  # type: ignore[arg-type]
        executor.behaviours[made.name] = behaviour_of(acts)
        return made


def test_fails_then_succeeds(executor: FakeExecutor, watcher: Watcher) -> None:
    executor.behaviours["flaky"] = [Behaviour(exit_code=1), Behaviour(outputs={"x": 7})]
    for number, kind in ((1, AttemptFailed), (2, AttemptSucceeded), (3, AttemptSucceeded)):
        attempt = order(key="flaky", number=number)
        executor.start([attempt])
        assert isinstance(watcher.end_of(attempt), kind)


def test_an_attempt_can_be_lost(executor: FakeExecutor, watcher: Watcher) -> None:
    executor.behaviours["gone"] = Behaviour(lost=True)
    executor.behaviours["long"] = Behaviour(seconds=600)
    gone, long = order(key="gone"), order(key="long")
    executor.start([gone, long])
    assert isinstance(watcher.end_of(gone), AttemptLost)
    executor.lose(key_of(long))
    assert isinstance(watcher.end_of(long), AttemptLost)


def test_an_attempt_that_waits_says_for_what(executor: FakeExecutor, watcher: Watcher) -> None:
    executor.behaviours["root/pending"] = Behaviour(waits="No machine has a GPU free.", waits_for=0.1)
    attempt = order(key="pending")
    executor.start([attempt])
    watcher.end_of(attempt)
    first = watcher.told(attempt).facts[0]
    assert isinstance(first, AttemptProgressed)
    assert (first.phase, first.reason, first.attention) == (Phase.QUEUED, "No machine has a GPU free.", True)


def test_a_refusal_is_answered_and_nothing_is_begun(executor: FakeExecutor) -> None:
    executor.behaviours["no"] = Behaviour(refused="This step needs a secret.")
    attempt = order(key="no")
    assert executor.start([attempt]) == {attempt.name: "This step needs a secret."}
    assert executor.started == []


def test_lines_are_stored_before_they_are_told() -> None:
    stored: list[tuple[str, list[LogLine]]] = []
    executor = FakeExecutor(
        default=Behaviour(lines=[("o", "one"), ("e", "two")]), store=lambda log, lines: stored.append((log, list(lines)))
    )
    attempt = order()
    executor.start([attempt])
    [(log, lines)] = stored
    assert log == attempt.log
    assert [(line.number, line.stream, line.text) for line in lines] == [(1, "o", "one"), (2, "e", "two")]
