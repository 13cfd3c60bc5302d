"""Retry in place, pause and resume: what rows, events and orders say afterwards."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runs import driver, events, models, observer, services
from runs.engine.model import AttemptFailed, AttemptSucceeded, Values
from runs.services import NotPausable, NotRetriable
from tests.django.documents import chain
from tests.django.driving import driven, fail, kinds, launched, now, states, stopped, succeed, task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]


def failed_in_the_middle(**options) -> models.Run:
    run = launched(chain(3, **options))
    succeed(run, "root/s0", Output=7)
    fail(run, "root/s1")
    assert run.state == "FAILED"
    return run


def test_a_retried_run_keeps_what_succeeded_and_goes_on_with_further_attempts() -> None:
    run = failed_in_the_middle()
    services.retry_run(run, by="ada")
    assert run.state == "RUNNING" and run.reason == "" and run.finished_at is None
    assert states(run) == {"s0": "SUCCEEDED", "s1": "PENDING", "s2": "PENDING"}
    assert (task(run, "root/s0").attempt, task(run, "root/s1").attempt) == (1, 2)
    assert list(models.Order.objects.filter(run=run, kind="start").order_by("id").values_list("path", "attempt")) == [
        ("root/s0", 1),
        ("root/s1", 1),
        ("root/s1", 2),
    ]
    succeed(run, "root/s1", 2)
    succeed(run, "root/s2")
    assert [entry["state"] for entry in run.state_history] == ["PENDING", "RUNNING", "FAILED", "RUNNING", "SUCCEEDED"]
    tried = models.Attempt.objects.filter(run=run, path="root/s1").order_by("number")
    assert list(tried.values_list("number", "state")) == [(1, "FAILED"), (2, "SUCCEEDED")]
    told = models.RunEvent.objects.get(run=run, kind="run.retried")
    assert events.told(told) == "The run was retried by ada."


def test_a_run_can_be_retried_any_number_of_times() -> None:
    run = failed_in_the_middle()
    for number in range(2, 5):
        services.retry_run(run)
        fail(run, "root/s1", number)
        assert run.state == "FAILED"
    assert models.Attempt.objects.filter(run=run, path="root/s1").count() == 4


def test_what_is_told_of_an_earlier_try_changes_nothing_in_the_next() -> None:
    run = failed_in_the_middle()
    services.retry_run(run)
    before = kinds(run)
    driver.drive(str(run.pk), AttemptSucceeded("root/s1", 1, now(), Values({"Output": 5})))
    driver.drive(str(run.pk), AttemptFailed("root/s1", 1, now(), "Late."))
    driver.drive(str(run.pk))
    assert kinds(run) == before and states(run)["s1"] == "PENDING"


def test_a_retry_whose_message_was_lost_is_sent_again_by_the_tick(sent, django_capture_on_commit_callbacks) -> None:
    run = failed_in_the_middle()
    services.retry_run(run)
    models.Order.objects.filter(attempt=1).update(carried_out_at=now())
    models.Order.objects.update(due=now() - timedelta(seconds=10))
    sent.clear()
    with django_capture_on_commit_callbacks(execute=True):
        observer.send_due_orders()
    again = models.Order.objects.get(run=run, path="root/s1", attempt=2)
    assert sent == [("runs.jobs.carry_out", [again.pk])]


def test_a_stopped_and_paused_run_is_neither_after_a_retry() -> None:
    run = launched(chain(2))
    services.pause_run(run)
    services.stop_run(run, by="ada")
    stopped(run, "root/s0")
    assert (run.state, run.stopped_by) == ("CANCELED", "ada")
    services.retry_run(run)
    assert (run.state, run.stop, run.stopped_by, run.paused) == ("RUNNING", "", "", False)
    assert task(run, "root/s0").attempt == 2


def test_steps_that_have_not_run_are_looked_up_in_the_cache_by_a_retry() -> None:
    first = launched(chain(2, cached=True))
    run = launched(chain(2, cached=True))
    fail(run, "root/s0")
    succeed(first, "root/s0", Output=1)
    succeed(first, "root/s1", Output=1)
    services.retry_run(run)
    succeed(run, "root/s0", 2, Output=1)
    assert task(run, "root/s1").cached_from == f"{first.pk}:root/s1" and run.state == "SUCCEEDED"


@pytest.mark.parametrize("ended", [False, True])
def test_a_run_that_goes_on_or_has_succeeded_cannot_be_retried(ended: bool) -> None:
    run = launched(chain(1))
    if ended:
        succeed(run, "root/s0")
    before = kinds(run)
    with pytest.raises(NotRetriable, match=run.state):
        services.retry_run(run)
    assert kinds(run) == before


def test_a_retry_of_a_long_run_takes_few_statements(django_assert_max_num_queries) -> None:
    run = launched(chain(40))
    fail(run, "root/s0")
    with django_assert_max_num_queries(18):
        services.retry_run(run)


# --- pause --------------------------------------------------------------------------------------------------------------


def test_a_paused_run_starts_nothing_new_and_what_runs_goes_on() -> None:
    run = launched(chain(3))
    services.pause_run(run, by="ada")
    assert run.paused and run.state == "RUNNING"
    succeed(run, "root/s0")
    assert states(run) == {"s0": "SUCCEEDED", "s1": "PENDING", "s2": "PENDING"}
    assert task(run, "root/s1").attempt == 0
    services.resume_run(run, by="ada")
    assert not run.paused and task(run, "root/s1").attempt == 1
    told = models.RunEvent.objects.filter(run=run, kind__in=["run.paused", "run.resumed"]).order_by("number")
    assert [events.told(event) for event in told] == ["The run was paused by ada.", "The run was resumed by ada."]


def test_pages_are_told_of_a_pause_at_once(sent, django_capture_on_commit_callbacks) -> None:
    run = launched(chain(2))
    sent.clear()
    with django_capture_on_commit_callbacks(execute=True):
        services.pause_run(run)
    (message,) = [entry[2] for entry in sent if entry[0] == "live"]
    assert message["run"]["paused"] and message["number"] == run.event_number == message["previous"] + 1


def test_a_pause_outlives_everything_that_is_not_the_database() -> None:
    run = launched(chain(2))
    services.pause_run(run)
    succeed(run, "root/s0")
    for _ in range(2):  # what a resync does after every process was killed
        driven(run)
    assert task(run, "root/s1").attempt == 0 and run.paused
    services.resume_run(run)
    assert task(run, "root/s1").attempt == 1


def test_a_run_paused_before_it_began_begins_when_it_is_resumed() -> None:
    run = services.launch_run(specification=launched().specification, arguments={})
    services.pause_run(run)
    driven(run)
    assert not models.Order.objects.filter(run=run).exists()
    services.resume_run(run)
    assert task(run, "root/s0").attempt == 1


def test_pausing_twice_resuming_what_is_not_paused_and_pausing_what_ends_are_refused() -> None:
    run = launched(chain(1))
    with pytest.raises(NotPausable, match="not paused"):
        services.resume_run(run)
    services.pause_run(run)
    with pytest.raises(NotPausable, match="paused already"):
        services.pause_run(run)
    services.resume_run(run)
    services.stop_run(run)
    with pytest.raises(NotPausable, match="being stopped"):
        services.pause_run(run)
    stopped(run, "root/s0")
    with pytest.raises(NotPausable, match="has ended"):
        services.pause_run(run)
