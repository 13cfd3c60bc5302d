"""What a run is given: checks and macros."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from small_pipelines import parsed, pipeline

from pipelines.spec.arguments import check_arguments, expand_macros, go_time
from pipelines.spec.model import PipelineSpec

Json = Any

CREATED = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
PLANNED = datetime(2026, 12, 31, 23, 0, 0, tzinfo=timezone(timedelta(hours=-2)))


def spec() -> PipelineSpec:
    document = pipeline()
    document["root"]["inputDefinitions"] = {
        "parameters": {
            "text": {"parameterType": "STRING"},
            "count": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3, "isOptional": True},
            "rate": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.5},
            "flag": {"parameterType": "BOOLEAN", "isOptional": True},
            "items": {"parameterType": "LIST", "isOptional": True},
            "options": {"parameterType": "STRUCT", "isOptional": True},
            "mode": {"parameterType": "STRING", "isOptional": True, "literals": ["fast", "slow"]},
            "status": {"parameterType": "TASK_FINAL_STATUS"},
            "config": {"parameterType": "TASK_CONFIG"},
        },
        "artifacts": {"data": {"artifactType": {"schemaTitle": "system.Dataset"}}},
    }
    return parsed(document).spec


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": ""},
        {"text": "a", "count": 4.5, "rate": 1, "flag": False, "items": [], "options": {}, "mode": "slow"},
        {"text": "a", "count": None, "flag": None, "mode": None},
    ],
)
def test_arguments_that_fit_are_taken(arguments: Json) -> None:
    assert check_arguments(spec(), arguments) == {}


@pytest.mark.parametrize(
    ("arguments", "name", "sentence"),
    [
        ({}, "text", "`text` is missing"),
        ({"text": None}, "text", "This must be a string, not null."),
        ({"text": 5}, "text", "This must be a string, not a number."),
        ({"count": "3"}, "count", "This must be a number, not a string."),
        ({"count": True}, "count", "This must be a number, not a boolean."),
        ({"rate": None}, "rate", "This must be a number, not null."),
        ({"flag": 1}, "flag", "This must be true or false, not a number."),
        ({"items": {}}, "items", "This must be a list, not an object."),
        ({"options": []}, "options", "This must be an object, not a list."),
        ({"mode": "medium"}, "mode", "This must be one of fast, slow."),
        ({"status": {}}, "status", "set by the system"),
        ({"status": None}, "status", "set by the system"),
        ({"config": {}}, "config", "set by the system"),
        ({"data": "x"}, "data", "`data` is an artifact"),
        ({"nothing": 1}, "nothing", "The pipeline has no input `nothing`."),
        ({"items": ["a\0b"]}, "items", "NUL"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(arguments: Json, name: str, sentence: str) -> None:
    errors = check_arguments(spec(), {"text": "given"} | arguments if arguments else arguments)
    assert sentence in errors[name]
    assert len(errors) == 1


def test_all_errors_come_at_once() -> None:
    assert check_arguments(spec(), {"count": "a", "other": 1}).keys() == {"text", "count", "other"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("[[RunUUID]]", "the-id"),
        ("run [[RunUUID]]/[[RunUUID]]", "run the-id/the-id"),
        ("[[CurrentTime]]", "20260304050607"),
        ("[[ScheduledTime]]", "20270101010000"),
        ("[[Index]]", "7"),
        ("[[CurrentTime.2006-01-02]]", "2026-03-04"),
        ("[[ScheduledTime.Jan _2 15:04:05 2006]]", "Jan  1 01:00:00 2027"),
        ("{{$.currentTime.strftime('%Y/%m/%d %H')}}", "2026/03/04 05"),
        ('{{$.scheduledTime.strftime("%d.%m.%y")}}', "01.01.27"),
        ("{{$.currentTime.strftime('%s')}}", "1772600767"),
        ("{{$.currentTime.strftime('%%s')}}", "%s"),
        ("[[Unknown]] [[ CurrentTime ]] {{$.other}}", "[[Unknown]] [[ CurrentTime ]] {{$.other}}"),
    ],
)
def test_macros_are_replaced_in_texts(text: str, expanded: str) -> None:
    given = {"a": text, "n": 5, "l": [text]}
    found = expand_macros(given, run_id="the-id", created_at=CREATED, scheduled_at=PLANNED, index=7)
    assert found == {"a": expanded, "n": 5, "l": [text]}


def test_a_macro_without_a_value_stays() -> None:
    text = "[[Index]] [[ScheduledTime]] [[ScheduledTime.2006]] {{$.scheduledTime.strftime('%Y')}}"
    assert expand_macros({"a": text}, run_id="x", created_at=CREATED, scheduled_at=None) == {"a": text}


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("Mon Jan 2 15:04:05 MST 2006", "Wed Mar 4 05:06:07 UTC 2026"),
        ("2006-01-02T15:04:05Z07:00", "2026-03-04T05:06:07Z"),
        ("2006-01-02T15:04:05.000-07:00", "2026-03-04T05:06:07.089+00:00"),
        ("05.999999999", "07.089"),
        ("Monday, January 02, 06 03:04 PM", "Wednesday, March 04, 26 05:06 AM"),
        ("3:4pm -0700 002", "5:6am +0000 063"),
        ("20060102150405", "20260304050607"),
        ("no layout", "no layout"),
    ],
)
def test_times_in_the_layouts_of_go(layout: str, expected: str) -> None:
    assert go_time(CREATED, layout) == expected


def test_a_text_made_to_hurt_is_expanded_in_a_moment() -> None:
    text = "{{$.currentTime.strftime('" * 50_000 + "[[CurrentTime." * 50_000
    began = time.process_time()
    expand_macros({"a": text}, run_id="x", created_at=CREATED, scheduled_at=None)
    assert time.process_time() - began < 1
