"""Passes of rules of retention: when they are due, what happens where one is broken off, and what changes meanwhile."""

from __future__ import annotations

import pathlib
import time
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from runs import models, observer, removal, services
from runs.retention import leftovers, passes, removing
from runs.retention.rules import Rule, What
from runs.services import retention
from tests.django.old_runs import DAY, carry_out, data_of, log_of, made, there

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent", "folders")]


# --- broken off -----------------------------------------------------------------------------------------------------


def test_a_pass_that_is_killed_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "_MOST_RUNS", 2)
    runs = [made(100 - i) for i in range(7)]
    calls = []
    real = removing.remove

    def dies(*args: Any, **options: Any) -> dict[str, int]:
        calls.append(1)
        found = real(*args, **options)
        if len(calls) == 2:
            raise KeyboardInterrupt  # with its transaction
        return found

    monkeypatch.setattr("runs.retention.work.removing.remove", dies)
    retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY), confirmed=True)
    row = retention.carry_rules_out()
    with pytest.raises(KeyboardInterrupt):
        passes.go_on(30)
    assert [there(run) for run in runs] == [False] * 2 + [True] * 5
    assert all(data_of(run).exists() for run in runs), "files go after the rows"
    row.refresh_from_db()
    assert row.finished_at is None and row.counts["runs"] == 2 and models.Leftover.objects.count() == 2
    models.RetentionPass.objects.update(beat_at=timezone.now() - timedelta(minutes=2))
    passes.go_on(30)
    row.refresh_from_db()
    assert row.finished_at and row.counts["runs"] == 7 and not any(data_of(run).exists() for run in runs)


def test_a_pass_in_the_hands_of_a_job_is_left_to_it_until_it_is_silent() -> None:
    run = made()
    retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY), confirmed=True)
    row = retention.carry_rules_out()
    assert passes.claim(row) is not None and passes.claim(row) is None
    passes.go_on(5)
    assert there(run)
    models.RetentionPass.objects.update(beat_at=timezone.now() - timedelta(minutes=2))
    passes.go_on(5)
    assert not there(run)


def test_a_job_whose_pass_was_taken_over_changes_nothing_more() -> None:
    run = made()
    retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY), confirmed=True)
    mine = passes.claim(retention.carry_rules_out())
    models.RetentionPass.objects.update(holder="another")
    passes.work_on(mine, time.monotonic() + 5)
    assert there(run)


def test_what_is_kept_retried_or_used_after_it_was_found_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [made(100 - i) for i in range(4)]
    real = removing.chunks

    def meanwhile(verdicts: Any) -> Any:
        services.keep_run(runs[0])
        models.Run.objects.filter(pk=runs[1].pk).update(state="RUNNING", finished_at=None)
        user = made(1)
        models.Task.objects.filter(run=user).update(cached_from=f"{runs[2].pk}:root/s0")
        yield from real(verdicts)

    monkeypatch.setattr("runs.retention.work.removing.chunks", meanwhile)
    done = carry_out(Rule(What.RUNS, age=30 * DAY))
    assert [there(run) for run in runs] == [True, True, True, False] and done.counts["runs"] == 1


def test_a_changed_rule_ends_the_pass_that_goes_by_the_old_one() -> None:
    run = made()
    row = retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY), confirmed=True)
    begun = retention.carry_rules_out()
    retention.delete_retention_rule(row)
    passes.go_on(5)
    begun.refresh_from_db()
    assert there(run) and begun.finished_at and "The rules were changed" in begun.problem


def test_a_disk_that_is_away_is_tried_again_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made()

    def away(folder: pathlib.Path) -> int:
        raise removal.NotRemoved(f"The folder {folder} cannot be removed: Stale file handle.")

    with monkeypatch.context() as patched:
        patched.setattr(removal, "_remove_folder", away)
        done = carry_out(Rule(What.LOGS, age=30 * DAY))
        assert done.finished_at, "the next pass need not wait for the disk"
    assert log_of(run).exists()
    (trouble,) = leftovers.troubles()
    assert trouble["count"] == 1 and "Stale file handle" in str(trouble["problem"])
    assert leftovers.remove_due(time.monotonic() + 5) == 0, "not at once"
    models.Leftover.objects.update(due=timezone.now())
    passes.go_on(5)
    assert not log_of(run).exists() and not leftovers.troubles()
    done.refresh_from_db()
    assert done.counts["freed"] == 10


# --- when -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "now", "expected"),
    [
        ("off", "2026-06-01T10:30", None),
        ("hourly", "2026-06-01T10:30", "2026-06-01T10:00"),
        ((3, 0), "2026-06-01T10:30", "2026-06-01T03:00"),
        ((23, 15), "2026-06-01T10:30", "2026-05-31T23:15"),
    ],
)
def test_when_the_rules_were_last_due(settings: Any, when: Any, now: str, expected: str | None) -> None:
    settings.RETENTION = when
    found = passes.slot(datetime.fromisoformat(f"{now}+00:00"))
    assert (found and found.isoformat()[:16]) == expected


def test_a_pass_is_begun_once_when_it_is_due_and_not_before_a_rule_is_an_hour_old(settings: Any) -> None:
    settings.RETENTION = "hourly"
    now = timezone.now().replace(minute=10)
    assert passes.begin_due(now) is None, "there are no rules"
    retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY), confirmed=True)
    models.RetentionRule.objects.update(changed_at=now.replace(minute=5))
    assert passes.begin_due(now) is None
    later = now + timedelta(hours=1)
    assert passes.begin_due(later) is not None and passes.begin_due(later) is None
    passes.go_on(5)
    assert passes.begin_due(later) is None


def test_the_tick_has_rules_carried_out_where_they_may_be_due_and_gone_on_with(sent: list[tuple]) -> None:
    def asked(**options: bool) -> bool:
        del sent[:]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("django.db.transaction.on_commit", lambda act: act())
            observer.carry_rules_out(**options)
        return ("runs.jobs.carry_rules_out",) in sent

    assert not asked(may_be_due=True), "there are no rules"
    retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY))
    assert asked(may_be_due=True) and not asked(may_be_due=False)
    retention.carry_rules_out()
    assert asked(may_be_due=False)
    passes.go_on(5)
    assert not asked(may_be_due=False)
    models.Leftover.objects.create(run_id=uuid.uuid4(), what="logs", due=timezone.now() + timedelta(minutes=1))
    assert not asked(may_be_due=False)
    models.Leftover.objects.update(due=timezone.now())
    assert asked(may_be_due=False)


def test_a_mistake_of_ours_is_said_and_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made()
    retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY))
    row = retention.carry_rules_out()
    with monkeypatch.context() as patched:
        patched.setattr("runs.retention.work.plan", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            passes.go_on(5)
    row.refresh_from_db()
    assert row.problem == "ZeroDivisionError: division by zero" and passes.claim(row) is None
    models.RetentionPass.objects.update(beat_at=timezone.now() - timedelta(minutes=2))
    passes.go_on(5)
    row.refresh_from_db()
    assert row.finished_at and row.problem == "" and not there(run)
