"""What can be done with runs through `/apis/kfdash/v1`: pause, retry, again, tags, many at once; and the cache."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import UNKNOWN, Api, spec
from django.utils import timezone

from runs import driver, models
from runs.engine.model import AttemptFailed, AttemptSucceeded


@pytest.fixture
def own(api: Api) -> Api:
    """kfdash's own API."""
    return Api("/apis/kfdash/v1")


def launched(name: str = "x", cached: bool = False) -> models.Run:
    """A run whose step `say` is ordered."""
    document = spec("hello", n={"parameterType": "NUMBER_INTEGER", "defaultValue": 1, "isOptional": True})
    document["components"]["comp-say"]["inputDefinitions"] = {"parameters": {"n": {"parameterType": "NUMBER_INTEGER"}}}
    say = document["root"]["dag"]["tasks"]["say"]
    say["inputs"] = {"parameters": {"n": {"componentInputParameter": "n"}}}
    say["cachingOptions"] = {"enableCache": cached}
    _, answer = Api().post("/runs", {"display_name": name, "pipeline_spec": document})
    driver.drive(answer["run_id"])
    return models.Run.objects.get(pk=answer["run_id"])


def ended(run: models.Run, *, well: bool = True) -> models.Run:
    """The run after its step ended."""
    at = timezone.now()
    fact = AttemptSucceeded("root/say", 1, at) if well else AttemptFailed("root/say", 1, at, "It broke.")
    driver.drive(str(run.pk), fact)
    return run


def test_a_run_is_paused_and_resumed_and_neither_twice(own: Api) -> None:
    run = launched()
    status, answer = own.post(f"/runs/{run.pk}:pause")
    assert (status, answer["paused"], answer["state"], answer["number"]) == (200, True, "RUNNING", run.number)
    status, error = own.post(f"/runs/{run.pk}:pause")
    assert (status, error["code"]) == (409, 10) and error["details"][0]["message"] == f"Run #{run.number} is paused already."
    status, answer = own.post(f"/runs/{run.pk}:resume")
    assert status == 200 and "paused" not in answer
    assert own.post(f"/runs/{UNKNOWN}:pause")[0] == 404


def test_a_run_is_stopped_and_retried(own: Api) -> None:
    run = launched()
    assert own.post(f"/runs/{run.pk}:retry")[0] == 409
    assert own.post(f"/runs/{run.pk}:stop", {"force": True})[1]["stop"] == "force"
    assert own.post(f"/runs/{run.pk}:stop", {"force": "yes"})[0] == 400
    failed = ended(launched(), well=False)
    status, answer = own.post(f"/runs/{failed.pk}:retry")
    assert (status, answer["state"]) == (200, "RUNNING") and "finished_at" not in answer


def test_a_run_again_is_planned_and_launched(own: Api) -> None:
    run = ended(launched())
    status, plan = own.post(f"/runs/{run.pk}:plan", {"from_paths": ["root/say"]})
    assert (status, plan["counts"]) == (200, {"run": 1, "reuse": 0, "skip": 0})
    assert plan["steps"] == [{"path": "root/say", "kind": "container", "do": "run", "why": "Chosen to run again.", "sure": True}]
    _, plan = own.post(f"/runs/{run.pk}:plan")
    assert plan["steps"][0]["cached_from"] == {"run_id": str(run.pk), "path": "root/say"}
    assert models.Run.objects.count() == 1
    status, answer = own.post(f"/runs/{run.pk}:again", {"from_paths": ["root/say"], "parameters": {"n": 5}, "tags": {"a": "b"}})
    assert status == 200 and answer["again_from"] == {"run_id": str(run.pk), "number": run.number, "paths": ["root/say"]}
    assert (answer["parameters"], answer["tags"], answer["state"]) == ({"n": 5}, {"a": "b"}, "PENDING")
    assert own.get(f"/runs/{answer['run_id']}") == (200, answer)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"from_paths": ["root/none"]}, 409),
        ({"from_paths": "root/say"}, 400),
        ({"from_paths": ["x"] * 1001}, 400),
        ({"parameters": {"n": "five"}}, 400),
        ({"parameters": {"m": 5}}, 400),
        ({"cache": "never"}, 400),
        ({"pipeline_version_reference": {"pipeline_version_id": UNKNOWN}}, 400),
        ({"tags": {"a.b": "x"}}, 400),
        ({"display_name": "x" * 256}, 400),
        ({"what": 1}, 400),
    ],
)
def test_a_run_again_that_cannot_be_is_refused(own: Api, body: dict[str, Any], status: int) -> None:
    run = ended(launched())
    assert own.post(f"/runs/{run.pk}:again", body)[0] == status
    assert models.Run.objects.count() == 1


