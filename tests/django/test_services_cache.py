"""The cache, understood: entries and what they are worth, eviction, what vanished from the store, and misses explained."""

from __future__ import annotations

import json
import pathlib
import shutil
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from runs import dispatch, models, services, vanished
from runs.engine.model import CacheUse
from tests.django.documents import chain
from tests.django.driving import artifact, driven, fail, launched, succeed, task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]


def write(run: models.Run, name: str, data: bytes = b"bytes") -> pathlib.Path:
    """A file where the run's artifacts are."""
    path = pathlib.Path(settings.ARTIFACTS_DIR) / run.pipeline_root.removeprefix("minio://") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def finished(**options) -> models.Run:
    """A chain of two that has succeeded, each step with a file; kept in the cache."""
    run = launched(chain(2, cached=True, artifacts=True), **options)
    for i in (0, 1):
        write(run, f"s{i}/data")
        succeed(run, f"root/s{i}", artifacts={"data": [artifact(f"{run.pipeline_root}/s{i}/data")]}, Output=i)
    assert run.state == "SUCCEEDED"
    return run


# --- entries ----------------------------------------------------------------------------------------------------------


def test_entries_say_what_they_saved_and_how_large_they_are(django_assert_num_queries) -> None:
    first = finished()
    vanished.look_for_artifacts()
    models.CacheEntry.objects.update(seconds=1.5)
    finished_by_cache = launched(chain(2, cached=True, artifacts=True))
    assert finished_by_cache.state == "SUCCEEDED"
    with django_assert_num_queries(2):
        entries = list(services.cache_entries())
        sizes = services.entry_sizes(entries)
    assert [(entry.run, entry.path, entry.hits, entry.saved, sizes[entry.pk]) for entry in entries] == [
        (first, "root/s1", 1, 1.5, 5),
        (first, "root/s0", 1, 1.5, 5),
    ]
    assert services.cache_summary() == {"entries": 2, "hits": 2, "saved": 3.0}
    assert [one.run for one in services.cached_tasks_of(first, "root/s0")] == [finished_by_cache]


def test_entries_are_taken_out_one_by_one_by_pipeline_and_by_age() -> None:
    finished()
    kept, dropped = services.cache_entries()
    assert services.evict_entries([dropped.pk]) == 1
    assert services.evict_before(timezone.now() - timedelta(days=1)) == 0
    models.CacheEntry.objects.update(created_at=timezone.now() - timedelta(days=3), last_hit_at=timezone.now())
    assert services.evict_before(timezone.now() - timedelta(days=1)) == 0, "what was used lately stays"
    models.CacheEntry.objects.update(last_hit_at=None)
    assert services.evict_before(timezone.now() - timedelta(days=1)) == 1 and not models.CacheEntry.objects.filter(pk=kept.pk)
    finished(cache=CacheUse.REFRESH)
    assert services.evict_pipeline("other") == 0 and services.evict_pipeline("chain") == 2


# --- gone from the store ----------------------------------------------------------------------------------------------


def test_deleting_a_run_takes_its_entries_and_its_artifacts_with_it() -> None:
    first = finished()
    second = launched(chain(2, cached=True, artifacts=True))
    assert services.deletion_preview(first)["used_by_runs"] == 1
    services.delete_run(first)
    assert not models.CacheEntry.objects.exists() and not models.Artifact.objects.filter(gone_at=None).exists()
    plan = services.plan_again(second, from_paths=["root/s1"]).to_json()
    assert [step["do"] for step in plan["steps"]] == ["run", "run"]


def test_the_job_measures_artifacts_and_takes_entries_out_whose_files_have_vanished() -> None:
    run = finished()
    assert vanished.look_for_artifacts() == 0
    assert set(models.Artifact.objects.values_list("size", flat=True)) == {5}
    write(run, "s0/data").unlink()
    assert vanished.look_for_artifacts() == 0, "it was looked for a moment ago"
    models.Artifact.objects.update(looked_at=timezone.now() - timedelta(hours=2))
    assert vanished.look_for_artifacts() == 1
    assert [entry.path for entry in services.cache_entries()] == ["root/s1"]
    again = launched(chain(2, cached=True, artifacts=True))
    assert task(again, "root/s0").attempt == 1 and not task(again, "root/s0").cached_from


def test_looking_again_goes_on_where_it_stopped_and_writes_nothing_of_what_is_there() -> None:
    run = finished()
    models.Artifact.objects.update(looked_at=timezone.now() - timedelta(hours=2), size=5)
    write(run, "s1/data").unlink()
    assert vanished.look_for_artifacts(most=1) == 0
    assert vanished.look_for_artifacts(most=1) == 1
    assert not models.Artifact.objects.filter(looked_at__gt=timezone.now() - timedelta(hours=1)).exists()
    write(run, "s0/data").unlink()
    assert vanished.look_for_artifacts(most=5) == 0, "that round is at its end, and the next one begins an hour later"
    assert vanished.look_for_artifacts(most=5) == 0
    models.Sweep.objects.update(began_at=timezone.now() - timedelta(hours=2))
    assert vanished.look_for_artifacts(most=5) == 1


