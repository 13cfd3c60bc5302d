"""Rules of retention carried out on rows and files: what goes and what stays."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.utils import timezone

from access.models import Entry
from runs import models, services
from runs.removed import removed_sentence
from runs.retention.planning import Why, boundaries, plan
from runs.retention.reading import rules_now, runs_by_id, users
from runs.retention.rules import ENDED, OF_RUNS, Per, Rule, What
from runs.services import retention
from tests.django.documents import chain
from tests.django.driving import artifact, driven, launched, succeed
from tests.django.old_runs import DAY, carry_out, data_of, log_of, made, there

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent", "folders")]


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
    assert carry_out().counts == {}


def test_logs_go_and_the_run_says_so() -> None:
    run = made()
    carry_out(Rule(What.LOGS, age=30 * DAY, states=("SUCCEEDED",)))
    run.refresh_from_db()
    assert not log_of(run).exists() and data_of(run).exists() and run.logs_removed_at
    assert "Logs of this run were removed on" in removed_sentence(run, "logs")
    assert removed_sentence(run, "artifacts") == ""
    assert carry_out().counts == {}


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
