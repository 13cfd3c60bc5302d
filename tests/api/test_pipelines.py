"""KFP's API about pipelines and versions, exact on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import PLATFORM, UNKNOWN, Api, package, spec

from pipelines import fetching
from pipelines.models import Pipeline, PipelineVersion


def _upload(api: Api, name: str, **query: Any) -> dict[str, Any]:
    status, answer = api.upload("/pipelines/upload", package(), name=name, **query)
    assert status == 200, answer
    return answer


def test_health_says_that_there_is_one_user_and_a_database(api: Api) -> None:
    status, answer = api.get("/healthz")
    assert status == 200
    assert answer["multi_user"] is False and answer["pipeline_store"] == "database"
    assert {"commit_sha", "tag_name"} < answer.keys()
    status, answer = Api("/apis/v1beta1").get("/healthz")
    assert status == 200 and "pipeline_store" not in answer


def test_an_upload_answers_the_pipeline_and_get_gives_the_same(api: Api) -> None:
    status, answer = api.upload("/pipelines/upload", package(), name="a", display_name="A", description="d", tags='{"k":"v"}')
    assert status == 200
    assert answer == {
        "pipeline_id": answer["pipeline_id"],
        "name": "a",
        "display_name": "A",
        "description": "d",
        "created_at": answer["created_at"],
        "tags": {"k": "v"},
    }
    assert answer["created_at"].endswith("Z") and len(answer["created_at"]) == 20
    assert api.get(f"/pipelines/{answer['pipeline_id']}") == (200, answer)
    assert api.get("/pipelines/names/a", namespace="") == (200, answer)


def test_the_first_version_has_the_pipelines_names_and_its_specification(api: Api) -> None:
    pipeline = _upload(api, "a", display_name="A", description="d")
    status, answer = api.get(f"/pipelines/{pipeline['pipeline_id']}/versions")
    assert status == 200
    (version,) = answer.pop("pipeline_versions")
    assert answer == {"total_size": 1}
    assert version == {
        "pipeline_id": pipeline["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
        "name": "a",
        "display_name": "A",
        "description": "d",
        "created_at": version["created_at"],
        "pipeline_spec": spec(),
    }
    path = f"/pipelines/{UNKNOWN}/versions/{version['pipeline_version_id']}"
    assert api.get(path) == (200, version), "the pipeline in the path does not matter"


def test_a_platform_document_wraps_both(api: Api) -> None:
    text = f"{json.dumps(spec())}\n---\n{json.dumps(PLATFORM)}"
    _, pipeline = api.upload("/pipelines/upload", text)
    _, answer = api.get(f"/pipelines/{pipeline['pipeline_id']}/versions")
    assert answer["pipeline_versions"][0]["pipeline_spec"] == {"pipeline_spec": spec(), "platform_spec": PLATFORM}


def test_names_default_to_the_file(api: Api) -> None:
    _, pipeline = api.upload("/pipelines/upload", package(), "arguments-parameters.yaml")
    assert (pipeline["name"], pipeline["display_name"]) == ("arguments-parameters.yaml", "arguments-parameters.yaml")
    status, version = api.upload("/pipelines/upload_version", package(), "b.yaml", pipelineid=pipeline["pipeline_id"])
    assert (status, version["name"], version["pipeline_id"]) == (200, "b.yaml", pipeline["pipeline_id"])
    assert api.get(f"/pipelines/{UNKNOWN}/versions/{version['pipeline_version_id']}") == (200, version)


@pytest.mark.parametrize("path", ["/pipelines/upload", "/pipelines/upload_version"])
def test_a_package_that_breaks_rules_is_refused_with_every_problem(api: Api, path: str) -> None:
    pipeline = _upload(api, "there")
    bad = spec()
    bad["schemaVersion"] = "2.0.0"
    bad["pipelineInfo"]["name"] = "Not Allowed"
    status, answer = api.upload(path, json.dumps(bad), name="x", pipelineid=pipeline["pipeline_id"])
    assert status == 400
    assert len(answer["problems"]) == 2
    assert all(problem["message"] in answer["error_message"] for problem in answer["problems"])
    assert Pipeline.objects.count() == PipelineVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"name": "taken"}, 409),
        ({"name": "x" * 129}, 400),
        ({"name": "n", "tags": "no json"}, 400),
        ({"name": "n", "tags": "[]"}, 400),
        ({"name": "n", "tags": '{"a": 1}'}, 400),
        ({"name": "n", "tags": json.dumps({"a" * 64: ""})}, 400),
        ({"name": "n", "tags": json.dumps({"a": "v" * 64})}, 400),
        ({"name": "n", "tags": '{"a.b": "c"}'}, 400),
        ({"name": "n", "tags": '{"": "c"}'}, 400),
        ({"name": "n", "tags": json.dumps({str(i): "" for i in range(21)})}, 400),
        ({"name": "n", "tags": "{}"}, 200),
        ({"name": "x" * 128}, 200),
        ({"name": "!@#$%^&*() ü 漢字"}, 200),
    ],
)
def test_what_an_upload_is_answered(api: Api, query: dict[str, str], status: int) -> None:
    _upload(api, "taken")
    found, answer = api.upload("/pipelines/upload", package(), **query)
    assert found == status, answer
    assert (found == 200) == ("pipeline_id" in answer)


def test_uploads_without_a_file_or_for_no_pipeline_are_400(api: Api) -> None:
    assert api.post("/pipelines/upload", {})[0] == 400
    assert api.upload("/pipelines/upload_version", package())[0] == 400
    assert api.upload("/pipelines/upload_version", package(), pipelineid="12345")[0] == 400
    assert api.upload("/pipelines/upload_version", package(), pipelineid=UNKNOWN)[0] == 400
    response = api.client.post("/apis/v2beta1/pipelines/upload", b"--x", content_type="multipart/form-data; boundary=x")
    assert response.status_code == 400


def test_invalid_packages_of_the_conformance_suite_are_refused(api: Api, conformance: Any) -> None:
    for file in sorted((conformance / "invalid").iterdir()):
        status, answer = api.upload("/pipelines/upload", file.read_bytes(), file.name)
        assert status == 400, file.name
        assert answer["error_message"], file.name


# --- create, update, delete -------------------------------------------------------------------------------------------


def test_a_pipeline_is_created_with_either_name(api: Api) -> None:
    status, answer = api.post("/pipelines", {"displayName": "Both", "namespace": "ignored", "pipeline_id": "mine", "error": None})
    assert status == 200
    assert (answer["name"], answer["display_name"]) == ("Both", "Both")
    assert answer["pipeline_id"] != "mine" and "namespace" not in answer and "tags" not in answer
    status, answer = api.post("/pipelines", {"name": "Both"})
    assert (status, answer["code"]) == (409, 6)
    assert "specify a new name" in answer["message"]
    status, answer = api.post("/pipelines", {})
    assert (status, answer["code"], answer["details"][0]["code"]) == (400, 3, 3)
    assert answer["message"].startswith("Invalid input error: ")


def test_patch_replaces_tags_as_a_whole_and_keeps_them_when_absent(api: Api) -> None:
    pipeline = _upload(api, "p", tags='{"a":"1"}')
    path = f"/pipelines/{pipeline['pipeline_id']}"
    assert api.send("PATCH", path, {"display_name": "New", "description": "ignored"})[1] == pipeline | {"display_name": "New"}
    assert api.send("PATCH", path, {"tags": {"b": "2"}})[1]["tags"] == {"b": "2"}
    assert "tags" not in api.send("PATCH", path, {"tags": {}})[1]
    assert api.send("PATCH", path, {"tags": {"a.b": ""}})[0] == 400
    assert api.send("PATCH", f"/pipelines/{UNKNOWN}", {})[0] == 404
    version = api.get(f"{path}/versions")[1]["pipeline_versions"][0]
    path = f"{path}/versions/{version['pipeline_version_id']}"
    assert api.send("PATCH", path, {"tags": {"b": "2"}, "display_name": "V"})[1] == version | {
        "tags": {"b": "2"},
        "display_name": "V",
    }


def test_a_pipeline_with_versions_is_deleted_only_with_cascade(api: Api) -> None:
    path = f"/pipelines/{_upload(api, 'p')['pipeline_id']}"
    status, answer = api.send("DELETE", path)
    assert (status, answer["code"]) == (400, 3)
    assert api.send("DELETE", path, cascade="maybe")[0] == 400
    assert api.send("DELETE", path, cascade="true") == (200, {})
    assert api.get(path)[0] == 404
    assert not PipelineVersion.objects.exists()


def test_a_version_is_deleted_whatever_the_pipeline_in_the_path(api: Api) -> None:
    pipeline = _upload(api, "p")
    version = api.get(f"/pipelines/{pipeline['pipeline_id']}/versions")[1]["pipeline_versions"][0]
    assert api.send("DELETE", f"/pipelines/{UNKNOWN}/versions/{version['pipeline_version_id']}") == (200, {})
    assert api.get(f"/pipelines/{pipeline['pipeline_id']}/versions") == (200, {})
    assert api.send("DELETE", f"/pipelines/{pipeline['pipeline_id']}") == (200, {})


# --- by URL -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that has one package."""

    def get(parts: Any, address: str, deadline: float) -> tuple[str, bytes]:
        return "", package().encode()

    monkeypatch.setattr(fetching, "_get", get)
    monkeypatch.setattr(fetching, "_check_addresses", lambda parts: "1.1.1.1")


