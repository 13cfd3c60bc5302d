"""A proxy says who somebody is: the header counts from its address alone."""

from __future__ import annotations

import pytest
from django.test import Client

from kfdash.rights import Right
from tests.access.people import HOST, browser, person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def behind_a_proxy(settings) -> None:
    settings.AUTH = "proxy"
    settings.PROXY_USER_HEADER, settings.PROXY_GROUPS_HEADER = "X-Auth-User", "X-Auth-Groups"
    settings.PROXY_ADDRESSES = "10.1.0.0/16"
    settings.GROUP_RIGHTS = "admins=administer, data=run, staff=view"


def come(user: str, groups: str = "staff", address: str = "10.1.2.3", path: str = "/apis/v2beta1/runs"):
    return Client(headers={**HOST, "x-auth-user": user, "x-auth-groups": groups}, REMOTE_ADDR=address).get(path)


def test_the_proxys_word_counts() -> None:
    assert come("mary").status_code == 200
    assert come("mary", path="/system/access/").status_code == 403
    assert come("mary", "staff,admins", path="/system/access/").status_code == 200


@pytest.mark.parametrize("address", ["10.2.0.1", "127.0.0.1", "", "::ffff:10.2.0.1"])
def test_a_forged_header_from_elsewhere_is_not_believed(address: str) -> None:
    person(Right.ADMINISTER, "mary")
    assert come("mary", "admins", address).status_code == 401


@pytest.mark.parametrize("name", ["mary,root", "a" * 200, "tab\there"])
def test_a_header_that_names_not_one_person_is_not_taken(name: str) -> None:
    assert come(name).status_code == 401


def test_groups_without_a_right_let_nobody_in() -> None:
    assert come("mary", "others").status_code == 401


def test_a_session_is_not_enough_behind_a_proxy() -> None:
    assert browser(Right.ADMINISTER).get("/runs/").status_code == 302
