"""Rules of retention carried out on rows and files: what goes, what stays, and what happens when it is broken off."""

from __future__ import annotations

import itertools
import pathlib
import random
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as now_set
from django.utils import timezone

from access.models import Entry
from runs import logstore, models, observer, removal, services
from runs.removed import removed_sentence
from runs.retention import leftovers, passes, removing
from runs.retention.planning import Why, boundaries, plan
from runs.retention.reading import rules_now, runs_by_id, users
from runs.retention.rules import ENDED, OF_RUNS, Per, Rule, What
from runs.services import retention
from runs.stores import store_options
from tests.django.documents import chain, stored
from tests.django.driving import artifact, driven, launched, succeed

DAY = 86400
_numbers = itertools.count(1000)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent", "quick")]


@pytest.fixture
def quick(settings: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Folders of its own, an executor that is not there, no rests."""
    settings.ARTIFACTS_DIR, settings.LOGS_DIR, settings.HOST_DIR = (tmp_path / name for name in ("artifacts", "logs", "host"))
    settings.RETENTION = "off"
    store_options.cache_clear()
    monkeypatch.setattr("runs.retention.work._MOST_REST", 0.0)
    yield
    store_options.cache_clear()


def made(days: float = 100, state: str = "SUCCEEDED", **fields: Any) -> models.Run:
    """A run's row, with a log and an output on disk, that ended so many days ago."""
    run_id = uuid.uuid4()
    at = timezone.now() - timedelta(days=days)
    experiment = fields.pop("experiment", None) or services.default_experiment()
    run = models.Run.objects.create(
        id=run_id,
        number=next(_numbers),
        name="chain",
        resource_name="chain-xxxxx",
        experiment=experiment,
        experiment_key=experiment.pk,
        specification=stored(chain(1)),
        pipeline_root=f"minio://kfdash/v2/artifacts/chain/{run_id}",
        state=state,
        created_at=at - timedelta(minutes=5),
        finished_at=at if state in ENDED else None,
        **fields,
    )
    models.Task.objects.create(run=run, path="root/s0", parent="root", kind="container", state="SUCCEEDED")
    models.RunEvent.objects.create(run=run, number=1, at=at, kind="run.ended")
    logstore.LogWriter(log_of(run) / "s0-1").append(1, "o", "hello")
    file = data_of(run)
    file.parent.mkdir(parents=True)
    file.write_text("12345")
    row = models.Artifact.objects.create(
        run=run, path="root/s0", name="data", uri=f"{run.pipeline_root}/s0/data", size=5, looked_at=at
    )
    outputs = {"parameters": {}, "artifacts": {"data": [{"id": row.pk, "name": "data", "uri": row.uri}]}}
    models.CacheEntry.objects.create(
        pipeline_name="chain", fingerprint=str(run_id), run=run, path="root/s0", outputs=outputs, created_at=at
    )
    return run


def log_of(run: models.Run) -> pathlib.Path:
    return pathlib.Path(now_set.LOGS_DIR) / str(run.pk)


def data_of(run: models.Run) -> pathlib.Path:
    return pathlib.Path(now_set.ARTIFACTS_DIR) / run.pipeline_root.removeprefix("minio://") / "s0" / "data"


def there(run: models.Run) -> bool:
    return models.Run.objects.filter(pk=run.pk).exists()


def carry_out(*rules: Rule, **options: Any) -> models.RetentionPass:
    """A pass by these rules, to its end, files included."""
    for rule in rules:
        retention.save_retention_rule(rule, confirmed=True)
    row = retention.carry_rules_out(by="ada")
    assert row is not None
    passes.go_on(30)
    row.refresh_from_db()
    return row


# --- what goes and stays --------------------------------------------------------------------------------------------


def test_a_run_goes_with_its_rows_logs_outputs_and_cache_entries() -> None:
    old, young = made(100), made(10)
    done = carry_out(Rule(What.RUNS, age=30 * DAY))
    assert (there(old), there(young)) == (False, True)
    assert (log_of(old).exists(), data_of(old).exists(), data_of(old).parents[1].exists()) == (False, False, False)
    assert (log_of(young).exists(), data_of(young).exists()) == (True, True)
    for model in (models.Task, models.RunEvent, models.Artifact, models.CacheEntry):
        assert model.objects.count() == 1, model
    assert done.finished_at is not None and done.by == "ada" and not models.Leftover.objects.exists()
    log_bytes = len(b"1 o hello\n")
    assert done.counts == {"runs": 1, "artifacts": 1, "bytes": 5, "cache_entries": 1, "freed": 5 + log_bytes}


def test_outputs_go_and_the_run_says_so() -> None:
    run = made()
    done = carry_out(Rule(What.ARTIFACTS, age=30 * DAY))
    run.refresh_from_db()
    assert not data_of(run).exists() and log_of(run).exists()
    assert models.Artifact.objects.get(run=run).gone_at and not models.CacheEntry.objects.exists()
    assert run.artifacts_removed_at and run.logs_removed_at is None
    sentence = removed_sentence(run, "artifacts")
    assert sentence.startswith("Outputs of this run were removed on ")
    assert sentence.endswith(
        "by the rule: The outputs of runs that ended more than 30 days ago are removed. The runs themselves stay."
    )
    assert done.counts["artifacts"] == done.counts["of_runs"] == 1 and done.counts["freed"] == 5
    assert carry_out_again().counts == {}


def carry_out_again() -> models.RetentionPass:
    return carry_out()


def test_logs_go_and_the_run_says_so() -> None:
    run = made()
    carry_out(Rule(What.LOGS, age=30 * DAY, states=("SUCCEEDED",)))
    run.refresh_from_db()
    assert not log_of(run).exists() and data_of(run).exists() and run.logs_removed_at
    assert "Logs of this run were removed on" in removed_sentence(run, "logs")
    assert removed_sentence(run, "artifacts") == ""
    assert carry_out_again().counts == {}


def test_the_newest_of_an_experiment_stay_and_kept_ones() -> None:
    mine = services.create_experiment(name="mine")
    runs = [made(10 + i, experiment=mine) for i in range(5)]
    others = [made(10 + i) for i in range(3)]
    services.keep_run(runs[4], by="ada")
    done = carry_out(Rule(What.RUNS, newest=2, experiment=str(mine.pk)))
    assert [there(run) for run in runs] == [True, True, False, False, True] and all(map(there, others))
    assert done.spared == {Why.NEWEST: 2, Why.KEPT: 1}
    services.let_run_go(runs[4])
    carry_out()
    assert not there(runs[4])


def test_cache_entries_of_no_use_go_and_those_that_are_used_stay() -> None:
    used, unused, kept = made(100), made(90), made(80)
    models.CacheEntry.objects.filter(run=used).update(last_hit_at=timezone.now())
    services.keep_run(kept)
    done = carry_out(Rule(What.CACHE, age=30 * DAY))
    assert set(models.CacheEntry.objects.values_list("run", flat=True)) == {used.pk, kept.pk} and there(unused)
    assert done.counts == {"evicted": 1} and done.spared == {Why.KEPT: 1}


def test_what_is_long_done_goes_from_the_activity_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("access.services.remove_entries.__kwdefaults__", {"most": 2})
    now = timezone.now()
    for days in (500, 400, 380, 100):
        Entry.objects.create(at=now - timedelta(days=days), by="ada", verb="launched", what="run", name=f"{days} days ago")
    rule = Rule(What.ACTIVITY, age=365 * DAY)
    assert retention.try_rules_out([rule]).counts == {"entries": 3}
    assert carry_out(rule).counts == {"entries": 3}
    assert list(Entry.objects.values_list("name", flat=True)) == ["100 days ago"]


def test_a_run_whose_outputs_another_one_shows_stays_until_that_one_goes() -> None:
    maker, user = made(100), made(10)
    models.Task.objects.filter(run=user).update(cached_from=f"{maker.pk}:root/s0")
    done = carry_out(Rule(What.RUNS, age=30 * DAY))
    assert there(maker) and done.spared == {Why.IN_USE: 1}
    (shown,) = done.shown
    assert (shown["run"], shown["goes"], shown["user"]["run"]) == (str(maker.pk), False, str(user.pk))
    models.Run.objects.filter(pk=user.pk).update(created_at=maker.finished_at, finished_at=maker.finished_at)
    carry_out()
    assert not there(maker) and not there(user)


def test_a_real_hit_keeps_its_maker_and_a_run_again_under_way_keeps_its_origin() -> None:
    first = launched(chain(2, cached=True, artifacts=True))
    for path in ("root/s0", "root/s1"):
        succeed(first, path, artifacts={"data": [artifact(f"{first.pipeline_root}/{path}/data")]})
    second = driven(services.launch_run(specification=first.specification, arguments={}))
    assert second.state == "SUCCEEDED"
    long_ago = timezone.now() - timedelta(days=200)
    models.Run.objects.filter(pk=first.pk).update(created_at=long_ago, finished_at=long_ago)
    assert carry_out(Rule(What.ARTIFACTS, age=30 * DAY)).spared == {Why.IN_USE: 1}
    models.Run.objects.filter(pk=second.pk).delete()
    again = services.run_again(first, from_paths=["root/s1"], by="ada")
    assert carry_out().spared == {Why.IN_USE: 1}, again.state
    models.Run.objects.filter(pk=again.pk).delete()
    assert carry_out().counts["artifacts"] == 2


def test_an_artifact_that_was_imported_from_elsewhere_is_not_said_to_be_gone() -> None:
    run = made()
    models.Artifact.objects.create(run=run, path="root/s0", name="source", uri="s3://theirs/data.csv")
    carry_out(Rule(What.ARTIFACTS, age=30 * DAY))
    assert dict(models.Artifact.objects.values_list("name", "gone_at"))["source"] is None


# --- dry runs -------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_go_and_changes_nothing() -> None:
    runs = [made(100 - i) for i in range(3)]
    rule = Rule(What.RUNS, age=30 * DAY, newest=1)
    trial = retention.try_rules_out([rule, Rule(What.LOGS, age=DAY)])
    assert trial.finished_at and trial.dry
    assert trial.counts == {"runs": 2, "artifacts": 2, "bytes": 10, "cache_entries": 2, "logs": 1}
    assert [one["run"] for one in trial.shown if one["goes"] and one["what"] == "runs"] == [str(run.pk) for run in runs[:2]]
    assert trial.shown[0]["rule"].startswith("Runs that ended more than 30 days ago")
    assert all(map(there, runs)) and data_of(runs[0]).exists() and not models.Leftover.objects.exists()
    done = carry_out(rule, Rule(What.LOGS, age=DAY))
    assert {key: value for key, value in done.counts.items() if key != "freed"} == trial.counts


def test_a_rule_that_would_remove_much_asks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MUCH", 3)
    for _ in range(3):
        made()
    with pytest.raises(retention.TooMuch, match=r"\(3 things\)") as caught:
        retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY))
    assert caught.value.trial.counts["runs"] == 3 and not models.RetentionRule.objects.exists()
    row = retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY), confirmed=True)
    retention.save_retention_rule(Rule(What.RUNS, age=31 * DAY, id=row.pk))
    assert [row.age for row in models.RetentionRule.objects.all()] == [31 * DAY]


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


