"""What people and clients type: filters, page keys and tokens, arguments of a launch. Rows, or a sentence."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction
from django.http import QueryDict
from django.test import Client
from hypothesis import strategies as st

from kfdash import keyset
from pipelines.spec.arguments import check_arguments, expand_macros, go_time
from pipelines.spec.parse import parse_json
from pipelines.spec.storable import unstorable
from pipelines.spec.values import to_text
from runs import filters, models
from tests.fuzz.mutations import VALUES
from tests.fuzz.trying import attempt

Json = Any

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)

# --- the filter bar -------------------------------------------------------------------------------------------------

KEYS = st.sampled_from((*filters.KEYS, "x", "", "STATE", "tag"))
PIECES = st.sampled_from(
    (
        *("failed", "active,failed", ",", "today", "yesterday", "7d", "99999999999999999999d", "12h", ">10m", "<30s", ">", ">="),
        *("2026-03-05", ">2026-03-05", "<=0001-01-01", "9999-12-31", ">9999-12-31T23:59:59-23:59", "<0001-01-01T00:00+23:59"),
        *("0001-01-01", "2026-W10-4", "20260305T10", "٣d", "²d", "v1", "v²", "v99999999999", "#1", "#٣", "#99999999999999999999"),
        *(
            "a=b",
            "=",
            "=b",
            "a=",
            "a__b=c",
            "a__in=c",
            "__",
            "a=b=c",
            "a.b=c",
            'a"b=c',
            "a'b=c",
            "0=x",
            "%=_",
            "\\",
            "(",
            "\0",
            "\ud800",
        ),
        *('"', "'", '"a b"', "a:b:c", "-", "--", "-:", "\n", "\u2028", "x" * 2000),
    )
)
QUERIES = st.lists(
    st.one_of(
        st.builds(
            lambda minus, key, value: f"{minus}{key}:{value}", st.sampled_from(("", "-", "--")), KEYS, PIECES | st.text(max_size=6)
        ),
        PIECES,
        st.text(max_size=6),
    ),
    max_size=4,
).map(" ".join)


def a_filter_filters_or_says_why_not(text: str) -> str:
    """Whatever stands in the filter bar: a query that the database takes, and a sentence where a word means nothing."""
    tokens = filters.parse(text, now=NOW)
    for token in tokens:
        assert bool(token.problem) != (token.condition is not None), token
        filters.parse(token.text, now=NOW)
    with transaction.atomic():
        list(filters.apply(models.Run.objects.all(), tokens)[:2])
    return "with problems" if any(token.problem for token in tokens) else "taken"


# --- keys and tokens of pages ---------------------------------------------------------------------------------------

HEX = "7f3a9c2e1b4d4f0e9c550d2b8e6a1f37"
PAGE_KEYS = st.one_of(
    st.builds(
        lambda micros, rest: f"{micros}.{rest}", st.integers(), st.sampled_from((HEX, "", "x", HEX[:-1], f"{{{HEX}}}", HEX + ".1"))
    ),
    st.sampled_from(("253402300799999999." + HEX, "-62135596800000000." + HEX, "٣." + HEX, "9" * 5000 + "." + HEX, "1_0." + HEX)),
    st.text(max_size=8),
)


def a_page_key_gives_a_page(case: tuple[str, str]) -> None:
    """Whatever stands in an address as the key of a page: a page."""
    query = QueryDict(mutable=True)
    query.update({name: value for name, value in zip(("after", "before"), case, strict=True) if value})
    with transaction.atomic():
        keyset.page(models.Run.objects.all(), query)


LISTS = ("runs", "pipelines", "experiments")
PARTS = st.sampled_from(
    (
        *(None, True, 0, -1, 1 << 70, 1.5, "", "x", [], {}, [[]], ["name", "x"], ["x", True], ["id", True], {"a": 1}, "\ud800"),
        *("2026-01-01T00:00:00+00:00", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-01-01", HEX, "9" * 30, "-1"),
        *("7f3a9c2e-1b4d-4f0e-9c55-0d2b8e6a1f37", [["EQUALS", "name", "x"]], [["EQUALS", "name", 1]], [["IN", "id", ["x"]]]),
        *(
            [["GREATER_THAN", "created_at", "9999-12-31T23:59:59-23:59"]],
            [["EQUALS", "created_at", "x"]],
            [["x"]],
            [["EQUALS"] * 3],
        ),
    )
)
SORTS = st.sampled_from(
    ("created_at", "name", "display_name", "id", "run_id", "state", "finished_at", "scheduled_at", "description")
)
TOKENS = st.one_of(
    st.builds(
        lambda name, sort, value, changes: {
            "list": name,
            "sort": [sort, False],
            "filter": [],
            "value": value,
            "id": HEX,
            "total": 3,
            **changes,
        },
        st.sampled_from((*LISTS, "pipeline_versions", "x")),
        SORTS,
        PARTS,
        st.dictionaries(st.sampled_from(("list", "sort", "filter", "value", "id", "total", "x")), PARTS, max_size=2),
    ).map(lambda token: base64.b64encode(json.dumps(token).encode()).decode()),
    st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode()),
    st.text(max_size=10),
)
ASKED = st.tuples(st.sampled_from(LISTS), TOKENS, st.sampled_from(("", "name", "created_at desc")))


def a_token_gives_a_page_or_a_sentence(case: tuple[str, str, str]) -> str:
    """Whatever is sent as the token of a page: a page, or an error that says so."""
    name, token, sort_by = case
    query = {"page_token": token.encode(errors="replace").decode(), "sort_by": sort_by}
    with transaction.atomic():
        answer = Client(raise_request_exception=True, headers={"Host": "localhost"}).get(f"/apis/v2beta1/{name}", query)
    assert answer.status_code in (200, 400), answer.content
    json.loads(answer.content)
    return str(answer.status_code)


# --- arguments ------------------------------------------------------------------------------------------------------

KINDS = ("STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN", "LIST", "STRUCT")
PIPELINE: dict[str, Json] = {
    "components": {"comp-say": {"executorLabel": "exec-say"}},
    "deploymentSpec": {"executors": {"exec-say": {"container": {"image": "alpine"}}}},
    "pipelineInfo": {"name": "hello"},
    "root": {
        "dag": {"tasks": {"say": {"componentRef": {"name": "comp-say"}, "taskInfo": {"name": "say"}}}},
        "inputDefinitions": {
            "parameters": {
                **{kind.lower(): {"parameterType": kind} for kind in KINDS},
                "optional": {"parameterType": "STRING", "isOptional": True},
                "default": {"parameterType": "LIST", "defaultValue": [1]},
            }
        },
    },
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.0",
}
SPEC = parse_json(PIPELINE).spec
MACROS = st.lists(
    st.sampled_from(
        (
            *(
                "[[RunUUID]]",
                "[[Index]]",
                "[[CurrentTime]]",
                "[[ScheduledTime.2006-01-02]]",
                "[[CurrentTime.",
                "]]",
                "[[",
                "%",
                "%s",
            ),
            *(
                "{{$.currentTime.strftime('",
                "{{$.scheduledTime.strftime('%Y %f %Q %s %%s')}}",
                "')}}",
                "%\ud800",
                "%E",
                "%-d",
                "%\0",
                "é",
            ),
            *("2006", "Jan", ".000", ",999", "_2", "PM", "Z07:00", "a"),
        )
    )
    | st.text(max_size=3),
    max_size=6,
).map("".join)
ARGUMENTS = st.dictionaries(
    st.sampled_from((*SPEC.root.input_parameters, "x", "", "\0")), VALUES | MACROS | st.floats() | st.integers(), max_size=8
)


def arguments_fit_or_each_has_a_sentence(arguments: dict[str, Json]) -> str:
    """Whatever a run is given: a sentence for what does not fit, and what fits can be stored and shown."""
    errors = check_arguments(SPEC, arguments)
    assert all(sentence.rstrip()[-1] in ".…" for sentence in errors.values()), errors
    taken = {name: value for name, value in arguments.items() if name not in errors}
    for index, scheduled in ((None, None), (7, NOW)):
        expanded = expand_macros(taken, run_id="r", created_at=NOW, scheduled_at=scheduled, index=index)
        assert unstorable(expanded) is None, (unstorable(expanded), expanded)
        json.dumps(expanded, allow_nan=False)
        for value in expanded.values():
            to_text(value).encode()
    for value in arguments.values():
        if isinstance(value, str):
            go_time(NOW, value)
    return "with problems" if errors else "taken"


# --- tests ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_whatever_stands_in_the_filter_bar_filters_or_is_said_to_mean_nothing() -> None:
    endings = attempt(QUERIES, a_filter_filters_or_says_why_not, count=300, start=1)
    assert min(endings.values()) > 20, endings


@pytest.mark.django_db
def test_whatever_stands_in_an_address_as_a_page_there_is_a_page() -> None:
    attempt(st.tuples(PAGE_KEYS, PAGE_KEYS), a_page_key_gives_a_page, count=200, start=1)


@pytest.mark.django_db
def test_whatever_is_sent_as_the_token_of_a_page_is_answered() -> None:
    endings = attempt(ASKED, a_token_gives_a_page_or_a_sentence, count=100, start=1)
    assert min(endings["200"], endings["400"]) > 2, endings


def test_whatever_a_run_is_given_fits_or_has_a_sentence() -> None:
    attempt(ARGUMENTS, arguments_fit_or_each_has_a_sentence, count=300, start=1)


def fuzz(count: int, start: int) -> Counter[str]:
    """Many cases; how they ended."""
    return (
        attempt(QUERIES, a_filter_filters_or_says_why_not, count=count // 4, start=start)
        + attempt(ASKED, a_token_gives_a_page_or_a_sentence, count=count // 4, start=start)
        + attempt(st.tuples(PAGE_KEYS, PAGE_KEYS), a_page_key_gives_a_page, count=count // 4, start=start)
        + attempt(ARGUMENTS, arguments_fit_or_each_has_a_sentence, count=count // 4, start=start)
    )
