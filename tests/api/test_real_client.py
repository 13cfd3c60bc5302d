"""The real `kfp.Client` against a server that serves over HTTP. Its steps are not run: what it is answered counts."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from conftest import package, spec
from django.utils import timezone
from kfp.cli.cli import cli
from kfp.client import Client
from kfp_server_api import ApiException

from kfdash import outbox
from runs import driver, models
from runs.engine.model import AttemptFailed, AttemptSucceeded, State

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(live_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[Client]:
    """A client with a home of its own, whose server sends no jobs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(outbox, "hand_over", lambda run_id, facts: None)
    monkeypatch.setattr(outbox, "_send", lambda job, args: None)
    yield Client(host=live_server.url)


@pytest.fixture
def file(tmp_path: pathlib.Path) -> str:
    """A compiled package with an input."""
    path = tmp_path / "hello.yaml"
    path.write_text(yaml.safe_dump(spec(text={"parameterType": "STRING", "defaultValue": "hi"})))
    return str(path)


def test_a_pipeline_is_uploaded_found_listed_and_deleted(client: Client, file: str) -> None:
    pipeline = client.upload_pipeline(file, pipeline_name="mine", description="d")
    assert (pipeline.display_name, pipeline.description) == ("mine", "d")
    assert client.get_pipeline(pipeline.pipeline_id) == pipeline
    assert client.get_pipeline_id("mine") == pipeline.pipeline_id
    assert client.get_pipeline_id("none") is None
    assert client.list_pipelines(page_size=50, sort_by="created_at desc").pipelines == [pipeline]
    second = client.upload_pipeline_version(file, "second", pipeline_name="mine", description="v")
    assert (second.display_name, second.description, second.pipeline_id) == ("second", "v", pipeline.pipeline_id)
    listed = client.list_pipeline_versions(pipeline.pipeline_id, sort_by="created_at desc")
    assert (listed.total_size, listed.pipeline_versions[0]) == (2, second)
    assert client.get_pipeline_version(pipeline.pipeline_id, second.pipeline_version_id) == second
    assert second.pipeline_spec == yaml.safe_load(pathlib.Path(file).read_text())
    with pytest.raises(ApiException) as refused:
        client.delete_pipeline(pipeline.pipeline_id)
    assert refused.value.status == 400
    for version in listed.pipeline_versions:
        client.delete_pipeline_version(pipeline.pipeline_id, version.pipeline_version_id)
    client.delete_pipeline(pipeline.pipeline_id)
    assert client.list_pipelines().pipelines is None


def test_a_name_that_is_taken_and_a_package_that_is_none_are_refused(client: Client, file: str, tmp_path: pathlib.Path) -> None:
    client.upload_pipeline(file, pipeline_name="mine")
    with pytest.raises(ApiException) as taken:
        client.upload_pipeline(file, pipeline_name="mine")
    assert taken.value.status == 409
    bad = tmp_path / "bad.yaml"
    bad.write_text(package().replace("2.1.0", "2.0.0"))
    with pytest.raises(ApiException) as refused:
        client.upload_pipeline(str(bad), pipeline_name="bad")
    assert refused.value.status == 400 and "2.1.0" in refused.value.body


def test_an_experiment_is_made_once_found_by_name_archived_and_deleted(client: Client) -> None:
    experiment = client.create_experiment("mine", description="d")
    assert (experiment.display_name, experiment.description) == ("mine", "d")
    assert client.create_experiment("mine").experiment_id == experiment.experiment_id
    assert client.get_experiment(experiment_name="mine") == experiment
    assert {one.display_name for one in client.list_experiments().experiments} == {"Default", "mine"}
    client.archive_experiment(experiment.experiment_id)
    assert client.get_experiment(experiment.experiment_id).storage_state == "ARCHIVED"
    client.unarchive_experiment(experiment.experiment_id)
    assert client.get_experiment(experiment.experiment_id).storage_state == "AVAILABLE"
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(ValueError, match="No experiment is found"):
        client.get_experiment(experiment_name="mine")


