"""Coming in by a token or by a proxy's word; settings that cannot be; administrators."""

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
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from access import configuration, services
from access.models import Entry, Token
from kfdash import alone
from kfdash.rights import Right
from runs.intake.rights import claims_of
from runs.intake.wire import Refused
from runs.launcher.tokens import Claims, issue
from tests.access.people import PASSWORD, browser, person, program, token
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.django_db
API = "/apis/v2beta1/runs"


@pytest.fixture(autouse=True)
def accounts(settings: Any) -> None:
    """People log in with passwords, which are hashed in no time."""
    settings.AUTH = "accounts"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


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


def test_pages_and_pods_refuse_each_others_tokens(settings: Any) -> None:
    claims = Claims(attempt="a", run_id="r", path="root/one", number=1, expires=int(time.time()) + 60)
    of_attempt = issue(settings.LAUNCHER_KEY, claims)
    assert claims_of(f"Bearer {of_attempt}") == claims
    assert program(of_attempt).get(API).status_code == 401 and program(of_attempt).get("/").status_code == 401
    with pytest.raises(Refused) as refused:
        claims_of(f"Bearer {token(Right.ADMINISTER)}")
    assert refused.value.status == 401


# --- settings ---


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
