"""A proxy says who somebody is: the header counts from its address alone."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from access.models import Person
from kfdash.rights import Right
from tests.access.people import HOST, browser, person, token

pytestmark = pytest.mark.django_db
API = "/apis/v2beta1/runs"
THERE = "10.1.2.3"


@pytest.fixture(autouse=True)
def behind_a_proxy(settings: Any) -> None:
    settings.AUTH, settings.PROXY_ADDRESSES = "proxy", "10.1.0.0/16"
    settings.PROXY_USER_HEADER, settings.PROXY_GROUPS_HEADER = "X-Auth-User", "X-Auth-Groups"
    settings.GROUP_RIGHTS = "admins=administer, data=run, staff=view"


def come(user: str, groups: str = "staff", address: str = THERE, path: str = API, **more: str) -> Any:
    """What somebody is answered who comes from this address with these headers."""
    headers = {**HOST, "x-auth-user": user, "x-auth-groups": groups, **more}
    return Client(raise_request_exception=False, headers=headers, REMOTE_ADDR=address).get(path)


def test_the_proxys_word_counts_and_its_groups_give_rights() -> None:
    assert come("mary").status_code == 200
    assert come("mary", path="/system/access/").status_code == 403
    assert come("mary", "staff,admins", "::ffff:10.1.2.3", "/system/access/").status_code == 200
    assert Person.objects.get(subject="mary").right == Right.ADMINISTER
    assert come("mary", "others").status_code == 401  # no group of theirs has a right any more
    assert get_user_model().objects.count() == 1


@pytest.mark.parametrize("address", ["10.2.0.1", "127.0.0.1", "::1", "", "::ffff:10.2.0.1", "10.1.2.3, 192.0.2.7"])
def test_a_forged_header_from_elsewhere_makes_nobody_of_anybody(address: str) -> None:
    person(Right.ADMINISTER, "mary")
    assert come("mary", "admins", address).status_code == 401
    assert come("ann", "admins", address, authorization=f"Bearer {token(Right.VIEW)}").status_code == 401
    assert not get_user_model().objects.filter(username="ann").exists()


@pytest.mark.parametrize("name", ["mary,root", "a" * 200, "tab\there", "a\x00b", "a\nb"])
def test_a_header_that_names_not_one_person_is_not_taken(name: str) -> None:
    assert come(name).status_code == 401


def test_a_session_is_not_enough_behind_a_proxy() -> None:
    assert browser(Right.ADMINISTER).get("/runs/").status_code == 302


def test_the_header_is_nothing_where_no_proxy_is_asked(settings: Any) -> None:
    settings.AUTH = "accounts"
    assert come("mary", "admins").status_code == 401
