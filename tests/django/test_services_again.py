"""Running again from chosen steps: the plan over rows, the run that does as it says, and arguments of another version."""

from __future__ import annotations

import json

import pytest
from django.utils import timezone

from pipelines import services as pipelines
from pipelines.spec.parse import parse_text
from runs import driver, events, models, services
from runs.engine.model import AttemptSucceeded, CacheUse, Values
from runs.services import ArgumentsRefused, NotAgain
from tests.django.documents import chain, stored
from tests.django.driving import artifact, driven, fail, launched, states, succeed, task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]


def finished(length: int = 4, **options) -> models.Run:
    """A chain that has succeeded; each step gives its number, and an artifact where `artifacts` says so."""
    run = launched(chain(length, **options), name="nightly", tags={"team": "a"})
    for i in range(length):
        made = {"data": [artifact(f"{run.pipeline_root}/s{i}/data")]} if options.get("artifacts") else {}
        succeed(run, f"root/s{i}", artifacts=made, Output=i)
    assert run.state == "SUCCEEDED"
    return run


def does(plan: services.Plan) -> dict[str, str]:
    return {step["path"].removeprefix("root/"): step["do"] for step in plan.to_json()["steps"]}


def test_the_plan_says_what_runs_and_what_is_reused_and_the_run_does_so() -> None:
    first = finished()
    plan = services.plan_again(first, from_paths=["root/s2"])
    assert does(plan) == {"s0": "reuse", "s1": "reuse", "s2": "run", "s3": "run"}
    json.dumps(plan.to_json())
    run = driven(services.run_again(first, from_paths=["root/s2"], by="ada"))
    assert states(run) == {"s0": "SUCCEEDED", "s1": "SUCCEEDED", "s2": "PENDING", "s3": "PENDING"}
    assert task(run, "root/s1").cached_from == f"{first.pk}:root/s1"
    assert task(run, "root/s2").attempt == 1 and task(run, "root/s2").inputs["parameters"] == {"x": 1}
    succeed(run, "root/s2", Output=9)
    assert task(run, "root/s3").inputs["parameters"] == {"x": 9}
    succeed(run, "root/s3")
    assert run.state == "SUCCEEDED" and run.origin == first and run.again_from["number"] == first.number
    assert list(first.runs_again.all()) == [run]


def test_a_plan_writes_nothing(django_assert_num_queries) -> None:
    first = finished(6, artifacts=True)
    before = models.Run.objects.count(), models.Task.objects.count(), models.RunEvent.objects.count()
    first = models.Run.objects.get(pk=first.pk)
    with django_assert_num_queries(4):  # specification, chosen paths, tasks, artifacts that are gone
        services.plan_again(first, from_paths=["root/s3"])
    assert (models.Run.objects.count(), models.Task.objects.count(), models.RunEvent.objects.count()) == before


def test_the_first_drive_of_a_run_again_takes_few_statements(django_assert_max_num_queries) -> None:
    first = finished(30, artifacts=True)
    run = services.run_again(first, from_paths=["root/s29"])
    with django_assert_max_num_queries(22):
        driver.drive(str(run.pk))
    assert models.Task.objects.filter(run=run, state="SUCCEEDED").count() == 29


def looped(count: int) -> str:
    """A loop of two steps over so many numbers; JSON text."""
    document = json.loads(chain(2))
    root = document["root"]
    number = {"parameterType": "NUMBER_INTEGER"}
    document["components"]["comp-body"] = {"dag": root["dag"], "inputDefinitions": {"parameters": {"start": number}}}
    each = {
        "taskInfo": {"name": "each"},
        "componentRef": {"name": "comp-body"},
        "parameterIterator": {"items": {"raw": json.dumps(list(range(count)))}, "itemInput": "start"},
    }
    document["root"] = {"dag": {"tasks": {"each": each}}}
    return json.dumps(document)