def test_a_run_is_launched_with_what_kfps_api_has_no_place_for(own: Api, settings: Any) -> None:
    settings.EXECUTOR = "kubernetes"
    _, version = Api().upload("/pipelines/upload", json.dumps(spec("hello")))
    template = {"spec": {"priorityClassName": "batch"}}
    reference = {"pipeline_id": version["pipeline_id"]}
    sent = {"display_name": "x", "pipeline_version_reference": reference, "tags": {"a": "b"}, "cache": "off"}
    status, answer = own.post("/runs", {**sent, "pod_template": template})
    assert (status, answer["tags"], answer["cache"], answer["pod_template"]) == (200, {"a": "b"}, "off", template)
    assert "pod_template" not in str(Api().get(f"/runs/{answer['run_id']}"))
    driver.drive(answer["run_id"])
    ended(models.Run.objects.get())
    assert own.post(f"/runs/{answer['run_id']}:again", {})[1]["pod_template"] == template
    assert "pod_template" not in own.post(f"/runs/{answer['run_id']}:again", {"pod_template": {}})[1]
    for wrong in ({"display_name": ""}, {"tags": {"a.b": "c"}}, {"cache": "x"}, {"pod_template": {"spec": {"hostPID": True}}}):
        status, error = own.post("/runs", {**sent, **wrong})
        assert status == 400, wrong
    assert "(spec.hostPID)" in error["details"][0]["message"]
    settings.RUN_POD_TEMPLATES = False
    assert own.post("/runs", {**sent, "pod_template": template})[0] == 400
    assert models.Run.objects.count() == 3


def test_a_run_that_goes_on_cannot_be_run_again(own: Api) -> None:
    run = launched()
    assert own.post(f"/runs/{run.pk}:plan", {})[0] == own.post(f"/runs/{run.pk}:again", {})[0] == 409


def test_tags_are_set_and_runs_are_found_by_them(own: Api, django_assert_num_queries: Any) -> None:
    first, second = launched("one"), launched("two")
    assert own.send("PATCH", f"/runs/{first.pk}", {"tags": {"1": "a", "team": "x y"}})[1]["tags"] == {"1": "a", "team": "x y"}
    assert own.send("PATCH", f"/runs/{second.pk}", {"tags": {"team": "z"}})[0] == 200
    assert own.send("PATCH", f"/runs/{second.pk}", {"tags": {"a.b": "z"}})[0] == 400

    def names(**query: Any) -> list[str]:
        status, answer = own.get("/runs", **query)
        assert status == 200, answer
        return [run["display_name"] for run in answer.get("runs", [])]

    assert names(tag="team") == ["one", "two"] and names(tag="team=x y") == names(tag="1=a") == ["one"]
    assert names(tag="team=") == names(tag="none") == []
    predicate = {"operation": "EQUALS", "key": "tags.team", "string_value": "z"}
    assert names(filter=json.dumps({"predicates": [predicate]})) == ["two"]
    assert names(sort_by="number desc") == ["two", "one"]
    with django_assert_num_queries(2):
        names()


