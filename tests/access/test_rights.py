"""A right counts from the next request; a token is taken at the cost of one statement."""

from __future__ import annotations

import pytest
from django.test import Client

from access.services import set_right
from kfdash.rights import Right
from tests.access.people import HOST, browser, person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def asking(settings) -> None:
    settings.AUTH = "accounts"


def test_a_right_that_is_taken_away_is_gone_with_the_next_request() -> None:
    person(Right.ADMINISTER, "root")
    user = person(Right.RUN, "ada")
    client = browser(Right.RUN, user)
    set_right(user, Right.VIEW, by="root")
    assert client.post("/experiments/new/", {"name": "e"}).status_code == 403
    set_right(user, None, by="root")
    assert client.get("/runs/").status_code == 302


def test_a_token_is_made_shown_once_and_taken(django_assert_max_num_queries) -> None:
    client = browser(Right.RUN)
    answer = client.post("/account/tokens/", {"name": "ci", "right": "1", "days": "30"})
    text = answer.context["made"]
    assert text.encode() in answer.content and text.encode() not in client.get("/account/").content
    program = Client(headers={**HOST, "authorization": f"Bearer {text}"})
    assert program.get("/apis/v2beta1/experiments").status_code == 200
    with django_assert_max_num_queries(3):  # who asks, and the page of the list; how many there are where it does not tell
        program.get("/apis/v2beta1/pipelines")
    assert program.post("/account/tokens/", {"name": "more", "right": "1", "days": "0"}).status_code == 403
    assert client.post("/account/tokens/", {"name": "more", "right": "3", "days": "0"}).status_code == 422
