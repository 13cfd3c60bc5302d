"""Logging in with a password: what is right, what is wrong, and what much of it costs."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from access import throttle
from access.models import Entry, Failures
from access.services import password_link, set_right, switch_off
from kfdash.rights import Right
from tests.access.people import HOST, PASSWORD, browser, person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def asking(settings) -> None:
    settings.AUTH = "accounts"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def log_in(client: Client, name: str, password: str, wanted: str = ""):
    return client.post("/login/", {"username": name, "password": password, "next": wanted})


def test_a_person_logs_in_is_led_back_and_logs_out() -> None:
    person(Right.VIEW, "ada")
    client = Client(headers=HOST)
    assert client.get("/runs/?q=x").headers["Location"] == "/login/?next=%2Fruns%2F%3Fq%3Dx"
    assert log_in(client, "ada", PASSWORD, "/runs/?q=x").headers["Location"] == "/runs/?q=x"
    assert client.get("/runs/").status_code == 200
    client.post("/logout/")
    assert client.get("/runs/").status_code == 302
    assert set(Entry.objects.values_list("verb", flat=True)) >= {"logged in", "logged out"}


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_led_to_another_site(wanted: str) -> None:
    person(Right.VIEW, "ada")
    assert log_in(Client(headers=HOST), "ada", PASSWORD, wanted).headers["Location"] == "/"


def test_a_wrong_password_and_a_name_that_is_nobodys_are_answered_alike() -> None:
    person(Right.VIEW, "ada")
    wrong, nobody = (log_in(Client(headers=HOST), name, "wrong") for name in ("ada", "eve"))
    assert (wrong.status_code, nobody.status_code) == (200, 200)
    assert b"Name or password is not right." in wrong.content
    assert b"Name or password is not right." in nobody.content


def test_ten_thousand_characters_are_not_looked_at() -> None:
    person(Right.VIEW, "ada")
    answer = log_in(Client(headers=HOST), "a" * 10_000, "b" * 10_000)
    assert answer.status_code == 200 and b"too long" in answer.content and len(answer.content) < 20_000
    assert not Failures.objects.exists()


def test_a_thousand_wrong_passwords_are_answered_and_few_are_looked_at(monkeypatch) -> None:
    person(Right.VIEW, "ada")
    looked = []
    monkeypatch.setattr("access.views.entering.authenticate", lambda request, **given: looked.append(given))
    client = Client(headers=HOST)
    codes = [log_in(client, "ada", f"guess {number}").status_code for number in range(1000)]
    assert len(looked) == throttle.PER_NAME
    assert codes.count(429) == 1000 - throttle.PER_NAME
    assert Entry.objects.filter(verb="failed to log in").count() == throttle.PER_NAME


def test_strangers_do_not_lock_out_a_browser_that_logged_in_before() -> None:
    person(Right.VIEW, "ada")
    known, stranger = Client(headers=HOST), Client(headers=HOST)
    log_in(known, "ada", PASSWORD)
    known.post("/logout/")
    for number in range(50):
        log_in(stranger, "ada", f"guess {number}")
    assert log_in(stranger, "ada", PASSWORD).status_code == 429
    assert log_in(known, "ada", PASSWORD).status_code == 302


def test_a_link_sets_a_password_once() -> None:
    user = person(Right.RUN, "ada")
    link = password_link(user, by="root")
    client = Client(headers=HOST)
    form = client.get(link)
    assert form.status_code == 302 and link.rsplit("/", 2)[1] not in form.headers["Location"]
    new = "another long one 18"
    assert client.post(form.headers["Location"], {"new": new, "again": new}).status_code == 302
    assert client.get("/runs/").status_code == 200
    assert Client(headers=HOST).get(link).status_code == 404
    assert log_in(Client(headers=HOST), "ada", new).status_code == 302


def test_an_account_that_is_switched_off_is_out_at_once() -> None:
    person(Right.ADMINISTER, "root")
    user = person(Right.RUN, "ada")
    client = browser(Right.RUN, user)
    assert client.get("/runs/").status_code == 200
    switch_off(user, by="root")
    assert client.get("/runs/").status_code == 302
    assert log_in(client, "ada", PASSWORD).status_code == 200


def test_somebody_who_may_administer_is_always_left() -> None:
    user = person(Right.ADMINISTER, "root")
    client = browser(Right.ADMINISTER, user)
    client.post(f"/system/access/people/{user.pk}/", {"do": "off"})
    client.post(f"/system/access/people/{user.pk}/", {"do": "right", "right": "1"})
    assert get_user_model().objects.get(pk=user.pk).is_active
    assert client.get("/system/access/").status_code == 200


def test_a_right_that_is_taken_away_is_gone_with_the_next_request() -> None:
    person(Right.ADMINISTER, "root")
    user = person(Right.RUN, "ada")
    client = browser(Right.RUN, user)
    set_right(user, Right.VIEW, by="root")
    assert client.post("/experiments/new/", {"name": "e"}).status_code == 403
    set_right(user, None, by="root")
    assert client.get("/runs/").status_code == 302


def test_a_token_is_made_shown_once_and_taken(django_assert_num_queries) -> None:
    client = browser(Right.RUN)
    answer = client.post("/account/tokens/", {"name": "ci", "right": "1", "days": "30"})
    text = answer.context["made"]
    assert text.encode() in answer.content and text.encode() not in client.get("/account/").content
    program = Client(headers={**HOST, "authorization": f"Bearer {text}"})
    assert program.get("/apis/v2beta1/experiments").status_code == 200
    with django_assert_num_queries(3):  # who asks; the count and the page of the list
        program.get("/apis/v2beta1/pipelines")
    assert program.post("/account/tokens/", {"name": "more", "right": "1", "days": "0"}).status_code == 403
    assert client.post("/account/tokens/", {"name": "more", "right": "3", "days": "0"}).status_code == 422
