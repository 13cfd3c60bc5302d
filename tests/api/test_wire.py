"""What all of the API has in common: errors, JSON, queries, filters, sorting and paging."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from conftest import UNKNOWN, Api

from pipelines.models import Pipeline

# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "PUT"])
@pytest.mark.parametrize("path", ["/none", "/pipelines/a/b", "/auth", "/runs/a/nodes", "/pipelines/names/a%2Fb/c"])
def test_an_unknown_path_is_404_for_every_method(api: Api, method: str, path: str) -> None:
    status, answer = api.send(method, path)
    assert (status, answer) == (404, {"code": 5, "message": "Not Found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/pipelines"),
        ("DELETE", "/runs"),
        ("POST", f"/pipelines/{UNKNOWN}"),
        ("GET", "/pipelines/upload"),
        ("PUT", "/healthz"),
    ],
)
def test_a_known_path_with_another_method_is_501(api: Api, method: str, path: str) -> None:
    assert api.send(method, path) == (501, {"code": 12, "message": "Method Not Allowed"})


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"x"',
        b"3",
        b'{"name": "a", "unknown": 1}',
        b'{"name": 1}',
        b'{"name": "a", "tags": {"a": 1}}',
        b'{"display_name": "a", "displayName": "b"}',
        b'{"name": "\\ud800"}',
        b'{"name": "\\u0000"}',
        b'{"name": NaN}',
        b'{"tags": 1e999}',
        b"\xff",
        b"[" * 100_000,
        b'{"name": ' + b"9" * 5_000 + b"}",
    ],
)
def test_a_body_that_cannot_be_read_is_400_without_details(api: Api, body: bytes) -> None:
    response = api.client.generic("POST", "/apis/v2beta1/pipelines", body, "text/plain")
    answer = json.loads(response.content)
    assert (response.status_code, answer["code"]) == (400, 3)
    assert answer.keys() == {"code", "message"}
    assert response.headers["Content-Type"] == "application/json"


def test_what_a_client_accepts_does_not_matter(api: Api) -> None:
    for accept in ("text/html", "application/xml", ""):
        response = api.client.get("/apis/v2beta1/healthz?format=xml", headers={"Accept": accept})
        assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")


def test_a_method_can_be_overridden_on_post(api: Api) -> None:
    _, pipeline = api.post("/pipelines", {"name": "a"})
    path = f"/apis/v2beta1/pipelines/{pipeline['pipeline_id']}"
    assert api.client.post(path, headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 200
    assert not Pipeline.objects.exists()


def test_a_path_with_double_slashes_or_dots_leads_to_the_cleaned_one(api: Api) -> None:
    response = api.client.get("/apis/v2beta1//pipelines/../healthz?a=b")
    assert (response.status_code, response.headers["Location"]) == (301, "/apis/v2beta1/healthz?a=b")


@pytest.mark.parametrize("key", ["x", "!@$^&*", "%00", "1" * 5_000, "ü漢", UNKNOWN, f"{{{UNKNOWN}}}", UNKNOWN.replace("-", "")])
@pytest.mark.parametrize("kind", ["pipelines", "experiments", "runs", "recurringruns", f"pipelines/{UNKNOWN}/versions"])
def test_an_unknown_id_is_404_whatever_it_looks_like(api: Api, kind: str, key: str) -> None:
    status, answer = api.get(f"/{kind}/{key if key == '%00' else quote(key)}")
    assert (status, answer["code"]) == (404, 5)


# --- queries ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def three(api: Api) -> list[str]:
    """The ids of three pipelines, a minute apart."""
    found = []
    for minute, name in enumerate(["beta", "Alpha", "gamma"]):
        _, pipeline = api.post("/pipelines", {"name": name, "description": f"d{minute}", "tags": {"1": name, "team": "x"}})
        created = datetime(2023, 7, 22, 4, minute, 0, 999_999, tzinfo=UTC)
        Pipeline.objects.filter(pk=pipeline["pipeline_id"]).update(created_at=created)
        found.append(pipeline["pipeline_id"])
    return found


@pytest.mark.parametrize(
    "query",
    [
        "page_size=",
        "page_size=x",
        "page_size=-1",
        "page_size=1.5",
        "page_size=99999999999999999999",
        "page_size=1&page_size=2",
        "page_size=1&pageSize=2",
        "sort_by=unknownfield",
        "sort_by=name%20up",
        "sort_by=name%20asc%20desc",
        "page_token=x",
        "page_token=e30=",
        "page_token=%00",
        "filter=x",
        "filter=[]",
        "filter=%25zz",
        'filter={"predicates":3}',
        'filter={"predicates":[3]}',
        'filter={"other":[]}',
    ],
)
@pytest.mark.parametrize("kind", ["pipelines", "experiments", "runs"])
def test_a_bad_query_is_400(api: Api, kind: str, query: str) -> None:
    status, answer = api.get(f"/{kind}?{query}")
    assert (status, answer["code"]) == (400, 3), answer


def test_a_page_may_be_large_and_other_parameters_are_ignored(api: Api, three: list[str]) -> None:
    for query in ("page_size=1000", "pageSize=0", "page_token=&sort_by=&filter=&namespace=&other=1"):
        status, answer = api.get(f"/pipelines?{query}")
        assert (status, answer["total_size"], "next_page_token" in answer) == (200, 3, False)


# --- sorting and paging -----------------------------------------------------------------------------------------------


def _names(answer: dict[str, Any]) -> list[str]:
    return [row["name"] for row in answer.get("pipelines", [])]


@pytest.mark.parametrize(
    ("sort_by", "names"),
    [
        ("", ["beta", "Alpha", "gamma"]),
        ("created_at", ["beta", "Alpha", "gamma"]),
        ("created_at desc", ["gamma", "Alpha", "beta"]),
        ("NAME", ["Alpha", "beta", "gamma"]),
        ("display_name  desc", ["gamma", "beta", "Alpha"]),
        ("description asc", ["beta", "Alpha", "gamma"]),
    ],
)
def test_pages_follow_the_order_to_the_end_with_the_token_alone(api: Api, three: list[str], sort_by: str, names: list[str]) -> None:
    assert _names(api.get("/pipelines", sort_by=sort_by)[1]) == names
    found, query = [], {"page_size": 1, "sort_by": sort_by}
    for _ in names:
        status, answer = api.get("/pipelines", **query)
        assert (status, answer["total_size"]) == (200, 3)
        found += _names(answer)
        query = {"page_size": 1, "page_token": answer.get("next_page_token", "")}
    assert found == names and query["page_token"] == ""


def test_every_column_can_be_paged_by(api: Api, three: list[str]) -> None:
    for field in ("id", "pipeline_id", "name", "display_name", "created_at", "description", "namespace"):
        _, first = api.get("/pipelines", page_size=2, sort_by=f"{field} desc")
        status, second = api.get("/pipelines", page_token=first["next_page_token"])
        assert status == 200, second
        assert sorted(_names(first) + _names(second)) == ["Alpha", "beta", "gamma"], field


def test_rows_that_come_in_between_shift_nothing(api: Api, three: list[str]) -> None:
    _, first = api.get("/pipelines", page_size=1, sort_by="name")
    api.post("/pipelines", {"name": "aaa"})
    _, second = api.get("/pipelines", page_size=1, page_token=first["next_page_token"])
    assert (_names(first), _names(second), second["total_size"]) == (["Alpha"], ["beta"], 3)


def test_a_token_stays_with_its_order_its_filter_and_its_list(api: Api, three: list[str]) -> None:
    by_team = json.dumps({"predicates": [{"operation": "EQUALS", "key": "tags.team", "string_value": "x"}]})
    by_name = json.dumps({"predicates": [{"operation": "EQUALS", "key": "name", "string_value": "beta"}]})
    _, first = api.get("/pipelines", page_size=1, sort_by="name", filter=by_team)
    token = first["next_page_token"]
    for query in ({}, {"sort_by": "name asc"}, {"filter": by_team}, {"page_size": 3}):
        status, answer = api.get("/pipelines", page_token=token, **query)
        assert (status, _names(answer), answer["total_size"]) == (200, ["beta", "gamma"], 3)
    for query in ({"sort_by": "name desc"}, {"sort_by": "created_at"}, {"filter": by_name}):
        assert api.get("/pipelines", page_token=token, **query)[0] == 400
    assert api.get("/experiments", page_token=token)[0] == 400


@pytest.mark.parametrize(
    "change",
    [
        {"sort": ["unknown", False]},
        {"sort": [[], False]},
        {"sort": "ab"},
        {"sort": None},
        {"sort": ["created_at", False], "value": "yesterday"},
        {"sort": ["created_at", False], "value": "2020-01-01"},
        {"sort": ["id", False], "value": "x"},
        {"value": None},
        {"value": []},
        {"id": "x"},
        {"total": "3"},
        {"total": -1},
        {"id": None},
        {"filter": [["DROP", "name", "x"]]},
        {"filter": [["IN", "name", "x"]]},
        {"filter": [["EQUALS", "name", ["x"]]]},
        {"filter": [["EQUALS", [], "x"]]},
        {"filter": [["EQUALS", "unknown", "x"]]},
        {"filter": 3},
        {"list": "Run"},
    ],
)
def test_a_token_that_was_tampered_with_is_400(api: Api, three: list[str], change: dict[str, Any]) -> None:
    _, first = api.get("/pipelines", page_size=1, sort_by="name")
    token = json.loads(base64.b64decode(first["next_page_token"])) | change
    status, answer = api.get("/pipelines", page_token=base64.b64encode(json.dumps(token).encode()).decode())
    assert (status, answer["code"]) == (400, 3), answer


# --- filters ----------------------------------------------------------------------------------------------------------


def _filtered(api: Api, *predicates: dict[str, Any]) -> tuple[int, list[str]]:
    status, answer = api.get("/pipelines", filter=json.dumps({"predicates": list(predicates)}), sort_by="name")
    return status, sorted(_names(answer))


@pytest.mark.parametrize(
    ("predicate", "names"),
    [
        ({"operation": "EQUALS", "key": "name", "string_value": "alpha"}, ["Alpha"]),
        ({"operation": 1, "key": "display_name", "stringValue": "beta"}, ["beta"]),
        ({"operation": "NOT_EQUALS", "key": "name", "string_value": "beta"}, ["Alpha", "gamma"]),
        ({"operation": "EQUALS", "key": "name", "string_value": ""}, []),
        ({"operation": "EQUALS", "key": "namespace", "string_value": ""}, ["Alpha", "beta", "gamma"]),
        ({"operation": "IS_SUBSTRING", "key": "name", "string_value": "A"}, ["Alpha", "beta", "gamma"]),
        ({"operation": "IS_SUBSTRING", "key": "name", "string_value": "%"}, []),
        ({"operation": "IN", "key": "name", "string_values": {"values": ["BETA", "gamma", "x"]}}, ["beta", "gamma"]),
        ({"operation": "IN", "key": "name", "stringValues": {"values": []}}, []),
        ({"operation": "EQUALS", "key": "pipeline_id", "string_value": "!@#$^&*"}, []),
        ({"operation": "EQUALS", "key": "id", "string_value": UNKNOWN}, []),
        ({"operation": "GREATER_THAN", "key": "name", "string_value": "b"}, ["beta", "gamma"]),
        ({"operation": "EQUALS", "key": "tags.team", "string_value": "x"}, ["Alpha", "beta", "gamma"]),
        ({"operation": "EQUALS", "key": "tags.1", "string_value": "beta"}, ["beta"]),
        ({"operation": "EQUALS", "key": "tags.1", "string_value": "BETA"}, []),
        ({"operation": "EQUALS", "key": "tags.none", "string_value": "x"}, []),
        ({"operation": "EQUALS", "key": "tags.a\"'); --", "string_value": "x"}, []),
        ({"operation": "EQUALS", "key": "created_at", "timestamp_value": "2023-07-22T04:01:00Z"}, ["Alpha"]),
        ({"operation": "LESS_THAN", "key": "created_at", "string_value": "1689998460"}, ["beta"]),
        ({"operation": "LESS_THAN_EQUALS", "key": "created_at", "long_value": "1689998460"}, ["Alpha", "beta"]),
        ({"operation": "GREATER_THAN", "key": "created_at", "longValue": 1689998460}, ["gamma"]),
        ({"operation": "GREATER_THAN_EQUALS", "key": "created_at", "int_value": 1689998460}, ["Alpha", "gamma"]),
        ({"operation": "GREATER_THAN", "key": "created_at", "string_value": "2000-01-01T00:00:00Z"}, ["Alpha", "beta", "gamma"]),
        ({"operation": "GREATER_THAN", "key": "created_at", "string_value": "2000-01-01"}, ["Alpha", "beta", "gamma"]),
        ({"operation": "LESS_THAN", "key": "created_at", "long_value": 2**62}, ["Alpha", "beta", "gamma"]),
        ({"operation": "GREATER_THAN", "key": "created_at", "long_value": -(2**62)}, ["Alpha", "beta", "gamma"]),
    ],
)
def test_what_a_predicate_finds(api: Api, three: list[str], predicate: dict[str, Any], names: list[str]) -> None:
    assert _filtered(api, predicate) == (200, names)


def test_predicates_are_anded_and_ids_can_be_listed(api: Api, three: list[str]) -> None:
    ids = {"operation": "IN", "key": "pipeline_id", "string_values": {"values": three[:2]}}
    assert _filtered(api, ids) == (200, ["Alpha", "beta"])
    assert _filtered(api, ids, {"operation": "EQUALS", "key": "name", "string_value": "beta"}) == (200, ["beta"])
    assert _filtered(api) == (200, ["Alpha", "beta", "gamma"])


@pytest.mark.parametrize(
    "predicate",
    [
        {},
        {"key": "name", "string_value": "x"},
        {"operation": 0, "key": "name", "string_value": "x"},
        {"operation": 4, "key": "name", "string_value": "x"},
        {"operation": True, "key": "name", "string_value": "x"},
        {"operation": [], "key": "name", "string_value": "x"},
        {"operation": "LIKE", "key": "name", "string_value": "x"},
        {"operation": "EQUALS", "key": "", "string_value": "x"},
        {"operation": "EQUALS", "key": 3, "string_value": "x"},
        {"operation": "EQUALS", "key": "unknown", "string_value": "x"},
        {"operation": "EQUALS", "key": "versions__name", "string_value": "x"},
        {"operation": "EQUALS", "key": "name"},
        {"operation": "EQUALS", "key": "name", "string_value": "x", "int_value": 1},
        {"operation": "EQUALS", "key": "name", "string_value": 3},
        {"operation": "EQUALS", "key": "name", "int_value": "x"},
        {"operation": "EQUALS", "key": "name", "int_value": 2**31},
        {"operation": "EQUALS", "key": "name", "long_value": 2**63},
        {"operation": "EQUALS", "key": "name", "long_value": 1.5},
        {"operation": "EQUALS", "key": "name", "string_values": {"values": ["x"]}},
        {"operation": "IN", "key": "name", "string_value": "x"},
        {"operation": "IN", "key": "name", "string_values": ["x"]},
        {"operation": "IN", "key": "name", "string_values": {"values": "x"}},
        {"operation": "IN", "key": "name", "string_values": {"values": [[]]}},
        {"operation": "IS_SUBSTRING", "key": "name", "int_value": 1},
        {"operation": "EQUALS", "key": "name", "string_value": "x", "stringValue": "x"},
        {"operation": "EQUALS", "key": "name", "value": "x"},
        {"operation": "EQUALS", "key": "created_at", "string_value": "soon"},
        {"operation": "EQUALS", "key": "created_at", "timestamp_value": "soon"},
        {"operation": "IS_SUBSTRING", "key": "created_at", "string_value": "2020"},
        {"operation": "NOT_EQUALS", "key": "tags.team", "string_value": "x"},
        {"operation": "EQUALS", "key": "tags.team", "int_value": 1},
        {"operation": "EQUALS", "key": "name", "string_value": "\0"},
    ],
)
def test_a_predicate_that_breaks_rules_is_400(api: Api, three: list[str], predicate: dict[str, Any]) -> None:
    assert _filtered(api, predicate)[0] == 400


def test_a_filter_may_be_encoded_once_or_twice(api: Api, three: list[str]) -> None:
    api.post("/pipelines", {"name": "100% + ü"})
    text = json.dumps({"predicates": [{"operation": "EQUALS", "key": "name", "string_value": "100% + ü"}]})
    for sent in (quote(text), quote(quote(text)), quote(json.dumps(json.loads(text), ensure_ascii=False))):
        status, answer = api.get(f"/pipelines?filter={sent}")
        assert (status, _names(answer)) == (200, ["100% + ü"])


# --- the document -----------------------------------------------------------------------------------------------------


def test_the_openapi_document_names_every_operation_once(api: Api) -> None:
    response = api.client.get("/apis/openapi.json")
    document = json.loads(response.content)
    assert response.status_code == 200
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids)) > 35
    assert "run_details" in document["components"]["schemas"]["RunMessage"]["properties"]


def test_the_page_lists_every_operation(api: Api) -> None:
    page = api.client.get("/apis/").content.decode()
    for path in ("/apis/v2beta1/runs/{run_id}:terminate", "/apis/kfdash/v1/runs/{run_id}/tasks"):
        assert path in page