def test_a_long_loop_is_taken_over_in_few_statements(django_assert_max_num_queries) -> None:
    first = launched(looped(60))
    for step in ("s0", "s1"):
        paths = [f"root/each[{i}]/{step}" for i in range(60)]
        driver.drive(str(first.pk), *[AttemptSucceeded(path, 1, timezone.now(), Values({"Output": 1})) for path in paths])
    first.refresh_from_db()
    assert first.state == "SUCCEEDED"
    with django_assert_max_num_queries(5):
        plan = services.plan_again(first, from_paths=["root/each[7]/s1"])
    assert plan.what.counts == {"run": 1, "reuse": 119, "skip": 0}
    run = services.run_again(first, from_paths=["root/each[7]/s1"])
    with django_assert_max_num_queries(24):
        driver.drive(str(run.pk))
    assert list(models.Attempt.objects.filter(run=run).values_list("path", flat=True)) == ["root/each[7]/s1"]
    everywhere = services.plan_again(first, from_paths=["root/each/s1"])
    assert everywhere.what.counts == {"run": 60, "reuse": 60, "skip": 0}
    told = models.RunEvent.objects.get(run=run, kind="task.again")
    assert (told.path, events.told(told)) == ("root/each[7]/s1", "Chosen to run again.")
    assert task(run, "root/each[3]").cached_from and not task(run, "root/each[7]").cached_from


def test_reused_artifacts_keep_their_ids_and_their_use_is_kept() -> None:
    first = finished(3, artifacts=True)
    made = task(first, "root/s1").outputs["artifacts"]["data"][0]["id"]
    run = driven(services.run_again(first, from_paths=["root/s2"]))
    assert task(run, "root/s1").outputs["artifacts"]["data"][0]["id"] == made
    assert models.ArtifactUse.objects.filter(run=run, path="root/s2", artifact=made).exists()
    assert models.Artifact.objects.count() == 3


def test_a_run_again_is_like_its_origin_unless_it_is_said_otherwise() -> None:
    first = finished(1)
    run = services.run_again(first, from_paths=["root/s0"], cache=CacheUse.OFF)
    assert (run.name, run.tags, run.cache, run.experiment) == ("nightly", {"team": "a"}, "off", first.experiment)
    other = services.run_again(first, from_paths=[], name="other", tags={})
    assert (other.name, other.tags, other.cache) == ("other", {}, "use")


def test_other_arguments_run_again_what_takes_them() -> None:
    first = finished(2)
    plan = services.plan_again(first, from_paths=[], arguments={"start": 5})
    assert does(plan) == {"s0": "run", "s1": "run"}
    assert plan.to_json()["steps"][0]["why"] == "Its input 'x' differs: 1 → 5."
    run = driven(services.run_again(first, from_paths=[], arguments={"start": 5}))
    assert task(run, "root/s0").inputs["parameters"] == {"x": 5}
    with pytest.raises(ArgumentsRefused):
        services.plan_again(first, from_paths=[], arguments={"start": "five"})


def test_a_macro_in_an_argument_does_not_make_a_step_run_again() -> None:
    document = json.loads(chain(1))
    text = {"parameterType": "STRING"}
    document["root"]["inputDefinitions"]["parameters"]["start"] = text
    document["components"]["comp-s0"]["inputDefinitions"]["parameters"]["x"] = text
    first = launched(json.dumps(document), arguments={"start": "run [[RunUUID]]"})
    succeed(first, "root/s0")
    assert does(services.plan_again(first, from_paths=[])) == {"s0": "reuse"}
    run = driven(services.run_again(first, from_paths=[]))
    assert run.state == "SUCCEEDED" and task(run, "root/s0").inputs["parameters"]["x"] == f"run {run.pk}"


def test_a_step_that_works_in_the_workspace_is_not_taken_over() -> None:
    document = json.loads(chain(2))
    document["deploymentSpec"]["executors"]["exec-s0"]["container"]["command"] = ["touch", "{{$.workspace_path}}/x"]
    platform = {"platforms": {"kubernetes": {"pipelineConfig": {"workspace": {"size": "1Gi"}}}}}
    first = launched(json.dumps(document) + "\n---\n" + json.dumps(platform))
    succeed(first, "root/s0")
    succeed(first, "root/s1")
    plan = services.plan_again(first, from_paths=["root/s1"]).to_json()
    assert [step["do"] for step in plan["steps"]] == ["run", "run"] and "workspace" in plan["steps"][0]["why"]
    run = driven(services.run_again(first, from_paths=["root/s1"]))
    assert task(run, "root/s0").attempt == 1


def test_a_failed_run_is_gone_on_with_from_the_step_that_failed() -> None:
    first = launched(chain(3))
    succeed(first, "root/s0", Output=4)
    fail(first, "root/s1")
    assert does(services.plan_again(first, from_paths=["root/s1"])) == {"s0": "reuse", "s1": "run", "s2": "run"}
    run = driven(services.run_again(first, from_paths=["root/s1"]))
    assert task(run, "root/s1").inputs["parameters"] == {"x": 4}