@pytest.mark.parametrize("field", ["pipeline_id", "origin_id"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_a_list_sorted_by_what_some_runs_have_not_is_paged_to_its_end(own: Api, field: str, direction: str) -> None:
    made = [launched(str(number)) for number in range(5)]
    models.Run.objects.filter(pk__in=[run.pk for run in made[:2]]).update(pipeline_key=UNKNOWN, origin=made[4])
    seen, token = [], ""
    for _ in range(4):
        status, answer = own.get("/runs", sort_by=f"{field} {direction}", page_size=2, page_token=token)
        assert (status, answer["total_size"]) == (200, 5), answer
        seen += [run["display_name"] for run in answer["runs"]]
        if not (token := answer.get("next_page_token", "")):
            break
    assert sorted(seen) == list("01234")
    assert sorted(seen[3:] if direction == "asc" else seen[:2]) == ["0", "1"]


def test_many_runs_are_stopped_tagged_archived_and_deleted_at_once(own: Api) -> None:
    runs = [launched(), ended(launched())]
    ids = [str(run.pk) for run in runs]
    status, answer = own.post("/runs:bulk", {"run_ids": [*ids, UNKNOWN], "action": "stop"})
    assert status == 200 and answer["done"] == ids[:1] and set(answer["refused"]) == {ids[1], UNKNOWN}
    assert own.post("/runs:bulk", {"run_ids": ids, "action": "tag", "add": {"a": "b"}}) == (200, {"done": ids})
    assert own.post("/runs:bulk", {"run_ids": ids, "action": "tag", "remove": ["a"]}) == (200, {"done": ids})
    for action in ("archive", "restore", "delete"):
        assert own.post("/runs:bulk", {"run_ids": ids, "action": action}) == (200, {"done": ids})
    assert not models.Run.objects.exists()
    assert own.post("/runs:bulk", {"run_ids": ids, "action": "paint"})[0] == 400
    assert own.post("/runs:bulk", {"run_ids": ["x"], "action": "stop"})[0] == 400
    assert own.post("/runs:bulk", {"run_ids": [UNKNOWN] * 1001, "action": "stop"})[0] == 400


def test_cache_entries_are_worth_something_and_are_taken_out(own: Api) -> None:
    run = ended(launched(cached=True))
    hit = launched(cached=True)
    assert hit.state == "SUCCEEDED"
    models.CacheEntry.objects.update(seconds=2)
    (entry,) = own.get("/cache")[1]["entries"]
    assert (entry["run_number"], entry["hits"], entry["saved"]) == (run.number, 1, 2.0)
    assert own.get("/cache:summary") == (200, {"entries": 1, "hits": 1, "saved": 2.0})
    (use,) = own.get(f"/runs/{run.pk}/uses", path="root/say")[1]["uses"]
    assert (use["run_id"], use["number"]) == (str(hit.pk), hit.number)
    assert own.send("DELETE", f"/cache/{entry['entry_id']}") == (200, {})
    assert own.send("DELETE", f"/cache/{entry['entry_id']}")[0] == own.send("DELETE", "/cache/x")[0] == 404
    ended(launched(cached=True))
    assert own.post("/cache:evict", {"pipeline_name": "other"}) == (200, {})
    assert own.post("/cache:evict", {"unused_since": "2020-01-01T00:00:00Z"}) == (200, {})
    assert own.post("/cache:evict", {"entry_ids": [str(models.CacheEntry.objects.get().pk)]}) == (200, {"evicted": 1})
    assert own.post("/cache:evict", {})[0] == own.post("/cache:evict", {"pipeline_name": "a", "entry_ids": []})[0] == 400


def test_a_miss_is_explained(own: Api) -> None:
    first = ended(launched(cached=True))
    document = models.Run.objects.get(pk=first.pk)
    _, answer = own.post(f"/runs/{document.pk}:again", {"parameters": {"n": 2}})
    driver.drive(answer["run_id"])
    status, miss = own.get(f"/runs/{answer['run_id']}/miss", path="root/say")
    assert status == 200 and miss["nearest"] == {"run_id": str(first.pk), "number": first.number, "path": "root/say"}
    assert miss["differences"] == [{"what": "input", "name": "n", "before": 1, "after": 2, "sentence": "`n` 1 → 2"}]
    assert own.get(f"/runs/{first.pk}/miss")[0] == 400 and own.get(f"/runs/{first.pk}/miss", path="root/none")[0] == 404
