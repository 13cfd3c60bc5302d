"""The table of who may do what: every address that there is, for everybody who may come.

It is made from the addresses themselves: one that is added later is closed to strangers, and stands here with what it needs
or this fails.
"""

from __future__ import annotations

import re
import uuid

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from kfdash.rights import PUBLIC, Right, is_api, needed_for
from tests.access.people import HOST, browser, program, token

pytestmark = pytest.mark.django_db

EVERYBODY = {
    "login/",
    "logout/",
    "login/oidc/",
    "login/oidc/back/",
    "password/forgot/",
    "password/<str:key>/<str:token>/",
    "apis/v1beta1/healthz",
    "apis/v2beta1/healthz",
}
ADMINISTRATORS = {
    "left-so/",
    "system/access/",
    "system/access/people/",
    "system/access/people/<int:user_id>/",
    "system/access/tokens/<int:token_id>/revoke/",
}
RULES = re.compile("system/retention/(?!passes/).+|apis/kfdash/v1/retention.*")  # to change
ONLY_READ = {"metrics", "system/"}
OWN = re.compile("account/.*")  # everybody's own
SAMPLES = {"uuid": str(uuid.UUID(int=7)), "int": "7", "str": "seven", "slug": "seven", "path": "seven/eight"}
METHODS = ("GET", "POST", "DELETE")


def addresses(patterns: list, before: str = "", app: str = "") -> list[tuple[str, str, object]]:
    """(route, an address of it, the view) of everything but Django's own pages, which are tried below."""
    found = []
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if pattern.app_name != "admin":
                found += addresses(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            found.append((route, "/" + example(route), pattern.callback))
    return found


def example(route: str) -> str:
    """An address of a route, of something that is not there."""
    text = re.sub(r"<(?:(\w+):)?\w+>", lambda found: SAMPLES.get(found[1] or "str", "seven"), route)
    text = re.sub(r"\(\?P<\w+>(?:[^()]|\([^()]*\))*\)", "seven", text)
    return text.replace("^", "").replace("$", "").replace("\\", "").replace("(?:", "").lstrip("/")


ALL = addresses(get_resolver().url_patterns)


def expected(route: str, method: str) -> int:
    """What somebody needs, said here once more and in another way than in the views."""
    if route in EVERYBODY:
        return PUBLIC
    if route in ADMINISTRATORS:
        return Right.ADMINISTER
    if OWN.fullmatch(route) or route in ONLY_READ:
        return Right.VIEW
    if RULES.fullmatch(route):
        return Right.VIEW if method == "GET" and route.startswith("apis/") else Right.ADMINISTER
    return Right.VIEW if method == "GET" else Right.RUN


def refused(answer: HttpResponse) -> bool:
    """Whether somebody was not let in."""
    to_log_in = answer.status_code == 302 and answer.headers["Location"].startswith("/login/?")
    return answer.status_code in (401, 403) or to_log_in


@pytest.fixture(autouse=True)
def asking(settings, sent) -> None:
    settings.AUTH = "accounts"


@pytest.mark.parametrize("route", sorted({route for route, _, _ in ALL}))
def test_what_every_address_needs_stands_here(route: str) -> None:
    views = [view for found, _, view in ALL if found == route]
    for view in views:
        for method in METHODS:
            if view_takes(view, method):
                assert needed_for(view, method) == expected(route, method), method


def view_takes(view, method: str) -> bool:
    """Whether a view of a class answers such requests; functions are asked all."""
    of_class = getattr(view, "view_class", None) or getattr(view, "cls", None)
    return of_class is None or hasattr(of_class, method.lower())


@pytest.mark.parametrize("who", ["nobody", "expired", "revoked", "forged"])
def test_strangers_are_told_nothing_anywhere(who: str) -> None:
    texts = {
        "expired": lambda: token(Right.ADMINISTER, expired=True),
        "revoked": lambda: token(Right.ADMINISTER, revoked=True),
        "forged": lambda: "kfdash_" + "x" * 43,
    }
    client = program(texts[who]()) if who in texts else Client(raise_request_exception=False, headers=HOST)
    for route, address, _ in ALL:
        if route in EVERYBODY:
            continue
        for method in METHODS:
            answer = client.generic(method, address)
            assert refused(answer), (method, address, answer.status_code)
            assert answer.status_code != 403 or not answer.content, (method, address)
            if is_api(address):
                assert answer.status_code == 401 and answer.json()["code"] == 16, (method, address)
    for address in ("/apis/nothing/here", "/nothing/here", "/admin/", "/admin/login/", "/admin/auth/user/", "/apis/"):
        assert refused(client.get(address)), address


@pytest.mark.parametrize("right", list(Right))
def test_everybody_gets_what_their_right_reaches_and_no_more(right: Right) -> None:
    client = browser(right)
    wrong = []
    for route, address, view in ALL:
        if route in ("logout/", "account/leave/"):  # they end the session that asks
            continue
        for method in METHODS:
            if not view_takes(view, method):
                continue
            answer = client.generic(method, address)
            let_in = not refused(answer)
            if let_in != (right >= expected(route, method)):
                wrong.append((method, address, answer.status_code))
    assert not wrong


@pytest.mark.parametrize("right", list(Right))
def test_a_token_reaches_as_far_as_it_says(right: Right) -> None:
    client = program(token(right))
    assert client.get("/apis/v2beta1/runs").status_code == 200
    assert (client.post("/apis/v2beta1/experiments", {"display_name": "e"}, "application/json").status_code == 200) == (
        right >= Right.RUN
    )
    assert (client.get("/system/access/").status_code == 200) == (right >= Right.ADMINISTER)


@pytest.mark.parametrize("right", list(Right))
def test_djangos_own_pages_are_for_administrators(right: Right) -> None:
    answer = browser(right).get("/admin/")
    assert (answer.status_code == 200) == (right == Right.ADMINISTER)
    assert answer.status_code in (200, 403)


def test_where_nobody_logs_in_everybody_may_do_everything(settings) -> None:
    settings.AUTH = ""
    client = Client(headers=HOST)
    assert client.get("/").status_code == 200
    assert client.post("/apis/v2beta1/experiments", {"display_name": "e"}, "application/json").status_code == 200