def test_a_pipeline_and_its_version_come_from_a_url(api: Api, fetched: None) -> None:
    url = "https://raw.githubusercontent.com/a/b/sequential.yaml"
    body = {
        "pipeline": {"name": "sequential", "display_name": "Sequential", "description": "d"},
        "pipeline_version": {"name": "ignored", "package_url": {"pipeline_url": url}},
    }
    status, pipeline = api.post("/pipelines/create", body)
    assert (status, pipeline["display_name"]) == (200, "Sequential")
    _, answer = api.get(f"/pipelines/{pipeline['pipeline_id']}/versions")
    (version,) = answer["pipeline_versions"]
    assert (version["name"], version["display_name"], version["description"]) == ("sequential", "Sequential", "d")
    assert version["package_url"] == {"pipeline_url": url}
    body = {"pipeline_id": UNKNOWN, "display_name": "second", "package_url": {"pipelineUrl": url}}
    status, version = api.post(f"/pipelines/{pipeline['pipeline_id']}/versions", body)
    assert (status, version["pipeline_id"], version["name"]) == (200, pipeline["pipeline_id"], "second")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://github.com/a.yaml",
        "https://example.com/a.yaml",
        "https://github.com:8443/a.yaml",
        "https://user:secret@github.com/a.yaml",
        "https://[::1/a.yaml",
        "https://github.com:port/a.yaml",
    ],
)
def test_urls_that_are_not_fetched(api: Api, url: str) -> None:
    body = {"pipeline": {"name": "x"}, "pipeline_version": {"package_url": {"pipeline_url": url}}}
    status, answer = api.post("/pipelines/create", body)
    assert (status, answer["code"]) == (400, 3)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1", "0.0.0.0"])
