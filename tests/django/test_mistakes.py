"""What happens when kfdash itself is wrong: the run ends, and says so."""

from __future__ import annotations

import pytest

from runs import driver, jobs, models
from tests.django.documents import chain
from tests.django.driving import launched

pytestmark = pytest.mark.django_db


def test_a_run_that_cannot_be_driven_is_given_up_and_says_why(monkeypatch, sent):
    run = launched(chain())

    def broken(*arguments):
        raise AssertionError("no such thing")

    monkeypatch.setattr(driver, "advance", broken)
    taken = jobs.outbox.Taken(str(run.pk), "", ({"fact": "LookedOver"},))
    monkeypatch.setattr(jobs.outbox, "take", lambda run_id: taken)
    for _ in range(2):
        with pytest.raises(AssertionError):
            jobs.drive_run(str(run.pk))
    run.refresh_from_db()
    assert run.state == "RUNNING"
    with pytest.raises(AssertionError):
        jobs.drive_run(str(run.pk))
    run.refresh_from_db()
    assert run.state == "FAILED" and "AssertionError: no such thing" in run.reason and run.finished_at
    assert run.state_history[-1]["state"] == "FAILED"
    assert set(models.Task.objects.filter(run=run).values_list("path", "state")) == {
        ("root", "FAILED"),
        ("root/s0", "CANCELED"),
        ("root/s1", "CANCELED"),
    }
    stop = models.Order.objects.get(run=run, kind="stop")
    assert (stop.path, stop.attempt, stop.force) == ("root/s0", 1, True)
    assert models.RunEvent.objects.filter(run=run).order_by("-number").first().kind == "run.failed"


def test_a_run_that_has_ended_is_not_given_up(sent):
    run = launched(chain())
    driver.give_up(str(run.pk), "first")
    driver.give_up(str(run.pk), "second")
    run.refresh_from_db()
    assert run.reason == "first"