def test_what_is_gone_from_the_store_runs_again() -> None:
    first = finished(3, artifacts=True)
    lost = task(first, "root/s1").outputs["artifacts"]["data"][0]["id"]
    models.Artifact.objects.filter(pk=lost).update(gone_at=timezone.now())
    assert does(services.plan_again(first, from_paths=["root/s2"])) == {"s0": "reuse", "s1": "run", "s2": "run"}
    run = driven(services.run_again(first, from_paths=["root/s2"]))
    assert states(run) == {"s0": "SUCCEEDED", "s1": "PENDING", "s2": "PENDING"}


def test_a_run_whose_origin_was_deleted_before_it_began_runs_everything() -> None:
    first = finished(2)
    run = services.run_again(first, from_paths=["root/s1"])
    services.delete_run(first)
    run.refresh_from_db()
    assert driven(run).origin is None and states(run) == {"s0": "PENDING", "s1": "PENDING"} and task(run, "root/s0").attempt == 1


def test_a_run_that_goes_on_and_a_path_that_is_not_there_are_refused() -> None:
    with pytest.raises(NotAgain, match="goes on"):
        services.plan_again(launched(), from_paths=["root/s0"])
    with pytest.raises(NotAgain, match="no step at root/s9"):
        services.run_again(finished(1), from_paths=["root/s9"])
    with pytest.raises(NotAgain, match="no step at root/s0/x"):
        services.run_again(finished(1), from_paths=["root/s0/x"])


# --- another version --------------------------------------------------------------------------------------------------


def version_of(document: dict):
    _, version = pipelines.upload_pipeline(data=json.dumps(document).encode(), file_name="p.yaml", name=f"p{timezone.now()}")
    return version


def test_another_version_reuses_the_steps_that_it_did_not_change() -> None:
    first = finished(3)
    document = json.loads(chain(3))
    document["deploymentSpec"]["executors"]["exec-s1"]["container"]["image"] = "alpine:2"
    version = version_of(document)
    plan = services.plan_again(first, from_paths=[], version=version)
    assert does(plan) == {"s0": "reuse", "s1": "run", "s2": "run"}
    assert plan.to_json()["steps"][1]["why"] == "Its image changed: alpine → alpine:2."
    run = driven(services.run_again(first, from_paths=[], version=version))
    assert run.version == version and states(run)["s0"] == "SUCCEEDED" and task(run, "root/s1").attempt == 1


def test_a_step_that_another_version_does_not_have_cannot_be_chosen() -> None:
    first = finished(3)
    version = version_of(json.loads(chain(2)))
    assert services.plan_again(first, from_paths=[], version=version).to_json()["gone"] == ["root/s2"]
    with pytest.raises(NotAgain, match="other version has no step at root/s2"):
        services.plan_again(first, from_paths=["root/s2"], version=version)


def test_arguments_are_carried_over_by_name_where_they_fit() -> None:
    def spec(**inputs: str):
        document = json.loads(chain(1))
        document["root"]["inputDefinitions"]["parameters"] |= {
            name: {"parameterType": type, "isOptional": True} for name, type in inputs.items()
        }
        return parse_text(json.dumps(document)).spec

    old, new = spec(a="STRING", b="NUMBER_INTEGER", c="STRING"), spec(a="STRING", b="STRING", d="LIST")
    kept, dropped, added = services.carry_arguments(old, new, {"a": "x", "b": 3, "c": "y", "start": 2})
    assert kept == {"a": "x", "start": 2} and dropped == ("b", "c") and added == ("d",)


def test_a_run_again_through_a_cache_hit_counts_it() -> None:
    earlier = finished(2, cached=True)
    first = launched(chain(2, cached=True), arguments={"start": 3})
    fail(first, "root/s0")
    models.CacheEntry.objects.update(hits=0)
    plan = services.plan_again(first, from_paths=[], arguments={"start": 1})
    assert does(plan) == {"s0": "reuse", "s1": "reuse"} and set(models.CacheEntry.objects.values_list("hits", flat=True)) == {0}
    run = driven(services.run_again(first, from_paths=[], arguments={"start": 1}))
    assert run.state == "SUCCEEDED" and task(run, "root/s0").cached_from == f"{earlier.pk}:root/s0"
    assert set(models.CacheEntry.objects.values_list("hits", flat=True)) == {1}
    assert stored(chain(2, cached=True)) == run.specification
