"""A run's way through rows: launch, drive with facts, and what is left in the database after each."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError

from runs import driver, models, observer, services
from runs.engine.model import AttemptFailed, AttemptProgressed, AttemptSucceeded, Phase, TimeCame, Values
from runs.services import ArgumentsRefused, NotStoppable
from tests.bench.pipelines import layered
from tests.django.documents import chain, stored

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """What would have gone to Celery and to Redis."""
    jobs: list[tuple] = []
    monkeypatch.setattr("kfdash.outbox._send", lambda job, args: jobs.append((job, *args)))
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, facts: jobs.append(("facts", run_id, facts)))
    monkeypatch.setattr("kfdash.live.publish_run", lambda run_id, message: jobs.append(("live", run_id, message)))
    return jobs


def now() -> datetime:
    return datetime.now(UTC)


def succeed(run, path, number=1, **outputs):
    driver.drive(
        str(run.pk),
        AttemptSucceeded(path, number, now(), Values(outputs.get("parameters", {"Output": 2}), outputs.get("artifacts", {}))),
    )


def task(run, path) -> models.Task:
    return models.Task.objects.get(run=run, path=path)


def launched(text=None, **options):
    run = services.launch_run(specification=stored(text or chain()), arguments=options.pop("arguments", {}), **options)
    driver.drive(str(run.pk))
    run.refresh_from_db()
    return run


def test_a_launch_writes_the_run_and_leaves_its_work_for_after_the_commit(sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        run = services.launch_run(specification=stored(chain()), arguments={"start": 3}, name="first")
    assert run.state == "PENDING" and run.number == 1 and run.experiment.name == "Default"
    assert run.pipeline_root.endswith(f"/chain/{run.pk}")
    assert sent == [("facts", str(run.pk), [])]


def test_the_first_drive_starts_what_has_no_dependencies(sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        run = launched()
    assert run.state == "RUNNING"
    assert task(run, "root/s0").attempt == 1 and task(run, "root/s1").state == "PENDING"
    order = models.Order.objects.get(run=run)
    assert (order.kind, order.path, order.attempt) == ("start", "root/s0", 1)
    assert ("runs.jobs.carry_out", [order.pk]) in sent


def test_what_the_database_refuses_comes_as_djangos_error_and_nothing_of_a_drive_is_written(sent):
    run = launched()
    before = models.Order.objects.count(), task(run, "root/s0").state, run.event_number
    models.RunEvent.objects.create(run=run, number=run.event_number + 2, at=now(), kind="in the way")
    sent.clear()
    with pytest.raises(IntegrityError):
        succeed(run, "root/s0", parameters={"Output": 7})
    run.refresh_from_db()
    assert (models.Order.objects.count(), task(run, "root/s0").state, run.event_number) == before
    assert sent == []


def test_a_run_goes_to_its_end_with_the_facts_of_its_steps():
    run = launched()
    driver.drive(str(run.pk), AttemptProgressed("root/s0", 1, Phase.RUNNING, now()))
    assert task(run, "root/s0").state == "RUNNING"
    succeed(run, "root/s0", parameters={"Output": 7})
    assert task(run, "root/s1").inputs["parameters"] == {"x": 7}
    succeed(run, "root/s1")
    run.refresh_from_db()
    assert run.state == "SUCCEEDED" and run.finished_at is not None
    assert [entry["state"] for entry in run.state_history] == ["PENDING", "RUNNING", "SUCCEEDED"]
    numbers = list(models.RunEvent.objects.filter(run=run).order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, run.event_number + 1))
    assert not models.Attempt.objects.filter(run=run).exclude(phase="ended").exists()


def test_the_same_fact_twice_changes_nothing():
    run = launched()
    succeed(run, "root/s0")
    before = list(models.RunEvent.objects.filter(run=run).values_list("number", "kind"))
    succeed(run, "root/s0")
    assert list(models.RunEvent.objects.filter(run=run).values_list("number", "kind")) == before
    assert models.Order.objects.filter(run=run, kind="start").count() == 2


def test_a_failure_is_told_in_one_sentence_on_step_and_run():
    run = launched()
    driver.drive(str(run.pk), AttemptFailed("root/s0", 1, now(), "exit code 1: KeyError: 'x'", exit_code=1))
    run.refresh_from_db()
    assert run.state == "FAILED" and "KeyError: 'x'" in run.reason and "s0" in run.reason
    assert task(run, "root/s1").state == "SKIPPED" and "s0" in task(run, "root/s1").reason


def artifact(uri: str) -> dict:
    return {
        "id": 0,
        "name": "data",
        "uri": uri,
        "type": "system.Dataset",
        "schema_version": "0.0.1",
        "metadata": {"rows": 3},
        "custom_path": "",
    }


def test_output_artifacts_get_rows_and_their_uses_are_kept():
    run = launched(chain(artifacts=True))
    succeed(run, "root/s0", artifacts={"data": [artifact("minio://kfdash/x")]})
    row = models.Artifact.objects.get()
    assert (row.path, row.name, row.metadata) == ("root/s0", "data", {"rows": 3})
    assert task(run, "root/s0").outputs["artifacts"]["data"][0]["id"] == row.pk
    assert list(models.ArtifactUse.objects.values_list("artifact", "path", "name")) == [(row.pk, "root/s1", "data")]
    succeed(run, "root/s0", artifacts={"data": [artifact("minio://kfdash/x")]})
    assert models.Artifact.objects.count() == 1


def test_a_second_run_is_answered_from_the_cache_and_says_from_which():
    first = launched(chain(cached=True))
    succeed(first, "root/s0")
    succeed(first, "root/s1")
    second = launched(chain(cached=True))
    assert second.state == "SUCCEEDED"
    assert task(second, "root/s0").cached_from == f"{first.pk}:root/s0"
    assert not models.Order.objects.filter(run=second).exists()
    assert list(models.CacheEntry.objects.values_list("hits", flat=True)) == [1, 1]


@pytest.mark.parametrize("cache", ["refresh", "off"])
def test_cache_refresh_and_off_run_everything(cache):
    first = launched(chain(1, cached=True))
    succeed(first, "root/s0")
    second = launched(chain(1, cached=True), cache=models.CacheUse(cache))
    succeed(second, "root/s0")
    assert task(second, "root/s0").cached_from == ""
    assert models.CacheEntry.objects.count() == (2 if cache == "refresh" else 1)


def test_stop_cancels_what_has_not_begun_and_orders_the_rest_to_end():
    run = launched()
    services.stop_run(run, by="ada")
    assert run.state == "CANCELING"
    assert list(models.Order.objects.filter(run=run, kind="stop").values_list("path", "force")) == [("root/s0", False)]
    with pytest.raises(NotStoppable):
        services.stop_run(run)
    services.stop_run(run, force=True)
    assert models.Order.objects.filter(run=run, kind="stop", force=True).count() == 1


def test_arguments_that_do_not_fit_write_nothing():
    with pytest.raises(ArgumentsRefused) as refused:
        services.launch_run(specification=stored(chain()), arguments={"start": "three", "stop": 1})
    assert set(refused.value.errors) == {"start", "stop"}
    assert not models.Run.objects.exists() and not models.NamespaceCounter.objects.exists()


def test_the_tick_sends_orders_again_whose_message_was_lost(sent, django_capture_on_commit_callbacks):
    run = launched()
    order = models.Order.objects.get(run=run)
    sent.clear()
    with django_capture_on_commit_callbacks(execute=True):
        observer.send_due_orders()
    assert sent == []
    models.Order.objects.update(due=now() - timedelta(seconds=10))
    with django_capture_on_commit_callbacks(execute=True):
        observer.send_due_orders()
    assert sent == [("runs.jobs.carry_out", [order.pk])]


def test_an_order_to_wake_is_carried_out_once_when_it_is_due(sent):
    run = launched()
    models.Order.objects.create(run=run, kind="wake", path="root/s0", due=now() - timedelta(seconds=1))
    observer.send_due_orders()
    observer.send_due_orders()
    assert sent.count(("facts", str(run.pk), [{"fact": "TimeCame", "path": "root/s0"}])) == 1
    driver.drive(str(run.pk), TimeCame("root/s0"))


def test_a_run_whose_launch_message_was_lost_is_found(sent):
    run = services.launch_run(specification=stored(chain()), arguments={})
    models.Run.objects.update(created_at=now() - timedelta(seconds=10))
    sent.clear()
    observer.look_at_late_runs()
    assert sent == [("facts", str(run.pk), [])]


def test_a_deleted_run_takes_its_rows_with_it_and_late_facts_do_nothing(sent, django_capture_on_commit_callbacks):
    run = launched()
    with django_capture_on_commit_callbacks(execute=True):
        services.delete_run(run)
    assert sent[-1][0] == "runs.jobs.remove_run" and [list(x) for x in sent[-1][3]] == [["root/s0", 1]]
    assert not models.Task.objects.exists()
    driver.drive(str(run.pk), AttemptFailed("root/s0", 1, now(), "gone"))


def test_run_numbers_count_without_gaps():
    assert [services.launch_run(specification=stored(chain()), arguments={}).number for _ in range(3)] == [1, 2, 3]


def test_hundreds_of_rows_go_in_at_once_and_each_order_has_its_id(sent, django_capture_on_commit_callbacks):
    """Whether an answer is taken for another's depends on when it comes: several times."""
    for _ in range(5):
        run = launched(json.dumps(layered(2, 100)))
        first = set(models.Order.objects.filter(run=run).values_list("pk", flat=True))
        with django_capture_on_commit_callbacks(execute=True):
            driver.drive(str(run.pk), *(AttemptSucceeded(f"root/t0-{n}", 1, now(), Values({"Output": 1})) for n in range(100)))
        orders = models.Order.objects.filter(run=run).exclude(pk__in=first)
        assert {order.path for order in orders} == {f"root/t1-{n}" for n in range(100)}
        assert next(job for job in reversed(sent) if job[0] == "runs.jobs.carry_out")[1] == [
            order.pk for order in orders.order_by("pk")
        ]
