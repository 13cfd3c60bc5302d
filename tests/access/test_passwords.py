"""Coming in by a password or a link, and what guessing costs the one who guesses."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from access import letters, services, throttle
from access.models import Entry, Session
from kfdash.rights import Right
from tests.access.people import HOST, PASSWORD, browser, person

pytestmark = pytest.mark.django_db
API = "/apis/v2beta1/runs"


@pytest.fixture(autouse=True)
def accounts(settings: Any) -> None:
    """People log in with passwords, which are hashed in no time."""
    settings.AUTH = "accounts"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names whose password was looked at, which is what costs."""
    names: list[str] = []
    monkeypatch.setattr("access.views.entering.authenticate", lambda request, username, password: names.append(username))
    return names


def stranger(**more: Any) -> Client:
    """A browser that nobody logged in with."""
    return Client(raise_request_exception=False, headers=HOST, **more)


def log_in(client: Client, name: str, password: str = PASSWORD, **more: Any) -> Any:
    """What the page to log in answers to a name and a password."""
    headers = {"REMOTE_ADDR": more.pop("address")} if "address" in more else {}
    return client.post("/login/", {"username": name, "password": password, **more}, **headers)


# --- passwords ---


def test_one_logs_in_is_known_and_logs_out() -> None:
    person(Right.RUN, "ann")
    client = stranger()
    before = client.cookies.get("kfdash_session")
    answer = log_in(client, "ann")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    cookie = client.cookies["kfdash_session"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and cookie is not before
    assert client.get("/account/").status_code == 200
    kept = cookie.value
    assert client.post("/logout/")["Location"] == "/login/"
    client.cookies["kfdash_session"] = kept  # of a thief: the row is gone, not the cookie alone
    assert client.get("/account/").status_code == 302
    assert list(Entry.objects.filter(by="ann").order_by("id").values_list("verb", flat=True)) == ["logged in", "logged out"]


def test_logging_in_begins_a_new_session() -> None:
    """One that somebody had before, or was given by another, does not become theirs."""
    person(Right.VIEW, "ann")
    client = browser(Right.RUN)
    first = client.cookies["kfdash_session"].value
    log_in(client, "ann")
    assert not Session.objects.filter(pk=first).exists()
    assert client.cookies["kfdash_session"].value != first


@pytest.mark.parametrize("name, password", [("ann", "wrong"), ("nobody", PASSWORD), ("ann", ""), ("", PASSWORD)])
def test_what_is_wrong_lets_nobody_in_and_a_name_that_is_nobodys_is_told_like_any_other(name: str, password: str) -> None:
    person(Right.VIEW, "ann")
    client = stranger()
    answer = log_in(client, name, password)
    assert answer.status_code == 200 and client.get("/").status_code == 302
    if name and password:
        assert "Name or password is not right." in answer.content.decode()


def test_whoever_is_switched_off_or_has_no_right_comes_in_no_more(settings: Any) -> None:
    person(Right.ADMINISTER, "owner")
    user = person(Right.RUN, "ann")
    client = browser(Right.RUN, user)
    assert client.get("/").status_code == 200
    services.set_right(user, None, by="owner")
    assert client.get("/").status_code == 302
    assert "no right" in log_in(stranger(), "ann").content.decode()
    services.set_right(user, Right.VIEW, by="owner")
    services.switch_off(user, by="owner")
    assert not Session.objects.filter(user=user).exists()
    assert client.get("/").status_code == 302 and log_in(stranger(), "ann").status_code == 200


def test_a_new_password_logs_other_browsers_out() -> None:
    user = person(Right.RUN, "ann")
    here, elsewhere = browser(Right.RUN, user), browser(Right.RUN, user)
    new = "quite another 42"
    wrong = here.post("/account/password/", {"old": "no", "new": new, "again": new})
    assert wrong.status_code == 422 and "not the password so far" in wrong.content.decode()
    assert here.post("/account/password/", {"old": PASSWORD, "new": new, "again": new}).status_code == 302
    assert here.get("/account/").status_code == 200
    assert elsewhere.get("/account/").status_code == 302
    assert log_in(stranger(), "ann", new).status_code == 302


def test_a_form_without_its_secret_is_not_taken() -> None:
    person(Right.VIEW, "ann")
    answer = log_in(stranger(enforce_csrf_checks=True), "ann")
    assert answer.status_code == 403 and "not taken" in answer.content.decode()


@pytest.mark.parametrize(
    "wanted, leads",
    [
        ("/runs/?state=FAILED", "/runs/?state=FAILED"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/%09/evil.example", "/%09/evil.example"),
        ("/\t/evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("runs/", "/"),
        ("/" + "x" * 3000, "/"),
    ],
)
def test_logging_in_leads_to_pages_of_this_site_alone(wanted: str, leads: str) -> None:
    person(Right.VIEW, "ann")
    client = stranger()
    assert log_in(client, "ann", next=wanted)["Location"] == leads
    assert client.get("/login/", {"next": wanted})["Location"] == leads


def test_a_stranger_is_led_back_to_where_they_wanted_to_go() -> None:
    assert stranger().get("/runs/?q=a b")["Location"] == "/login/?next=%2Fruns%2F%3Fq%3Da%2520b"


# --- links to set a password ---


def set_by(client: Client, link: str, password: str = "quite another 42") -> Any:
    """What the page behind a link answers to a new password."""
    page = client.get(link, follow=True)
    if page.status_code != 200:
        return page
    return client.post(page.redirect_chain[-1][0], {"new": password, "again": password})


def test_a_link_sets_a_password_once_and_leaves_the_address_bar() -> None:
    user = person(Right.RUN, "ann")
    link = services.password_link(user, by="owner")
    client = stranger()
    assert client.get(link)["Location"].endswith("/new/")
    assert set_by(client, link).status_code == 302
    assert client.get("/").status_code == 200
    again = set_by(stranger(), link)
    assert again.status_code == 404 and "not good any more" in again.content.decode()
    assert log_in(stranger(), "ann", "quite another 42").status_code == 302


def test_a_link_that_is_a_day_old_or_made_up_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    user = person(Right.RUN, "ann")
    link = services.password_link(user, by="owner")
    assert stranger().get(link[:-2] + "x/").status_code == 404
    for made_up in ("/password/MQ/new/", "/password/!!!/x/", "/password/LTE/x/", f"/password/{'9' * 400}/x/"):
        assert stranger().get(made_up).status_code == 404
    later = timezone.localtime().replace(tzinfo=None) + timedelta(hours=25)
    monkeypatch.setattr("access.views.entering.default_token_generator._now", lambda: later)
    assert stranger().get(link, follow=True).status_code == 404


def test_a_password_that_is_easy_to_guess_is_refused_with_the_reason() -> None:
    user = person(Right.RUN, "ann")
    link = services.password_link(user, by="owner")
    for password, reason in (("short 1", "at least 10 characters"), ("password123", "too common"), ("1234509876123", "numeric")):
        assert reason in set_by(stranger(), link, password).content.decode()


def test_the_letter_goes_to_who_has_the_address_and_the_page_tells_nobody_whether_somebody_has(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_URL = "smtp://mail.example"
    monkeypatch.setattr(letters, "send_password_link", lambda email, origin: letters._Letter(origin).send(email))
    services.add_person(name="ann", right=Right.RUN, email="ann@example.org", password=PASSWORD, by="owner")
    said = [stranger().post("/password/forgot/", {"email": f"{name}@example.org"}).content.decode() for name in ("ann", "bob")]
    assert said[0].replace("ann@", "bob@") == said[1]
    assert [letter.to for letter in mail.outbox] == [["ann@example.org"]]
    link = re.search(r"https?://[^/]+(/password/\S+)", str(mail.outbox[0].body))
    assert link and set_by(stranger(), link[1]).status_code == 302
    for _ in range(3):
        last = stranger().post("/password/forgot/", {"email": "ann@example.org"})
    assert "Too many letters" in last.content.decode() and len(mail.outbox) == 3


# --- guessing ---


def test_a_thousand_wrong_passwords_are_looked_at_ten_times_and_cost_little(looked_at: list[str]) -> None:
    person(Right.ADMINISTER, "ann")
    client = stranger()
    began = time.process_time()
    answers = [log_in(client, "ann", f"wrong {number}").status_code for number in range(1000)]
    assert time.process_time() - began < 20  # seconds
    assert answers.count(200) == throttle.PER_NAME == len(looked_at) and answers.count(429) == 990
    assert Entry.objects.filter(verb="may not try for now").count() == 2  # for the name, and for the address
    assert Entry.objects.count() < 15  # nobody fills the log by guessing


def test_many_names_from_one_address_and_one_name_from_many_addresses_are_bounded(looked_at: list[str]) -> None:
    for number in range(40):
        log_in(stranger(), f"name {number}", "wrong", address="192.0.2.1")
    assert len(looked_at) == throttle.PER_ADDRESS
    looked_at.clear()
    for number in range(20):
        log_in(stranger(), "ann", "wrong", address=f"192.0.2.{100 + number}")
    assert len(looked_at) == throttle.PER_NAME


def test_strangers_do_not_lock_out_a_browser_that_was_logged_in_before() -> None:
    person(Right.RUN, "ann")
    known = stranger()
    log_in(known, "ann")
    known.post("/logout/")
    for number in range(15):
        log_in(stranger(), "ann", "wrong", address=f"192.0.2.{number}")
    assert log_in(stranger(), "ann", address="192.0.2.200").status_code == 429
    assert log_in(known, "ann").status_code == 302
    forged = stranger()
    forged.cookies[throttle.COOKIE] = known.cookies[throttle.COOKIE].value[:-3] + "xyz"
    assert log_in(forged, "ann", address="192.0.2.201").status_code == 429


def test_a_known_browser_guesses_no_more_than_others() -> None:
    person(Right.RUN, "ann")
    known = stranger()
    log_in(known, "ann")
    known.post("/logout/")
    for _ in range(throttle.PER_NAME):
        log_in(known, "ann", "wrong")
    assert log_in(known, "ann").status_code == 429


def test_wrong_passwords_are_forgotten_after_five_minutes(looked_at: list[str]) -> None:
    for _ in range(15):
        log_in(stranger(), "ann", "wrong")
    throttle.Failures.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert log_in(stranger(), "ann", "wrong").status_code == 200


@pytest.mark.parametrize("field", ["username", "password"])
def test_ten_thousand_characters_are_refused_without_being_looked_at(looked_at: list[str], field: str) -> None:
    given = {"username": "ann", "password": "p", field: "x" * 10_000}
    answer = stranger().post("/login/", given)
    assert "too long" in answer.content.decode() and len(answer.content) < 20_000
    assert not looked_at and not Entry.objects.exists()


def test_no_more_passwords_are_hashed_at_once_than_processors_can_bear(monkeypatch: pytest.MonkeyPatch) -> None:
    person(Right.RUN, "ann")
    monkeypatch.setattr(throttle, "_WAIT", 0.01)
    with throttle._AT_ONCE, throttle._AT_ONCE:
        assert log_in(stranger(), "ann").status_code == 429
    assert log_in(stranger(), "ann").status_code == 302
