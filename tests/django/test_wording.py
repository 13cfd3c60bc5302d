"""What is said of a step: one line in its box, one sentence in its row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runs.engine.model import Kind, State, Task
from runs.messages import task_message
from runs.wording import line, seconds, since, starting, why

NOW = datetime.now(UTC)


def message(state=State.PENDING, kind=Kind.CONTAINER, **more):
    return task_message(Task("root/x", kind, state, **more))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (message(waiting_on=1), "after 1 step"),
        (message(waiting_on=2), "after 2 steps"),
        (message(reason="Waiting for a GPU: none of 4 nodes has one free", attention=True), "waiting for a GPU"),
        (message(attempt=1), "queued"),
        (message(attempt=1, reason="installing scikit-learn: 12 s"), "installing scikit-learn"),
        (
            message(attempt=1, cause="retry", reason="Attempt 1 failed: Exit code 1: ValueError: x. Retry 1 of 2 in 3 s."),
            "failed, retry 1 of 2 in 3 s",
        ),
        (message(State.SUCCEEDED, started_at=NOW - timedelta(seconds=38), finished_at=NOW), "38 s"),
        (message(State.SUCCEEDED, cached_from="r:root/x"), "cached"),
        (message(State.FAILED, cause="out-of-memory", reason="x was killed"), "out of memory"),
        (message(State.FAILED, cause="exit-code", reason="Exit code 1: KeyError: 'petal_width'"), "exit code 1"),
        (
            message(State.SKIPPED, cause="condition", reason="Skipped because drift > 0.2 is false (drift is 0.07)."),
            "not taken: drift is 0.07",
        ),
        (
            message(State.SKIPPED, cause="condition", reason="Skipped because a is false (evaluate-accuracy is 0.9766081)."),
            "not taken: accuracy is 0.976",
        ),
        (
            message(State.SKIPPED, cause="condition", reason="Skipped because tiny-Output > limit is false (tiny-Output is 3)."),
            "not taken: tiny is 3",
        ),
        (message(State.SKIPPED, cause="upstream-failed", reason="Did not run because train failed."), "because train failed"),
        (message(State.CANCELED, started_at=NOW - timedelta(minutes=2), finished_at=NOW), "stopped after 2 m 00 s"),
        (message(State.RUNNING, Kind.LOOP, children=12, succeeded=6, failed=1, running=3), "6 done, 3 running, 1 failed"),
        (message(State.SUCCEEDED, Kind.LOOP, children=12, succeeded=12, started_at=NOW, finished_at=NOW), "12 of 12, 0 ms"),
        (
            message(State.FAILED, Kind.LOOP, cause="inputs", reason="The loop goes over 'x', which is no list."),
            "the loop goes over 'x', which is…",
        ),
    ],
)
def test_the_line_in_a_box_says_how_long_or_why_not(told, said):
    assert line(told) == said


def test_a_running_step_has_a_clock_unless_it_says_something():
    assert since(message(State.RUNNING, started_at=NOW)) == NOW.isoformat()
    assert since(message(State.RUNNING, started_at=NOW, reason="fetching inputs")) == ""


def test_a_row_says_the_whole_sentence():
    assert why(message(State.FAILED, reason="Exit code 1: KeyError: 'petal_width'")) == "Exit code 1: KeyError: 'petal_width'"
    assert why(message(State.RUNNING, Kind.DAG, children=3, ended=2)) == "2 of 3 steps"
    assert why(message(waiting_on=2)) == "After 2 steps"
    assert why(message(State.SUCCEEDED)) == ""
    skipped = message(State.SKIPPED, cause="condition", reason="Skipped because tiny-Output > 4 is false (tiny-Output is 3).")
    assert why(skipped) == "Skipped because tiny > 4 is false (tiny is 3)."
    otherwise = "Skipped because !(auc-Output >= least) is false (auc-Output is 0.9766081871345029, least is 0.9)."
    said = "Skipped because auc >= least is true (auc is 0.976608, least is 0.9)."
    assert why(message(State.SKIPPED, cause="condition", reason=otherwise)) == said
    again = "Attempt 1 failed: Exit code 1: ValueError: x Retry 1 of 2 in 3 s."
    assert (
        why(message(attempt=1, cause="retry", reason=again)) == "Retry 1 of 2 in 3 s. Attempt 1 failed: Exit code 1: ValueError: x."
    )


def test_a_step_starts_from_the_first_word_of_its_attempt_until_it_runs():
    assert starting(message(attempt=1, reason="Installing scikit-learn: 12 s"))
    assert not starting(message(attempt=1)), "queued, as far as anybody knows"
    assert not starting(message(attempt=1, reason="Waiting for a GPU", attention=True))
    assert not starting(message(attempt=1, cause="retry", reason="Attempt 1 failed: x. Retry 1 of 2."))
    assert not starting(message(State.RUNNING, attempt=1, reason="fetching inputs"))


def test_a_step_that_ended_before_it_had_begun_took_no_time():
    ready = NOW - timedelta(seconds=38)
    assert seconds(message(State.FAILED, ready_at=ready, finished_at=NOW)) is None
    assert seconds(message(State.FAILED, ready_at=ready, started_at=NOW - timedelta(seconds=3), finished_at=NOW)) == 3
    assert line(message(State.CANCELED, ready_at=ready, finished_at=NOW)) == "stopped"