def test_an_allowed_host_that_leads_to_a_private_address_is_not_fetched(
    api: Api, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(
        fetching.socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("1.1.1.1", 443)), (0, 0, 0, "", (address, 443))]
    )
    body = {"pipeline": {"name": "x"}, "pipeline_version": {"package_url": {"pipeline_url": "https://github.com/a.yaml"}}}
    status, answer = api.post("/pipelines/create", body)
    assert status == 400 and "private" in answer["message"]


# --- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_costs_two_statements_and_a_further_page_one(api: Api, django_assert_num_queries: Any) -> None:
    pipelines = [_upload(api, f"p{i}") for i in range(3)]
    with django_assert_num_queries(2):
        answer = api.get("/pipelines", page_size=2)[1]
    with django_assert_num_queries(1):
        further = api.get("/pipelines", page_token=answer["next_page_token"])[1]
    assert (answer["total_size"], further["total_size"]) == (3, 3)
    with django_assert_num_queries(3):
        assert api.get(f"/pipelines/{pipelines[0]['pipeline_id']}/versions")[1]["total_size"] == 1


def test_versions_of_an_unknown_pipeline_are_404_and_none_are_an_empty_list(api: Api) -> None:
    assert api.get(f"/pipelines/{UNKNOWN}/versions")[0] == 404
    _, pipeline = api.post("/pipelines", {"name": "bare"})
    assert api.get(f"/pipelines/{pipeline['pipeline_id']}/versions", page_token="", sort_by="", filter="") == (200, {})
