"""Whatever is sent, the answer is JSON with a code and never an error of the server."""

from __future__ import annotations

import json
import string
from typing import Any
from urllib.parse import quote

import pytest
from conftest import UNKNOWN, Api, spec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.django_db

FIELDS = [
    "name",
    "display_name",
    "displayName",
    "description",
    "tags",
    "namespace",
    "pipeline",
    "pipeline_version",
    "package_url",
    "pipeline_url",
    "pipeline_id",
    "pipeline_version_id",
    "experiment_id",
    "runtime_config",
    "parameters",
    "pipeline_root",
    "pipeline_spec",
    "platform_spec",
    "service_account",
    "pipeline_version_reference",
    "run_id",
    "scheduled_at",
    "state",
    "state_history",
    "storage_state",
    "plugins_input",
    "plugins_output",
    "recurring_run_id",
    "root",
    "dag",
    "tasks",
    "components",
    "pipelineInfo",
    "schemaVersion",
    "deploymentSpec",
    "executors",
    "inputDefinitions",
    "from_paths",
    "tags",
    "cache",
    "force",
    "run_ids",
    "action",
    "add",
    "remove",
    "entry_ids",
    "pipeline_name",
    "unused_since",
]
WORDS = [
    "root/say",
    "tag",
    "",
    "x",
    UNKNOWN,
    "2026-07-08T10:11:12Z",
    "0000-00-00T00:00:00Z",
    "2.1.0",
    "AVAILABLE",
    "https://github.com/a",
    "\ud800",
    "\0",
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(string.printable + "ü漢", max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8)
WRITES = [
    ("POST", "/pipelines"),
    ("POST", "/pipelines/create"),
    ("POST", "/pipelines/{pipeline}/versions"),
    ("PATCH", "/pipelines/{pipeline}"),
    ("PATCH", "/pipelines/{pipeline}/versions/{version}"),
    ("POST", "/experiments"),
    ("POST", "/runs"),
    ("POST", "/runs/{run}:terminate"),
    ("POST", "/runs/{run}:retry"),
]
OWN_WRITES = [
    ("PATCH", "/runs/{run}"),
    ("POST", "/runs/{run}:stop"),
    ("POST", "/runs/{run}:pause"),
    ("POST", "/runs/{run}:plan"),
    ("POST", "/runs/{run}:again"),
    ("POST", "/runs:bulk"),
    ("POST", "/cache:evict"),
]
LISTS = ["/pipelines", "/pipelines/{pipeline}/versions", "/experiments", "/runs"]
OWN = ["/runs/{run}/tasks", "/runs/{run}/log", "/runs/{run}/events", "/runs/{run}/artifacts", "/artifacts", "/cache", "/runs"]
OWN += ["/runs/{run}/miss", "/runs/{run}/uses"]
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def ids(api: Api) -> dict[str, str]:
    """The ids of things that there are."""
    _, pipeline = api.upload("/pipelines/upload", json.dumps(spec()))
    _, versions = api.get(f"/pipelines/{pipeline['pipeline_id']}/versions")
    _, run = api.post("/runs", {"display_name": "x", "pipeline_spec": spec()})
    version = versions["pipeline_versions"][0]["pipeline_version_id"]
    return {"pipeline": pipeline["pipeline_id"], "version": version, "run": run["run_id"]}


def _check(response: Any) -> None:
    answer = json.loads(response.content)
    assert response.status_code < 500, answer
    if response.status_code >= 400:
        assert isinstance(answer["code"], int) and answer["message"], answer


@pytest.mark.parametrize(("method", "path"), WRITES)
@FEW
@given(body=BODIES | VALUES)
def test_any_body_is_answered(api: Api, ids: dict[str, str], method: str, path: str, body: Any) -> None:
    _check(api.client.generic(method, api.base + path.format(**ids), json.dumps(body), "application/json"))


@pytest.mark.parametrize(("method", "path"), OWN_WRITES)
@FEW
@given(body=BODIES | VALUES | st.fixed_dictionaries({"run_ids": VALUES, "action": SCALARS}))
def test_any_body_is_answered_by_our_own_api(api: Api, ids: dict[str, str], method: str, path: str, body: Any) -> None:
    _check(api.client.generic(method, "/apis/kfdash/v1" + path.format(**ids), json.dumps(body), "application/json"))


@pytest.mark.parametrize("path", LISTS)
@FEW
@given(
    query=st.dictionaries(
        st.sampled_from(["page_size", "page_token", "sort_by", "filter", "namespace", "experiment_id"]), st.text(max_size=20)
    ),
    predicates=st.lists(
        st.dictionaries(
            st.sampled_from(["operation", "key", "string_value", "longValue", "timestamp_value", "string_values", "int_value"]),
            SCALARS
            | st.sampled_from(["EQUALS", "IN", "IS_SUBSTRING", "GREATER_THAN", "name", "created_at", "id", "state", "tags.a"]),
            max_size=3,
        ),
        max_size=2,
    ),
)
def test_any_query_of_a_list_is_answered(
    api: Api, ids: dict[str, str], path: str, query: dict[str, str], predicates: list[Any]
) -> None:
    query.setdefault("filter", json.dumps({"predicates": predicates}))
    text = "&".join(f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in query.items())
    _check(api.client.get(f"{api.base}{path.format(**ids)}?{text}"))


@pytest.mark.parametrize("path", OWN)
@FEW
@given(
    query=st.dictionaries(
        st.sampled_from(["first", "limit", "after", "node", "path", "parent", "run_id", "search", "page_size", "sort_by", "tag"]),
        st.text(max_size=8) | st.integers().map(str),
    )
)
def test_any_query_of_our_own_api_is_answered(api: Api, ids: dict[str, str], path: str, query: dict[str, str]) -> None:
    text = "&".join(f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in query.items())
    _check(api.client.get(f"/apis/kfdash/v1{path.format(**ids)}?{text}"))


@FEW
@given(
    data=st.binary(max_size=300),
    name=st.sampled_from(["a.yaml", "a.zip", "a.tar.gz", "a", "a.json", "..", "/"]),
    tags=st.text(max_size=8),
)
def test_any_upload_is_answered(api: Api, data: bytes, name: str, tags: str) -> None:
    status, answer = api.upload("/pipelines/upload", data, name, tags=tags)
    assert status in (200, 400, 409) and ("pipeline_id" in answer or answer["error_message"])
