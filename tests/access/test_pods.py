"""Pods come in by the token of their service account: what the cluster says of it, and what is made of the answer."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from kubernetes.client import ApiException, AuthenticationV1Api
from kubernetes.config import ConfigException

from access import pods
from access.identity import identify, still_good
from access.models import Entry
from access.sockets import _as_request
from kfdash.rights import Right
from tests.access.people import program

pytestmark = pytest.mark.django_db
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
API = "/apis/v2beta1/runs"
AUDIENCE = "pipelines.kubeflow.org"


class Cluster:
    """Answers reviews as an API server does: what it was asked, and the status that it will say."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.status: dict[str, Any] = {}
        self.error: Exception | None = None

    def says(self, username: str, audiences: list[str] | None = None) -> None:
        """The status of a token that is good."""
        user = {"username": username, "uid": "1", "groups": ["system:serviceaccounts", "system:authenticated"]}
        self.status = {"authenticated": True, "user": user, "audiences": [AUDIENCE] if audiences is None else audiences}

    def create_token_review(self, body: dict[str, Any], _request_timeout: Any) -> Any:
        """The real client's call; the answer goes through its own reading of JSON."""
        assert _request_timeout
        self.asked.append(body)
        if self.error:
            raise self.error
        text = json.dumps({**body, "metadata": {}, "status": self.status})
        answer = type("Answer", (), {"data": text})()
        return AuthenticationV1Api().api_client.deserialize(answer, "V1TokenReview")


@pytest.fixture(autouse=True)
def cluster(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cluster, and rights for some of its accounts."""
    settings.AUTH = "accounts"
    settings.SERVICE_ACCOUNTS = "team-a/default=run, team-b/*=view, team-b/boss=administer"
    found = Cluster()
    monkeypatch.setattr(pods.answers, "_client", lambda: found)
    pods.answers.forget()
    yield found
    pods.answers.forget()


def refused() -> str:
    """Why the API does not answer with the token."""
    answer = program(TOKEN).get(API)
    assert answer.status_code == 401, answer.content
    return str(answer.json()["message"])


def test_a_pod_comes_in_by_its_service_account_and_may_what_the_setting_says(cluster: Cluster) -> None:
    cluster.says("system:serviceaccount:team-a:default")
    assert program(TOKEN).get(API).status_code == 200
    assert cluster.asked == [
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": TOKEN, "audiences": [AUDIENCE]},
        }
    ]
    visitor = identify(_as_request({"headers": [(b"authorization", f"Bearer {TOKEN}".encode())]})).visitor
    assert (visitor.name, visitor.right, visitor.by_token) == ("team-a/default", Right.RUN, True)
    assert program(TOKEN).get("/system/access/").status_code == 403


@pytest.mark.parametrize("name, right", [("any", Right.VIEW), ("boss", Right.ADMINISTER)])
def test_of_several_entries_the_highest_right_counts(cluster: Cluster, name: str, right: Right) -> None:
    cluster.says(f"system:serviceaccount:team-b:{name}")
    assert identify(_as_request({"headers": [(b"authorization", f"Bearer {TOKEN}".encode())]})).visitor.right == right


def test_an_answer_is_kept_for_a_while_and_then_asked_for_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.says("system:serviceaccount:team-a:default")
    for _ in range(5):
        assert program(TOKEN).get(API).status_code == 200
    assert len(cluster.asked) == 1
    cluster.status = {"error": "token has been invalidated"}
    later = time.monotonic() + pods.KEPT_FOR
    monkeypatch.setattr(pods.time, "monotonic", lambda: later)
    assert "does not know this token" in refused()


@pytest.mark.parametrize(
    "username, audiences",
    [
        ("system:serviceaccount:team-a:default", ["https://kubernetes.default.svc"]),
        ("system:serviceaccount:team-a:default", []),
        ("system:admin", None),
        ("", None),
    ],
)
def test_tokens_for_others_and_of_others_are_refused(cluster: Cluster, username: str, audiences: list[str] | None) -> None:
    cluster.says(username, audiences)
    assert AUDIENCE in refused()


def test_a_token_that_the_cluster_does_not_know_is_refused(cluster: Cluster) -> None:
    cluster.status = {"authenticated": False, "error": "[invalid bearer token, square/go-jose: error in cryptographic primitive]"}
    assert "does not know this token" in refused()
    refused()
    assert len(cluster.asked) == 1
    cluster.status = {}


def test_an_account_without_a_right_is_told_its_name_and_where_to_give_it(cluster: Cluster) -> None:
    cluster.says("system:serviceaccount:team-c:default")
    assert refused() == "The service account team-c/default has no right here (KFDASH_SERVICE_ACCOUNTS)."


@pytest.mark.parametrize(
    "error, says",
    [
        (ApiException(status=403, reason="Forbidden"), "system:auth-delegator"),
        (ConfigException("no file"), "knows no cluster"),
        (ConnectionRefusedError("refused"), "Try again in a moment"),
    ],
)
def test_where_the_cluster_cannot_be_asked_it_is_said_and_asked_again(cluster: Cluster, error: Exception, says: str) -> None:
    cluster.error = error
    assert says in refused() and TOKEN not in refused()
    cluster.error = None
    cluster.says("system:serviceaccount:team-a:default")
    assert program(TOKEN).get(API).status_code == 200


def test_where_no_account_has_a_right_the_cluster_is_not_asked(cluster: Cluster, settings: Any) -> None:
    settings.SERVICE_ACCOUNTS = ""
    assert "not taken here" in refused() and not cluster.asked


def test_a_pods_socket_stays_while_its_account_has_a_right(cluster: Cluster, settings: Any) -> None:
    cluster.says("system:serviceaccount:team-a:default")
    who = identify(_as_request({"headers": [(b"authorization", f"Bearer {TOKEN}".encode())]}))
    assert still_good([who]) == {("pod", TOKEN)}
    settings.SERVICE_ACCOUNTS = "team-b/*=view"
    assert still_good([who]) == set()


def test_what_a_pod_does_is_recorded_with_the_name_of_its_account(cluster: Cluster, sent: list[tuple]) -> None:
    cluster.says("system:serviceaccount:team-a:default")
    answer = program(TOKEN).post("/apis/v2beta1/experiments", {"display_name": "of a pod"}, "application/json")
    assert answer.status_code == 200
    client = program(TOKEN)
    assert client.delete(f"/apis/v2beta1/experiments/{answer.json()['experiment_id']}").status_code == 200
    assert set(Entry.objects.values_list("by", flat=True)) == {"team-a/default"}


def test_a_pod_has_no_account_to_change(cluster: Cluster) -> None:
    cluster.says("system:serviceaccount:team-b:boss")
    for answer in (program(TOKEN).get("/account/"), program(TOKEN).post("/account/tokens/", {"name": "n"})):
        assert answer.status_code == 403 and "belongs to a person" in answer.content.decode()
