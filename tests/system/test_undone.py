"""What administrators are told at home while something is not set up."""

from __future__ import annotations

import pathlib
from datetime import UTC, datetime

import pytest

from kfdash import backup
from kfdash.rights import Right
from runs.models import RetentionRule
from tests.access.people import browser
from tests.django.documents import chain
from tests.django.driving import launched

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def place(settings: object, tmp_path: pathlib.Path, sent: list[tuple]) -> pathlib.Path:
    """People log in, there is a run, and nothing was backed up."""
    settings.AUTH, settings.LOGS_DIR = "accounts", tmp_path  # type: ignore[attr-defined]
    launched(chain(1))
    return tmp_path


def told(client: object) -> str:
    """The page home."""
    return str(client.get("/").content.decode())  # type: ignore[attr-defined]


def test_an_administrator_is_told_until_it_is_done(place: pathlib.Path) -> None:
    client = browser(Right.ADMINISTER)
    assert "no backup is known of and no rule says when runs are removed." in told(client)
    backup.note(place, datetime(2020, 1, 1, tzinfo=UTC))
    assert "the last backup is more than a month old" in told(client)
    backup.note(place)
    assert "Not set up yet: no rule" in told(client)
    RetentionRule.objects.create(what="runs", enabled=True)
    assert "Not set up yet" not in told(client)


def test_who_can_do_nothing_about_it_is_not_told() -> None:
    assert "Not set up yet" not in told(browser(Right.RUN))


def test_an_administrator_may_leave_it_so() -> None:
    client = browser(Right.ADMINISTER)
    assert client.post("/left-so/").status_code == 302
    assert "Not set up yet" not in told(client)
