"""What people are told while the database is away: operators everything, strangers no name, address or path."""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from kfdash.doctor import Finding
from kfdash.system import looks, stand
from kfdash.system.unavailable import OutageMiddleware

SECRET = "The database at db-7.internal:5432 refuses: look at /srv/data."
DISK = "The disk of /srv/data is full."


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = (Finding("database", SECRET, ok=False), Finding("disk space", DISK, ok=False))
    monkeypatch.setattr(stand, "stand", lambda: SimpleNamespace(findings=findings))


def answered(path: str, error: Exception | None = None) -> HttpResponse | None:
    request: HttpRequest = RequestFactory().get(path)
    return OutageMiddleware(lambda _: HttpResponse()).process_exception(request, error or OperationalError("away"))


def test_where_nobody_logs_in_the_page_says_what_system_knows() -> None:
    answer = answered("/runs/")
    assert answer is not None and answer.status_code == 503 and answer["Retry-After"]
    assert "db-7.internal" in answer.content.decode()


def test_strangers_are_told_no_names_addresses_or_paths(settings: Any) -> None:
    settings.AUTH = "accounts"
    answer = answered("/runs/")
    assert answer is not None and answer.status_code == 503
    page = answer.content.decode()
    assert "db-7" not in page and "/srv/data" not in page
    assert "disk is full, or nearly so" in page


def test_clients_of_the_api_get_json() -> None:
    answer = answered("/apis/v2beta1/runs")
    assert answer is not None and answer.status_code == 503
    assert "does not answer" in json.loads(answer.content)["message"] and "db-7" not in answer.content.decode()


def test_where_the_database_answers_nobody_views_are_not_asked(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.AUTH = "accounts"
    monkeypatch.setattr(looks.database, "_asking", threading.Event())
    monkeypatch.setattr(looks.database, "_since", time.monotonic() - 60)
    passed = OutageMiddleware(lambda _: HttpResponse("passed"))
    assert [passed(RequestFactory().get(path)).status_code for path in ("/runs/", "/system/", "/apis/v2beta1/healthz")] == [
        503,
        503,
        200,
    ]
    settings.AUTH = ""
    assert passed(RequestFactory().get("/system/")).status_code == 200  # it says what is wrong


def test_a_database_that_is_only_slow_is_asked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks.database, "_asking", threading.Event())
    monkeypatch.setattr(looks.database, "_since", time.monotonic() - 5)  # longer than anybody waits
    monkeypatch.setattr(looks.database, "_answered", time.monotonic() - 6)
    passed = OutageMiddleware(lambda _: HttpResponse("passed"))
    assert passed(RequestFactory().get("/apis/v2beta1/runs")).status_code == 200


def test_a_mistake_of_our_own_is_left_to_others() -> None:
    assert answered("/runs/", ValueError("wrong")) is None
