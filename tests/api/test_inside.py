"""What KFP's API does not tell of a run: `/apis/kfdash/v1`; and KFP's own addresses of logs and artifacts."""

from __future__ import annotations

import base64
import json
import pathlib
from typing import Any

import pytest
from conftest import UNKNOWN, Api, spec
from django.conf import settings
from django.utils import timezone

from runs import logs, models
from runs.executors.base import LogLine


@pytest.fixture
def own(api: Api) -> Api:
    """kfdash's own API."""
    return Api("/apis/kfdash/v1")


@pytest.fixture
def run(api: Api) -> models.Run:
    """A run with a step that was tried twice, an artifact and three events."""
    _, answer = api.post("/runs", {"display_name": "x", "pipeline_spec": spec()})
    run = models.Run.objects.get(pk=answer["run_id"])
    now = timezone.now()
    models.Task.objects.create(run=run, path="root", parent="", kind="dag", state="RUNNING", children=1, started_at=now)
    models.Task.objects.create(
        run=run, path="root/say", parent="root", kind="container", state="SUCCEEDED", attempt=2,
        inputs={"parameters": {"n": 0}, "artifacts": {}}, cached_from=f"{UNKNOWN}:root/say",
    )  # fmt: skip
    models.Attempt.objects.create(run=run, path="root/say", number=1, name="say-1", state="FAILED", phase="ended", exit_code=3)
    models.Attempt.objects.create(run=run, path="root/say", number=2, name="say-2", state="SUCCEEDED", phase="ended", exit_code=0)
    models.Artifact.objects.create(
        run=run, path="root/say", name="model", uri="minio://kfdash/x/model", type="system.Model", size=5
    )
    for number in (1, 2, 3):
        path = "root/say" if number > 1 else "root"
        models.RunEvent.objects.create(run=run, number=number, at=now, kind="started", path=path, data={"n": number})
    models.Run.objects.filter(pk=run.pk).update(event_number=3)
    return run