# --- what the database finds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_judged_as_values_in_memory_are(seed: int) -> None:
    dice = random.Random(seed)
    experiments = [services.create_experiment(name=name) for name in "xy"]
    runs = [
        made(
            dice.randint(1, 20),
            dice.choice([*ENDED, "RUNNING"]),
            experiment=dice.choice(experiments),
            kept_at=dice.choice([None, None, None, timezone.now()]),
        )
        for _ in range(14)
    ]
    for user in dice.sample(runs, 5):
        models.Task.objects.filter(run=user).update(cached_from=f"{dice.choice(runs).pk}:root/s0")
    for i in range(5):
        states = tuple(state for state in ENDED if dice.random() < 0.8) or ENDED
        rule = Rule(
            OF_RUNS[i % 3],
            dice.choice([None, 5 * DAY, 10 * DAY]),
            dice.choice([2, 3]) if i % 2 else None,
            dice.choice(list(Per)),
            states,
            dice.choice(["", str(experiments[0].pk)]),
        )
        if not rule.keeps_all or rule.experiment:
            retention.save_retention_rule(rule, confirmed=True)
    rules = rules_now()
    every = runs_by_id([run.pk for run in runs])
    now = timezone.now()
    expected = {}
    for what in OF_RUNS:
        verdicts = plan(every, what, rules, boundaries(every, rules), users, now)
        expected[what.value] = {one.run.id for one in verdicts if one.goes}
    trial = retention.try_rules_out()
    found: dict[str, set[str]] = {what.value: set() for what in OF_RUNS}
    for one in trial.shown:
        if one["goes"]:
            assert one["run"] not in found[one["what"]], "found twice"
            found[one["what"]].add(one["run"])
    assert found == expected and any(expected.values())
    carry_out()
    assert {str(run.pk) for run in runs if not there(run)} == expected["runs"]
    assert carry_out().counts == {}
