"""Threads of one script that make the same experiment at the same moment."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.django_db

_LOOK_UP = json.dumps({"predicates": [{"operation": 1, "key": "display_name", "stringValue": "nightly"}]})


def _create(api: Any) -> tuple[int, Any]:
    return api.post("/experiments", {"display_name": "nightly"})


def test_two_clients_that_both_found_none_get_the_same_experiment(api: Any) -> None:
    for _ in range(2):
        assert api.get("/experiments", filter=_LOOK_UP) == (200, {})
    first, second = _create(api), _create(api)
    assert first == second and first[0] == 200


def test_a_second_creation_without_a_look_up_is_refused(api: Any) -> None:
    assert _create(api)[0] == 200
    status, answer = _create(api)
    assert status == 409 and "Specify a new name" in answer["message"]


def test_a_look_up_is_good_for_one_creation(api: Any) -> None:
    api.get("/experiments", filter=_LOOK_UP)
    assert [_create(api)[0] for _ in range(3)] == [200, 409, 409]