@pytest.mark.parametrize(("most", "longest"), [(2, 10.0), (5, -1.0)], ids=["as many as can be", "no time left"])
def test_a_look_without_room_for_known_artifacts_begins_no_round_over_them(
    most: int, longest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = finished()
    models.Artifact.objects.update(looked_at=timezone.now() - timedelta(hours=2), size=5)
    write(first, "s1/data").unlink()
    finished(cache=CacheUse.REFRESH)
    with monkeypatch.context() as patched:
        patched.setattr(vanished, "_LONGEST", longest)
        assert vanished.look_for_artifacts(most=most) == 0
    assert vanished.look_for_artifacts() == 1


def test_what_never_had_a_file_is_not_gone() -> None:
    run = finished()
    write(run, "s0/data").unlink()
    vanished.look_for_artifacts()
    models.Artifact.objects.update(looked_at=timezone.now() - timedelta(hours=2))
    assert vanished.look_for_artifacts() == 0 and models.CacheEntry.objects.count() == 2


def test_nothing_counts_as_gone_while_the_whole_store_is_away(tmp_path, settings) -> None:
    finished()
    vanished.look_for_artifacts()
    models.Artifact.objects.update(looked_at=timezone.now() - timedelta(hours=2))
    settings.ARTIFACTS_DIR = tmp_path / "not mounted"
    assert vanished.look_for_artifacts() == 0 and not models.Artifact.objects.exclude(gone_at=None).exists()


def test_looking_for_many_artifacts_takes_few_statements(django_assert_max_num_queries) -> None:
    run = finished()
    models.Artifact.objects.bulk_create(
        models.Artifact(run=run, path="root/s0", name="data", uri=f"{run.pipeline_root}/x{i}") for i in range(150)
    )
    with django_assert_max_num_queries(6):
        vanished.look_for_artifacts()


def test_a_step_that_misses_its_input_says_so_and_takes_the_entry_out(sent) -> None:
    first = finished()
    vanished.look_for_artifacts()
    document = json.loads(chain(2, cached=True, artifacts=True))
    document["deploymentSpec"]["executors"]["exec-s1"]["container"]["image"] = "alpine:2"
    shutil.rmtree(write(first, "s0/data").parent)
    run = launched(json.dumps(document))
    assert task(run, "root/s0").cached_from
    order = models.Order.objects.get(run=run)
    sent.clear()
    dispatch.carry_out([order.pk])
    ((_, run_id, (fact,)),) = sent
    assert run_id == str(run.pk) and (fact["cause"], fact["retryable"]) == ("input-gone", False)
    assert fact["reason"].startswith("Its input 'data' is gone: minio://")
    assert f"was made by s0 of run #{first.number} and is in the store no more. Run again from" in fact["reason"]
    assert [entry.path for entry in services.cache_entries()] == ["root/s1"]


# --- misses -----------------------------------------------------------------------------------------------------------


def test_a_miss_names_the_nearest_earlier_task_and_what_differed(django_assert_max_num_queries) -> None:
    far = finished(arguments={"start": 9})
    document = json.loads(chain(2, cached=True, artifacts=True))
    document["deploymentSpec"]["executors"]["exec-s0"]["container"]["image"] = "alpine:2"
    farther = launched(json.dumps(document), arguments={"start": 7})
    succeed(farther, "root/s0")
    run = launched(chain(2, cached=True, artifacts=True), arguments={"start": 5})
    with django_assert_max_num_queries(4):
        explained = services.explain_miss(models.Run.objects.select_related("specification").get(pk=run.pk), "root/s0")
    assert explained.why == f"The nearest is in run #{far.number}, and differs: `x` 9 → 5."
    assert explained.to_json() == {
        "why": explained.why,
        "nearest": {"run_id": str(far.pk), "number": far.number, "path": "root/s0"},
        "differences": [{"what": "input", "name": "x", "before": 9, "after": 5, "sentence": "`x` 9 → 5"}],
    }


def test_an_artifact_and_an_image_that_differ_are_named() -> None:
    finished()
    document = json.loads(chain(2, cached=True, artifacts=True))
    document["deploymentSpec"]["executors"]["exec-s1"]["container"] = {"image": "alpine:2", "command": ["false"]}
    run = launched(json.dumps(document), cache=CacheUse.USE, arguments={"start": 4})
    succeed(run, "root/s0", artifacts={"data": [artifact("minio://kfdash/other")]}, Output=3)
    told = [one.sentence for one in services.explain_miss(run, "root/s1").differences]
    assert told == ["`x` 0 → 3", "input artifact `data` is another one", "image alpine → alpine:2", "code or command changed"]


def test_a_miss_without_a_difference_says_that_the_outputs_were_not_kept() -> None:
    first = finished()
    services.evict_pipeline("chain")
    run = launched(chain(2, cached=True, artifacts=True))
    explained = services.explain_miss(run, "root/s0")
    assert explained.why.startswith(f"Run #{first.number} had the same step with the same inputs") and not explained.differences


def test_what_never_asked_the_cache_says_why() -> None:
    first = finished()
    with pytest.raises(models.Task.DoesNotExist):
        services.explain_miss(first, "root/none")
    assert services.explain_miss(first, "root").why == "Only steps with a container are kept in the cache."
    assert services.explain_miss(first, "root/s0").why == "No earlier run of this pipeline has a step here that succeeded."
    assert "without the cache" in services.explain_miss(launched(chain(2, cached=True), cache=CacheUse.OFF), "root/s0").why
    assert "refresh" in services.explain_miss(launched(chain(2, cached=True), cache=CacheUse.REFRESH), "root/s0").why
    assert "not to be cached" in services.explain_miss(launched(chain(2)), "root/s0").why
    assert "turn has not come" in services.explain_miss(launched(chain(2, cached=True)), "root/s1").why
    hit = launched(chain(2, cached=True, artifacts=True))
    assert "outputs of an earlier run" in services.explain_miss(hit, "root/s0").why
    again = driven(services.run_again(first, from_paths=["root/s0"]))
    assert services.explain_miss(again, "root/s0").why == "The run was launched to run it again. Chosen to run again."
    fail(again, "root/s0")
