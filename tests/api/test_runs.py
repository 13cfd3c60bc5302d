"""KFP's API about runs and experiments, exact on the wire."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import PLATFORM, UNKNOWN, Api, package, spec
from django.utils import timezone

from pipelines.models import Specification
from runs import driver, models, services
from runs.engine.model import AttemptFailed, AttemptSucceeded, State

EPOCH = "1970-01-01T00:00:00Z"


@pytest.fixture
def version(api: Api) -> dict[str, Any]:
    """The reference to an uploaded version."""
    _, pipeline = api.upload("/pipelines/upload", package(), name="hello")
    _, answer = api.get(f"/pipelines/{pipeline['pipeline_id']}/versions")
    return {"pipeline_id": pipeline["pipeline_id"], "pipeline_version_id": answer["pipeline_versions"][0]["pipeline_version_id"]}


def _experiment(api: Api, name: str = "e") -> str:
    status, answer = api.post("/experiments", {"display_name": name})
    assert status == 200
    return answer["experiment_id"]


def _set_state(run_id: str, state: State, **fields: Any) -> None:
    """What the driver would have written, of a run that was launched a minute ago."""
    fields.setdefault("created_at", timezone.now() - timedelta(minutes=1))
    row = models.Run.objects.get(pk=run_id)
    history = [*row.state_history, {"update_time": timezone.now().isoformat(), "state": state.value}]
    models.Run.objects.filter(pk=run_id).update(state=state.value, state_history=history, **fields)


# --- create -----------------------------------------------------------------------------------------------------------


def test_a_run_of_a_version_has_exactly_these_fields_and_get_gives_the_same(api: Api, version: dict[str, Any]) -> None:
    experiment = _experiment(api)
    body = {
        "display_name": "hello world",
        "description": "this is hello world",
        "experiment_id": experiment,
        "pipeline_version_reference": version,
        "runtime_config": {},
        "pipeline_spec": None,
    }
    status, run = api.post("/runs", body, experiment_id="")
    assert status == 200
    created = run["created_at"]
    assert run == {
        "run_id": run["run_id"],
        "display_name": "hello world",
        "description": "this is hello world",
        "experiment_id": experiment,
        "storage_state": "AVAILABLE",
        "pipeline_version_reference": version,
        "service_account": "pipeline-runner",
        "created_at": created,
        "scheduled_at": created,
        "finished_at": EPOCH,
        "state": "PENDING",
        "state_history": [{"update_time": created, "state": "PENDING"}],
    }
    assert api.get(f"/runs/{run['run_id']}") == (200, run)
    assert api.get("/runs") == (200, {"runs": [run], "total_size": 1})


def test_an_inline_run_has_its_specification_and_parameters_and_no_reference(api: Api) -> None:
    pipeline = spec(text={"parameterType": "STRING"}, number={"parameterType": "NUMBER_INTEGER", "defaultValue": 3.0})
    parameters = {"text": "run [[RunUUID]]", "number": 5}
    body = {
        "displayName": "x",
        "pipelineSpec": pipeline,
        "runtimeConfig": {"parameters": parameters, "pipelineRoot": "minio://b/r"},
    }
    status, run = api.post("/runs", body)
    assert status == 200, run
    assert run["pipeline_spec"] == pipeline
    assert run["runtime_config"] == {"parameters": parameters, "pipeline_root": "minio://b/r"}
    assert "pipeline_version_reference" not in run
    assert api.get(f"/runs/{run['run_id']}") == (200, run)
    row = models.Run.objects.get(pk=run["run_id"])
    assert row.arguments["text"] == f"run {row.pk}"
    _, experiment = api.get(f"/experiments/{run['experiment_id']}")
    assert experiment["display_name"] == "Default"
    assert experiment["last_run_created_at"] == run["created_at"]


def test_a_platform_document_comes_in_and_goes_out_wrapped(api: Api) -> None:
    both = {"pipeline_spec": spec(), "platform_spec": PLATFORM}
    status, run = api.post("/runs", {"display_name": "x", "pipeline_spec": both})
    assert status == 200, run
    assert run["pipeline_spec"] == both
    assert Specification.objects.count() == 1


def test_a_reference_without_a_version_is_the_latest_one(api: Api, version: dict[str, Any]) -> None:
    _, latest = api.upload("/pipelines/upload_version", package("other"), pipelineid=version["pipeline_id"], name="v2")
    status, run = api.post("/runs", {"display_name": "x", "pipeline_version_reference": {"pipeline_id": version["pipeline_id"]}})
    assert status == 200
    assert run["pipeline_version_reference"]["pipeline_version_id"] == latest["pipeline_version_id"]


def test_a_run_outlives_its_version(api: Api, version: dict[str, Any]) -> None:
    _, run = api.post("/runs", {"display_name": "x", "pipeline_version_reference": version})
    assert api.send("DELETE", f"/pipelines/{version['pipeline_id']}", cascade="true")[0] == 200
    assert api.get(f"/runs/{run['run_id']}") == (200, run)


def test_a_client_may_choose_the_id(api: Api, version: dict[str, Any]) -> None:
    body = {"display_name": "x", "pipeline_version_reference": version, "run_id": str(uuid.uuid4())}
    assert api.post("/runs", body)[1]["run_id"] == body["run_id"]
    assert api.post("/runs", body)[0] == 409
    assert api.post("/runs", body | {"run_id": "mine"})[0] == 400


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"display_name": ""}, 400),
        ({"display_name": None}, 400),
        ({"display_name": "x" * 256}, 400),
        ({"pipeline_version_reference": None}, 400),
        ({"pipeline_version_reference": {"pipeline_id": UNKNOWN}}, 400),
        ({"pipeline_version_reference": {"pipeline_id": UNKNOWN, "pipeline_version_id": UNKNOWN}}, 400),
        ({"pipeline_version_reference": {"pipeline_version_id": "x"}}, 400),
        ({"pipeline_spec": {"root": {}}}, 400),
        ({"pipeline_version_reference": None, "pipeline_spec": {"root": {}}}, 400),
        ({"pipeline_version_reference": None, "pipeline_spec": {"pipeline_spec": [], "platform_spec": 3}}, 400),
        ({"pipeline_version_reference": None, "pipeline_spec": {"pipeline_spec": {}, "platform_spec": "x"}}, 400),
        ({"experiment_id": UNKNOWN}, 404),
        ({"experiment_id": "none"}, 404),
        ({"runtime_config": {"parameters": {"unknown": 1}}}, 400),
        ({"runtime_config": {"parameters": []}}, 400),
        ({"unknown_field": 1}, 400),
        ({"runtime_config": {"unknown_field": 1}}, 400),
        ({"service_account": 7}, 400),
        ({"plugins_output": {"a": {}}}, 409),
        ({"recurring_run_id": UNKNOWN}, 400),
        ({"state": "SUCCEEDED", "created_at": "2020-01-01T00:00:00Z", "pipeline_version_id": "x"}, 400),
        ({"state": 3, "created_at": "2020-01-01T00:00:00Z", "storage_state": "AVAILABLE"}, 200),
        ({"state": "NO_STATE"}, 400),
        ({"created_at": "yesterday"}, 400),
    ],
)
def test_what_a_launch_is_answered(api: Api, version: dict[str, Any], change: dict[str, Any], status: int) -> None:
    found, answer = api.post("/runs", {"display_name": "x", "pipeline_version_reference": version} | change)
    assert found == status, answer
    assert (found == 200) == ("run_id" in answer)
    assert models.Run.objects.count() == (1 if status == 200 else 0)


@pytest.mark.parametrize("parameters", [{}, {"n": None}, {"n": "3"}, {"n": 1, "extra": 1}])
def test_arguments_that_do_not_fit_are_400_and_leave_nothing(api: Api, parameters: dict[str, Any]) -> None:
    body = {"display_name": "x", "pipeline_spec": spec(n={"parameterType": "NUMBER_INTEGER"})}
    status, answer = api.post("/runs", body | {"runtime_config": {"parameters": parameters}})
    assert (status, answer["code"]) == (400, 3)
    assert not models.Run.objects.exists() and not Specification.objects.exists()


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(api: Api, version: dict[str, Any]) -> dict[str, Any]:
    """A run that was just launched."""
    return api.post("/runs", {"display_name": "x", "pipeline_version_reference": version})[1]


def _tasks(run_id: str) -> None:
    root = {
        "run_id": run_id,
        "inputs": {"parameters": {}, "artifacts": {}},
        "created_at": timezone.now(),
        "started_at": timezone.now(),
    }
    artifact = {"id": 7, "name": "m", "uri": "u", "type": "t", "schema_version": "", "metadata": {}, "custom_path": ""}
    models.Task.objects.create(**root, path="root", parent="", kind="dag", state="RUNNING")
    models.Task.objects.create(
        **root,
        path="root/say",
        parent="root",
        kind="container",
        state="FAILED",
        attempt=2,
        reason="It failed.",
        outputs={"parameters": {"p": 1}, "artifacts": {"model": [artifact]}},
        finished_at=timezone.now(),
    )


def test_details_are_absent_while_pending_and_then_have_every_task(api: Api, run: dict[str, Any]) -> None:
    _tasks(run["run_id"])
    path = f"/runs/{run['run_id']}"
    assert api.get(path) == (200, run), "a pending run shows no tasks"
    _set_state(run["run_id"], State.RUNNING)
    root, say = api.get(path)[1]["run_details"]["task_details"]
    assert root["display_name"] == "root" and root["child_tasks"] == [{"task_id": say["task_id"]}]
    assert root["end_time"] == EPOCH and "pod_name" not in root
    assert say == {
        "run_id": run["run_id"],
        "task_id": say["task_id"],
        "display_name": "say",
        "create_time": say["create_time"],
        "start_time": say["start_time"],
        "end_time": say["end_time"],
        "state": "FAILED",
        "parent_task_id": root["task_id"],
        "outputs": {"model": {"artifact_ids": ["7"]}},
        "error": {"code": 2, "message": "It failed."},
        "pod_name": say["pod_name"],
    }
    (listed,) = api.get("/runs")[1]["runs"]
    assert len(listed["run_details"]["task_details"]) == 2


def test_a_run_is_pending_for_a_moment_however_fast_it_is(api: Api, run: dict[str, Any]) -> None:
    _tasks(run["run_id"])
    _set_state(run["run_id"], State.SUCCEEDED, finished_at=timezone.now(), created_at=timezone.now())
    answer = api.get(f"/runs/{run['run_id']}")[1]
    assert answer == run | {"created_at": answer["created_at"]}
    _set_state(run["run_id"], State.SUCCEEDED, finished_at=timezone.now())
    answer = api.get(f"/runs/{run['run_id']}")[1]
    assert answer["state"] == "SUCCEEDED" and answer["finished_at"] != EPOCH and "run_details" in answer


def test_terminate_is_canceling_at_once_then_failed_with_who_did_it(api: Api, run: dict[str, Any]) -> None:
    path = f"/runs/{run['run_id']}"
    assert api.post(f"{path}:terminate") == (200, {})
    answer = api.get(path)[1]
    assert answer["state"] == "CANCELING" and answer["finished_at"] == EPOCH and "error" not in answer
    status, error = api.post(f"{path}:terminate")
    assert (status, error["code"]) == (400, 3)
    assert error["details"][0]["message"].startswith("Failed to terminate a run")
    models.Run.objects.filter(pk=run["run_id"]).update(state_history=run["state_history"])
    ended = timezone.now() - timedelta(seconds=10)
    _set_state(run["run_id"], State.CANCELED, stopped_by="ada", finished_at=ended)
    answer = api.get(path)[1]
    assert (answer["state"], answer["error"]) == ("FAILED", {"code": 1, "message": "The run was stopped by ada."})
    assert answer["finished_at"] == ended.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [entry["state"] for entry in answer["state_history"]] == ["PENDING", "FAILED"]
    assert answer["state_history"][1]["error"] == answer["error"]


def test_a_run_that_has_ended_cannot_be_terminated_and_only_a_failed_one_retried(api: Api, run: dict[str, Any]) -> None:
    path = f"/runs/{run['run_id']}"
    assert api.post(f"{path}:retry")[0] == 409
    _set_state(run["run_id"], State.SUCCEEDED, finished_at=timezone.now())
    assert api.post(f"{path}:terminate")[0] == 400
    status, answer = api.post(f"{path}:retry")
    assert (status, answer["code"]) == (409, 10)


def test_a_failed_run_is_running_again_when_its_retry_is_answered(api: Api, run: dict[str, Any]) -> None:
    path = f"/runs/{run['run_id']}"
    driver.drive(run["run_id"])
    driver.drive(run["run_id"], AttemptFailed("root/say", 1, timezone.now(), "It broke.", exit_code=1))
    models.Run.objects.update(created_at=timezone.now() - timedelta(seconds=10))
    assert api.get(path)[1]["state"] == "FAILED"
    assert api.post(f"{path}:archive") == (200, {}), "an archived run can be retried"
    assert api.post(f"{path}:retry") == (200, {})
    answer = api.get(path)[1]
    assert (answer["state"], answer["finished_at"]) == ("RUNNING", EPOCH) and "error" not in answer
    assert [entry["state"] for entry in answer["state_history"]] == ["PENDING", "RUNNING", "FAILED", "RUNNING"]
    status, error = api.post(f"{path}:retry")
    assert (status, error["code"]) == (409, 10)
    assert error["details"][0]["message"].startswith(f"Failed to retry run {run['run_id']}: ")
    driver.drive(run["run_id"], AttemptSucceeded("root/say", 2, timezone.now()))
    answer = api.get(path)[1]
    assert (answer["state"], answer["state_history"][-1]["state"]) == ("SUCCEEDED", "SUCCEEDED")


def test_a_paused_run_is_running_on_the_wire(api: Api, run: dict[str, Any]) -> None:
    driver.drive(run["run_id"])
    models.Run.objects.update(created_at=timezone.now() - timedelta(seconds=10))
    services.pause_run(models.Run.objects.get())
    answer = api.get(f"/runs/{run['run_id']}")[1]
    assert answer["state"] == "RUNNING" and {entry["state"] for entry in answer["state_history"]} == {"PENDING", "RUNNING"}


def test_archive_keeps_the_state_and_unarchive_needs_its_experiment(api: Api, run: dict[str, Any]) -> None:
    path = f"/runs/{run['run_id']}"
    for _ in range(2):
        assert api.post(f"{path}:archive") == (200, {})
        assert api.get(path) == (200, run | {"storage_state": "ARCHIVED"})
    assert api.post(f"/experiments/{run['experiment_id']}:archive") == (200, {})
    status, answer = api.post(f"{path}:unarchive")
    assert (status, answer["code"]) == (400, 9)
    assert api.post(f"/experiments/{run['experiment_id']}:unarchive") == (200, {})
    assert api.get(path)[1]["storage_state"] == "ARCHIVED"
    assert api.post(f"{path}:unarchive") == (200, {})
    assert api.get(path) == (200, run)


def test_delete_and_then_404(api: Api, run: dict[str, Any]) -> None:
    path = f"/runs/{run['run_id']}"
    assert api.send("DELETE", path, experiment_id="x") == (200, {})
    for method, suffix in (("GET", ""), ("DELETE", ""), ("POST", ":archive"), ("POST", ":terminate"), ("POST", ":retry")):
        status, answer = api.send(method, path + suffix)
        assert (status, answer["code"]) == (404, 5)
    assert answer["message"].startswith("ResourceNotFoundError: Run ")
    assert answer["details"] == [
        {"@type": "type.googleapis.com/google.rpc.Status", "code": 5, "message": f"Run {run['run_id']} not found"}
    ]


# --- lists ------------------------------------------------------------------------------------------------------------


def test_runs_are_found_by_experiment_state_and_storage(api: Api, version: dict[str, Any]) -> None:
    first, second = _experiment(api, "a"), _experiment(api, "b")
    for name, experiment in (("one", first), ("two", first), ("three", second)):
        api.post("/runs", {"display_name": name, "pipeline_version_reference": version, "experiment_id": experiment})
    by_name = {run["display_name"]: run["run_id"] for run in api.get("/runs")[1]["runs"]}
    _set_state(by_name["one"], State.CANCELED, finished_at=datetime(2020, 1, 1, tzinfo=UTC))
    api.post(f"/runs/{by_name['two']}:archive")

    def names(**query: Any) -> list[str]:
        status, answer = api.get("/runs", **query)
        assert status == 200, answer
        return [run["display_name"] for run in answer.get("runs", [])]

    def by(key: str, operation: str, value: str) -> str:
        return json.dumps({"predicates": [{"operation": operation, "key": key, "string_value": value}]})

    assert names(experiment_id=first) == ["one", "two"]
    assert names(experiment_id=UNKNOWN) == names(experiment_id="x") == []
    assert names(experiment_id="", namespace="") == ["one", "two", "three"]
    assert names(filter=by("state", "EQUALS", "FAILED")) == ["one"], "a stopped run is FAILED on the wire"
    assert names(filter=by("state", "NOT_EQUALS", "FAILED")) == ["two", "three"]
    assert names(filter=by("state", "EQUALS", "CANCELED")) == []
    assert names(filter=by("status", "EQUALS", "Pending")) == ["two", "three"]
    assert names(filter=by("storage_state", "NOT_EQUALS", "ARCHIVED")) == ["one", "three"]
    assert names(filter=by("experiment_id", "EQUALS", second)) == ["three"]
    assert names(filter=by("name", "IS_SUBSTRING", "T")) == ["two", "three"]
    assert names(filter=by("finished_at", "LESS_THAN", "100")) == ["two", "three"], "what has not ended is of 1970"
    assert names(sort_by="name desc") == ["two", "three", "one"]
    assert names(sort_by="finished_at desc")[0] == "one"


def test_a_page_of_runs_costs_four_statements_at_most(api: Api, version: dict[str, Any], django_assert_num_queries: Any) -> None:
    for _ in range(3):
        _, by_version = api.post("/runs", {"display_name": "x", "pipeline_version_reference": version})
        _, inline = api.post("/runs", {"display_name": "y", "pipeline_spec": spec()})
        _set_state(by_version["run_id"], State.RUNNING)
        _tasks(by_version["run_id"])
    with django_assert_num_queries(4):
        assert api.get("/runs")[1]["total_size"] == 6
    with django_assert_num_queries(2):
        api.get(f"/runs/{by_version['run_id']}")
    with django_assert_num_queries(2):
        api.get(f"/runs/{inline['run_id']}")


# --- experiments ------------------------------------------------------------------------------------------------------


def test_there_is_always_a_default_experiment_which_cannot_be_deleted(api: Api) -> None:
    status, answer = api.get("/experiments")
    assert status == 200
    (default,) = answer["experiments"]
    assert default == {
        "experiment_id": default["experiment_id"],
        "display_name": "Default",
        "description": "All runs created without specifying an experiment will be grouped here.",
        "created_at": default["created_at"],
        "storage_state": "AVAILABLE",
        "last_run_created_at": EPOCH,
    }
    status, answer = api.send("DELETE", f"/experiments/{default['experiment_id']}")
    assert (status, answer["code"]) == (409, 10)


def test_experiments_are_created_once_archived_with_their_runs_and_deleted_without(api: Api, version: dict[str, Any]) -> None:
    body = {"displayName": "mine", "description": "d", "namespace": "ignored"}
    status, experiment = api.post("/experiments", body)
    assert status == 200
    assert experiment == {
        "experiment_id": experiment["experiment_id"],
        "display_name": "mine",
        "description": "d",
        "created_at": experiment["created_at"],
        "storage_state": "AVAILABLE",
        "last_run_created_at": EPOCH,
    }
    path = f"/experiments/{experiment['experiment_id']}"
    assert api.get(path) == (200, experiment)
    status, answer = api.post("/experiments", body)
    assert (status, answer["code"]) == (409, 6) and "Specify a new name" in answer["message"]
    assert api.post("/experiments", {})[0] == api.post("/experiments", {"display_name": "x" * 129})[0] == 400
    reference = {"pipeline_version_reference": version, "experiment_id": experiment["experiment_id"]}
    _, run = api.post("/runs", {"display_name": "x"} | reference)
    assert api.post(f"{path}:archive") == (200, {})
    assert api.get(path)[1]["storage_state"] == "ARCHIVED"
    assert api.get(f"/runs/{run['run_id']}")[1]["storage_state"] == "ARCHIVED"
    assert api.post("/runs", {"display_name": "y"} | reference)[0] == 200, "runs may be made in an archived experiment"
    assert api.send("DELETE", path) == (200, {})
    assert api.get(path)[0] == 404
    assert api.get(f"/runs/{run['run_id']}")[1]["experiment_id"] == experiment["experiment_id"]
    assert api.post(f"{path}:archive") == (200, {}), "as in KFP"


def test_a_list_of_experiments_costs_three_statements(api: Api, django_assert_num_queries: Any) -> None:
    api.get("/experiments")
    with django_assert_num_queries(3):
        api.get("/experiments", filter='{"predicates":[{"operation":1,"key":"display_name","stringValue":"default"}]}')


def test_the_look_up_of_the_python_client_finds_an_experiment_by_name(api: Api) -> None:
    _experiment(api, "Mine")
    status, answer = api.get(
        "/experiments", filter='{"predicates": [{"operation": 1, "key": "display_name", "stringValue": "Mine"}]}'
    )
    assert (status, answer["total_size"]) == (200, 1)


def test_there_are_no_recurring_runs_yet_and_creating_one_says_so(api: Api) -> None:
    assert api.get("/recurringruns") == (200, {})
    status, answer = api.post("/recurringruns", {})
    assert (status, answer["code"]) == (501, 12) and "schedule" in answer["message"]
    assert api.get(f"/recurringruns/{UNKNOWN}")[0] == api.post(f"/recurringruns/{UNKNOWN}:enable")[0] == 404
