"""Coming in: passwords, links, tokens, a proxy's word; and what guessing costs the one who guesses."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone

from access import configuration, letters, services, throttle
from access.models import Entry, Person, Session, Token
from kfdash import alone
from kfdash.rights import Right
from tests.access.people import HOST, PASSWORD, browser, person, program, token
from tests.conftest import REPOSITORY

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


# --- tokens ---


def test_a_token_is_shown_once_and_only_its_hash_is_kept() -> None:
    client = browser(Right.RUN)
    page = client.post("/account/tokens/", {"name": "nightly", "right": "2", "days": "90"}).content.decode()
    found = re.search(r"kfdash_[\w-]{43}", page)
    assert found
    text = found[0]
    assert text not in client.get("/account/").content.decode()
    row = Token.objects.get()
    assert row.digest == hashlib.sha256(text.encode()).hexdigest()
    assert text not in str(Token.objects.values().get()) and text not in str(list(Entry.objects.values()))
    assert timedelta(days=89) < row.expires_at - timezone.now() < timedelta(days=91)
    assert program(text).get(API).status_code == 200


def test_a_token_may_no_more_than_who_made_it_then_and_now() -> None:
    owner, user = person(Right.ADMINISTER, "owner"), person(Right.RUN, "ann")
    client = browser(Right.RUN, user)
    assert client.post("/account/tokens/", {"name": "n", "right": "3", "days": "30"}).status_code == 422
    text = services.make_token(user, name="n", right=Right.RUN, expires_at=None, by="ann")
    made = {"display_name": "e"}
    assert program(text).post("/apis/v2beta1/experiments", made, "application/json").status_code == 200
    services.set_right(user, Right.VIEW, by=owner.get_username())
    refused = program(text).post("/apis/v2beta1/experiments", made, "application/json")
    assert refused.status_code == 403 and "ann may view only" in refused.json()["message"]


def test_a_token_ends_when_it_expires_is_revoked_or_its_owner_is_switched_off() -> None:
    assert program(token(Right.RUN, expired=True)).get(API).status_code == 401
    text = token(Right.RUN)
    assert program(text).get(API).status_code == 200
    browser(Right.ADMINISTER, get_user_model().objects.get(username="owner")).post(
        f"/account/tokens/{Token.objects.latest('pk').pk}/revoke/"
    )
    answer = program(text).get(API)
    assert answer.status_code == 401 and "revoked" in answer.json()["message"]
    assert answer["WWW-Authenticate"] == "Bearer"
    user = person(Right.RUN, "ann")
    text = services.make_token(user, name="n", right=Right.RUN, expires_at=None, by="ann")
    services.switch_off(user, by="owner")
    assert program(text).get(API).status_code == 401


def test_a_token_changes_nothing_that_belongs_to_the_person() -> None:
    client = program(token(Right.ADMINISTER))
    assert client.post("/account/tokens/", {"name": "n", "right": "3", "days": "0"}).status_code == 403
    assert client.post("/account/password/", {"old": PASSWORD, "new": "x" * 12, "again": "x" * 12}).status_code == 403
    assert Token.objects.count() == 1


def test_nobody_revokes_the_token_of_somebody_else() -> None:
    token(Right.RUN)
    assert browser(Right.RUN).post(f"/account/tokens/{Token.objects.get().pk}/revoke/").status_code == 404


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "Bearer ünï", "Bearer " + "x" * 9000, "Bearer kfdash_"])
def test_what_is_no_token_is_refused_even_beside_a_session(header: str) -> None:
    client = browser(Right.ADMINISTER)
    assert client.get(API, headers={"authorization": header}).status_code == 401


def test_when_a_token_was_used_is_known_to_the_minute_without_a_write_each_time(django_assert_num_queries: Any) -> None:
    client = program(token(Right.VIEW))
    client.get(API)
    first = Token.objects.get().last_used_at
    client.get(API)
    assert first and Token.objects.get().last_used_at == first


# --- behind a proxy ---


@pytest.fixture
def proxy(settings: Any) -> None:
    """A proxy at 10.0.0.0/8 says who somebody is."""
    settings.AUTH, settings.PROXY_ADDRESSES = "proxy", "10.0.0.0/8"
    settings.PROXY_USER_HEADER, settings.PROXY_GROUPS_HEADER = "X-Remote-User", "X-Remote-Groups"
    settings.GROUP_RIGHTS = "admins=administer, data=run"


def through(address: str, name: str = "ann", groups: str = "data") -> Any:
    """What the page of the account answers through a proxy at this address."""
    headers = {**HOST, "x-remote-user": name, "x-remote-groups": groups}
    return Client(raise_request_exception=False, headers=headers).get("/account/", REMOTE_ADDR=address)


@pytest.mark.usefixtures("proxy")
def test_the_proxys_header_is_believed_from_the_proxy_and_its_groups_give_rights() -> None:
    assert through("10.1.2.3").status_code == 200
    assert Person.objects.get(subject="ann").right == Right.RUN
    assert through("::ffff:10.1.2.3", groups="other,admins").status_code == 200
    assert Person.objects.get(subject="ann").right == Right.ADMINISTER
    assert through("10.1.2.3", groups="other").status_code == 302  # no group of theirs has a right any more
    assert get_user_model().objects.count() == 1


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("address", ["192.0.2.7", "127.0.0.1", "::1", "", "10.1.2.3, 192.0.2.7"])
def test_a_forged_header_makes_nobody_of_anybody(address: str) -> None:
    assert through(address).status_code == 302
    assert not get_user_model().objects.exists()
    text = token(Right.VIEW)
    forged = Client(raise_request_exception=False, headers={**HOST, "x-remote-user": "ann", "authorization": f"Bearer {text}"})
    assert forged.get(API, REMOTE_ADDR=address).status_code == 401


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize("name", ["ann,root", "x" * 200, "a\x00b", "a\nb"])
def test_a_header_that_names_nobody_or_several_is_refused(name: str) -> None:
    assert through("10.1.2.3", name).status_code == 302


def test_the_header_is_nothing_where_no_proxy_is_asked(settings: Any) -> None:
    settings.PROXY_USER_HEADER, settings.PROXY_ADDRESSES = "X-Remote-User", "10.0.0.0/8"
    assert through("10.1.2.3").status_code == 302


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("AUTH", "acounts", "it may be accounts, "),
        ("AUTH", "proxy", "KFDASH_PROXY_USER_HEADER"),
        ("GROUP_RIGHTS", "admins=root", "one of view, run, administer"),
        ("SERVICE_ACCOUNTS", "default=run", "namespace/name"),
        ("PROXY_ADDRESSES", "10.0.0.1/xy", "Write addresses or networks"),
    ],
)
def test_settings_that_cannot_be_are_said_at_the_start(settings: Any, name: str, value: str, says: str) -> None:
    setattr(settings, name, value)
    with pytest.raises(ImproperlyConfigured, match=re.escape(says)):
        configuration.check()


# --- administrators ---


def test_the_first_administrator_is_made_once_and_keeps_password_and_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KFDASH_ADMIN_USER", "root")
    monkeypatch.setenv("KFDASH_ADMIN_PASSWORD", PASSWORD)
    assert alone.create_administrator() == 0
    monkeypatch.setenv("KFDASH_ADMIN_PASSWORD", "quite another 42")
    assert alone.create_administrator() == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "The account 'root' is made; it may administer.",
        "The account 'root' is there.",
    ]
    user = get_user_model().objects.get()
    assert user.check_password(PASSWORD) and user.person.right == Right.ADMINISTER


def test_an_administrator_with_a_password_that_is_easy_to_guess_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(services.NotPossible, match="too short"):
        services.ensure_administrator(name="root", password="short")
    assert not get_user_model().objects.exists()


@pytest.mark.parametrize("given", [{"do": "off"}, {"do": "right", "right": "2"}, {"do": "right", "right": ""}])
def test_the_last_administrator_cannot_be_taken_away(given: dict[str, str]) -> None:
    user = person(Right.ADMINISTER, "root")
    client = browser(Right.ADMINISTER, user)
    answer = client.post(f"/system/access/people/{user.pk}/", given, follow=True)
    assert "Nobody would be left who may administer" in answer.content.decode()
    assert client.get("/system/access/").status_code == 200
    other = person(Right.ADMINISTER, "other")
    client.post(f"/system/access/people/{user.pk}/", given)
    assert client.get("/system/access/").status_code in (302, 403)
    assert browser(Right.ADMINISTER, other).get("/system/access/").status_code == 200


def test_djangos_check_for_deployments_finds_nothing_behind_tls(tmp_path: Any) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("KFDASH_", "DJANGO_"))}
    asked = {"KFDASH_AUTH": "accounts", "KFDASH_PUBLIC_URL": "https://kfdash.example.org", "KFDASH_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "INFO"],
        capture_output=True,
        text=True,
        env={**own, **asked},
        cwd=REPOSITORY,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no issues" in done.stdout