def _write_log(monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> None:
    """A log with these lines for every attempt."""
    lines = [LogLine(number, 1_700_000_000_000_000 + number, "e", text) for number, text in enumerate(texts, 1)]
    monkeypatch.setattr(logs, "read", lambda key, first=1, limit=1000: lines[first - 1 : first - 1 + limit])
    monkeypatch.setattr(logs, "count", lambda key: len(lines))
    monkeypatch.setattr(logs, "stream_text", lambda key: (f"{key} {line.text}\n" for line in lines))
    monkeypatch.setattr(
        logs, "search", lambda key, needle, after, limit: [x for x in lines if needle in x.text and x.number > after]
    )


def test_the_task_tree_has_every_attempt(own: Api, run: models.Run) -> None:
    status, answer = own.get(f"/runs/{run.pk}/tasks")
    assert (status, answer["total_size"]) == (200, 2)
    root, say = answer["tasks"]
    assert (root["path"], root["kind"], root["children"]) == ("root", "dag", 1)
    assert (say["parent"], say["name"], say["cached_from"]) == ("root", "say", {"run_id": UNKNOWN, "path": "root/say"})
    assert say["inputs"]["parameters"] == {"n": 0}
    assert [attempt["exit_code"] for attempt in say["attempts"]] == [3, 0]
    _, answer = own.get(f"/runs/{run.pk}/tasks", parent="root")
    assert [task["path"] for task in answer["tasks"]] == ["root/say"]


def test_the_task_tree_costs_five_statements(own: Api, run: models.Run, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(4):
        own.get(f"/runs/{run.pk}/tasks")


def test_events_are_read_on_from_a_number(own: Api, run: models.Run) -> None:
    _, answer = own.get(f"/runs/{run.pk}/events", after=1, limit=1)
    assert answer["last_number"] == 3
    assert [(event["number"], event["path"], event["data"]) for event in answer["events"]] == [(2, "root/say", {"n": 2})]
    _, answer = own.get(f"/runs/{run.pk}/events", path="root")
    assert [event["number"] for event in answer["events"]] == [1]
    assert own.get(f"/runs/{run.pk}/events", limit=-1)[0] == 400


@pytest.mark.parametrize("node", ["say-2", "root/say"])
def test_a_log_is_read_by_attempt_or_task(own: Api, run: models.Run, monkeypatch: pytest.MonkeyPatch, node: str) -> None:
    _write_log(monkeypatch, ["one", "two", "three"])
    status, answer = own.get(f"/runs/{run.pk}/log", node=node, first=2, limit=1)
    assert (status, answer["total_size"], answer["ended"]) == (200, 3, True)
    assert answer["lines"] == [{"number": 2, "at": "2023-11-14T22:13:20.000002Z", "stream": "stderr", "text": "two"}]
    _, answer = own.get(f"/runs/{run.pk}/log", node=node, search="t", first=3)
    assert [line["text"] for line in answer["lines"]] == ["three"]
    response = own.client.get(f"/apis/kfdash/v1/runs/{run.pk}/log.txt", {"node": node})
    text = b"".join(response.streaming_content).decode()
    assert response.headers["Content-Type"].startswith("text/plain")
    assert text.splitlines()[1] == f"{run.pk}/say-2 two"


def test_a_log_needs_a_node_that_there_is(own: Api, run: models.Run) -> None:
    assert own.get(f"/runs/{run.pk}/log")[0] == 400
    assert own.get(f"/runs/{run.pk}/log", node="none")[0] == 404
    assert own.get(f"/runs/{run.pk}/log", node="say-1", first=0, limit=-1)[0] == 400
    assert own.get(f"/runs/{run.pk}/log", node="say-1") == (200, {"ended": True})


def test_kfp_reads_a_nodes_log_as_text_and_says_in_it_when_there_is_none(api: Api, run: models.Run, monkeypatch: Any) -> None:
    _write_log(monkeypatch, ["one"])
    response = api.client.get(f"/apis/v1alpha1/runs/{run.pk}/nodes/say-1/log?follow=true")
    assert response.status_code == 200
    assert b"".join(response.streaming_content).decode() == f"{run.pk}/say-1 one\n"
    response = api.client.get(f"/apis/v1alpha1/runs/{run.pk}/nodes/none/log")
    assert response.status_code == 200 and "not found" in json.loads(response.content)["error_message"]


def test_kfp_reads_an_output_artifact_in_base64(api: Api, run: models.Run) -> None:
    path = f"/runs/{run.pk}/nodes/say-2/artifacts/model:read"
    assert api.get(path)[0] == 400, "its file is missing"
    file = pathlib.Path(settings.ARTIFACTS_DIR) / "kfdash" / "x" / "model"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"bytes")
    assert api.get(path) == (200, {"data": base64.b64encode(b"bytes").decode()})
    assert api.get(f"/runs/{run.pk}/nodes/say-2/artifacts/none:read")[0] == 404
    assert api.get(f"/runs/{run.pk}/nodes/none/artifacts/model:read")[0] == 404
    assert api.get(f"/runs/{UNKNOWN}/nodes/say-2/artifacts/model:read")[0] == 404


def test_artifacts_are_listed_by_run_with_their_ids_as_text(own: Api, run: models.Run, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        _, answer = own.get("/artifacts", run_id=str(run.pk), sort_by="artifact_id desc")
    (artifact,) = answer["artifacts"]
    assert (artifact["type"], artifact["size"], artifact["path"]) == ("system.Model", "5", "root/say")
    assert own.get(f"/artifacts/{artifact['artifact_id']}") == (200, artifact)
    assert own.get(f"/runs/{run.pk}/artifacts")[1] == answer
    assert own.get("/artifacts", run_id="x") == (200, {})
    assert own.get("/artifacts/x")[0] == own.get("/artifacts/99999999999999999999")[0] == 404
    number = '{"predicates":[{"operation":"GREATER_THAN","key":"artifact_id","long_value":"0"}]}'
    assert own.get("/artifacts", filter=number)[1] == answer


def test_the_cache_can_be_looked_into(own: Api, run: models.Run, django_assert_num_queries: Any) -> None:
    for hits in (1, 2, 3):
        models.CacheEntry.objects.create(
            pipeline_name="hello", fingerprint="f", run=run, path="root/say", outputs={}, seconds=1.5, hits=hits
        )
    with django_assert_num_queries(2):
        _, first = own.get("/cache", page_size=2, sort_by="hits desc")
    _, second = own.get("/cache", page_token=first["next_page_token"])
    assert [entry["hits"] for entry in first["entries"] + second["entries"]] == [3, 2, 1]
    assert first["entries"][0]["seconds"] == 1.5
