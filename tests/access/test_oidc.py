"""Somebody whom an OpenID Connect provider knows is let in; an answer that is not the provider's is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from joserfc.jwk import RSAKey

from access import oidc
from access.models import Person
from kfdash.rights import Right
from tests.access.people import HOST, person
from tests.access.provider import Provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider(settings) -> Iterator[Provider]:
    with Provider() as serving:
        settings.AUTH, settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = "oidc", serving.issuer, "kfdash"
        settings.GROUP_RIGHTS = "admins=administer, data=run"
        serving.claims = {"sub": "u-1", "preferred_username": "mary", "email": "mary@example.org", "groups": ["data"]}
        oidc.provider.cache_clear()
        yield serving
    oidc.provider.cache_clear()


def come(provider: Provider, client: Client, wanted: str = "/runs/"):
    """To the provider and back."""
    there = client.post("/login/oidc/", {"next": wanted})
    assert there.status_code == 200, there.content
    return client.get(provider.authorize(there.headers["Refresh"].removeprefix("0; url=")))


def test_who_comes_first_gets_an_account_and_the_right_of_their_group(provider: Provider) -> None:
    client = Client(headers=HOST)
    answer = come(provider, client)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/runs/")
    assert client.get("/runs/").status_code == 200
    found = Person.objects.get(subject="u-1")
    assert (found.user.username, found.right, found.source) == ("mary", Right.RUN, "oidc")


def test_the_groups_decide_at_every_log_in(provider: Provider) -> None:
    come(provider, Client(headers=HOST))
    provider.claims["groups"] = []
    assert come(provider, Client(headers=HOST)).status_code == 403
    assert Person.objects.get(subject="u-1").right == 0


def test_a_name_that_somebody_here_has_is_not_taken_over(provider: Provider) -> None:
    person(Right.ADMINISTER, "mary")
    assert come(provider, Client(headers=HOST)).status_code == 302
    assert sorted(get_user_model().objects.values_list("username", flat=True)) == ["mary", "mary (oidc)"]


@pytest.mark.parametrize("forged", [{"nonce": "another"}, {"aud": "somebody else"}, {"iss": "https://evil.example"}, {"exp": 1}])
def test_claims_for_others_are_refused(provider: Provider, forged: dict) -> None:
    provider.forge = forged
    assert come(provider, Client(headers=HOST)).status_code == 403
    assert not Person.objects.exists()


def test_a_signature_by_another_key_is_refused(provider: Provider) -> None:
    provider.signs_with = RSAKey.generate_key(2048, {"kid": "one"})
    assert come(provider, Client(headers=HOST)).status_code == 403
    assert not Person.objects.exists()


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(provider: Provider) -> None:
    there = Client(headers=HOST).post("/login/oidc/", {"next": "/"})
    assert Client(headers=HOST).get(provider.authorize(there.headers["Refresh"].removeprefix("0; url="))).status_code == 403


def test_nobody_is_sent_to_another_site(provider: Provider) -> None:
    assert come(provider, Client(headers=HOST), "https://evil.example/").headers["Location"] == "/"