def test_a_run_of_a_version_is_launched_waited_for_and_cleared_away(client: Client, file: str) -> None:
    pipeline = client.upload_pipeline(file, pipeline_name="mine")
    version = client.list_pipeline_versions(pipeline.pipeline_id, page_size=1).pipeline_versions[0]
    experiment = client.create_experiment("conformance")
    run = client.run_pipeline(
        experiment.experiment_id,
        "job",
        params={"text": "x"},
        pipeline_id=pipeline.pipeline_id,
        version_id=version.pipeline_version_id,
    )
    assert (run.state, run.display_name, run.runtime_config.parameters) == ("PENDING", "job", {"text": "x"})
    assert client.get_run(run.run_id) == run
    assert client.list_runs(experiment_id=experiment.experiment_id).runs == [run]
    history = [
        *models.Run.objects.get(pk=run.run_id).state_history,
        {"update_time": timezone.now().isoformat(), "state": "SUCCEEDED"},
    ]
    models.Run.objects.filter(pk=run.run_id).update(state=State.SUCCEEDED, finished_at=timezone.now(), state_history=history)
    ended = client.wait_for_run_completion(run.run_id, timeout=10, sleep_duration=1)
    assert (ended.state, len(ended.state_history)) == ("SUCCEEDED", 2)
    client.archive_run(run.run_id)
    assert client.get_run(run.run_id).storage_state == "ARCHIVED"
    client.unarchive_run(run.run_id)
    client.delete_run(run.run_id)
    with pytest.raises(ApiException) as gone:
        client.get_run(run.run_id)
    assert gone.value.status == 404


def test_a_run_of_a_package_is_launched_terminated_and_not_terminated_twice(client: Client, file: str) -> None:
    result = client.create_run_from_pipeline_package(file, arguments={"text": "y"}, run_name="from a package", enable_caching=False)
    run = client.get_run(result.run_id)
    assert run.pipeline_spec["pipelineInfo"] == {"name": "hello"}
    assert client.get_experiment(run.experiment_id).display_name == "Default"
    client.terminate_run(run.run_id)
    assert client.get_run(run.run_id).state == "CANCELING"
    with pytest.raises(ApiException) as refused:
        client.terminate_run(run.run_id)
    assert refused.value.status == 400
    with pytest.raises(ApiException) as refused:
        client.create_run_from_pipeline_package(file, arguments={"none": "y"})
    assert refused.value.status == 400


def test_a_failed_run_is_retried_by_the_generated_client(client: Client, file: str) -> None:
    run_id = client.create_run_from_pipeline_package(file, run_name="x").run_id
    with pytest.raises(ApiException) as refused:
        client._run_api.run_service_retry_run(run_id)
    assert refused.value.status == 409
    driver.drive(run_id)
    driver.drive(run_id, AttemptFailed("root/say", 1, timezone.now(), "It broke.", exit_code=1))
    models.Run.objects.update(created_at=timezone.now() - timedelta(seconds=10))
    assert client.get_run(run_id).state == "FAILED"
    client._run_api.run_service_retry_run(run_id)
    run = client.get_run(run_id)
    assert (run.state, run.finished_at.year) == ("RUNNING", 1970)
    assert [entry.state for entry in run.state_history] == ["PENDING", "RUNNING", "FAILED", "RUNNING"]
    driver.drive(run_id, AttemptSucceeded("root/say", 2, timezone.now()))
    assert client.wait_for_run_completion(run_id, timeout=10).state == "SUCCEEDED"


def test_there_are_no_recurring_runs(client: Client, file: str) -> None:
    assert client.list_recurring_runs().recurring_runs is None
    with pytest.raises(ApiException) as refused:
        client.create_recurring_run(
            client.create_experiment("e").experiment_id, "j", pipeline_package_path=file, interval_second=60
        )
    assert refused.value.status == 501


def test_the_kfp_command_line_uploads_launches_and_lists(client: Client, live_server: Any, file: str) -> None:
    def kfp(*arguments: str) -> Any:
        result = CliRunner().invoke(cli, ["--endpoint", live_server.url, "--output", "json", *arguments], obj={})
        assert result.exit_code == 0, result.output
        begin = re.search(r"^[\[{]", result.stdout, re.MULTILINE)  # remarks stand before it
        assert begin, result.stdout
        return json.loads(result.stdout[begin.start() :])

    kfp("pipeline", "create", "-p", "mine", file)
    kfp("experiment", "create", "e")
    run = kfp("run", "create", "-e", "e", "-f", file, "-r", "by hand", "text=hello")
    assert (run["display_name"], run["state"], run["runtime_config"]["parameters"]) == ("by hand", "PENDING", {"text": "hello"})
    assert [one["display_name"] for one in kfp("run", "list")] == ["by hand"]
    assert kfp("run", "archive", run["run_id"])["storage_state"] == "ARCHIVED"
    assert [one["display_name"] for one in kfp("pipeline", "list")] == ["mine"]
    assert kfp("recurring-run", "list") == []
