"""Result documents: what is written is read, and what others write is not trusted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.engine.model import AttemptFailed, AttemptLost, AttemptStopped, AttemptSucceeded, Values
from runs.execution.facts import fact_of
from runs.execution.result import InvalidResult, Result, ResultState, to_microseconds, to_time

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
FINISHED = to_microseconds(AT)
ARTIFACT = {
    "id": 0,
    "name": "a",
    "uri": "minio://kfdash/x",
    "type": "system.Model",
    "schema_version": "0.0.1",
    "metadata": {"k": 1},
    "custom_path": "",
}

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
results = st.builds(
    Result,
    attempt=texts,
    state=st.sampled_from(get_args(ResultState)),
    times=st.fixed_dictionaries(
        {"finished": st.integers(0, 2**50)}, optional={name: st.integers(0, 2**50) for name in ("queued", "running", "collecting")}
    ),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    reason=texts,
    retryable=st.booleans(),
    peak_memory=st.none() | st.integers(0, 2**63 - 1),
    outputs=st.builds(
        Values,
        st.dictionaries(texts, json_values, max_size=3),
        st.just({"a": [ARTIFACT]}),
    ),
)


@given(results)
def test_a_result_is_read_as_it_was_written(result: Result) -> None:
    assert Result.from_text(result.to_text()) == result
    assert Result.from_text(result.to_text().encode()) == result


def test_times_are_exact_to_the_microsecond() -> None:
    assert to_time(to_microseconds(AT)) == AT


def document(**changes: Any) -> dict[str, Any]:
    return {"attempt": "a-1", "state": "succeeded", "times": {"finished": FINISHED}} | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "happy"}, "unknown state"),
        ({"times": {}}, "does not say when"),
        ({"times": {"finished": True}}, "wrong time"),
        ({"times": {"finished": -1}}, "wrong time"),
        ({"times": {"finished": 10**30}}, "wrong time"),
        ({"times": {"finished": FINISHED, "lunch": 1}}, "wrong time 'lunch'"),
        ({"exitCode": "0"}, "'exitCode' is of the wrong kind"),
        ({"exitCode": False}, "'exitCode' is of the wrong kind"),
        ({"peakMemory": 1.5}, "'peakMemory' is of the wrong kind"),
        ({"reason": None}, "'reason' is of the wrong kind"),
        ({"more": 1}, "unknown field 'more'"),
        ({"outputs": {"x": {}}}, "outputs are not"),
        ({"outputs": {"parameters": []}}, "outputs are not"),
        ({"outputs": {"artifacts": {"a": {}}}}, "'a' is not a list"),
        ({"outputs": {"artifacts": {"a": [{}]}}}, "'a' has not the fields"),
        ({"outputs": {"artifacts": {"a": [{**ARTIFACT, "uri": None}]}}}, "'a' has a wrong 'uri'"),
        ({"outputs": {"artifacts": {"a": [{**ARTIFACT, "id": 5}]}}}, "only the driver"),
    ],
)
def test_a_document_that_breaks_the_rules_says_where(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidResult, match=words):
        Result.from_text(json.dumps(document(**changes)))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"attempt": NaN}', "{}"])
def test_what_is_no_result_document_is_refused(text: str) -> None:
    with pytest.raises(InvalidResult):
        Result.from_text(text)


def test_success_is_a_fact_with_outputs_and_times() -> None:
    result = Result(
        "a-1", "succeeded", {"running": FINISHED - 5, "collecting": FINISHED - 1, "finished": FINISHED}, exit_code=0, peak_memory=7
    )
    fact = fact_of(result, "root/a", 1)
    assert fact == AttemptSucceeded("root/a", 1, AT, Values(), 7, to_time(FINISHED - 5), to_time(FINISHED - 1))


def test_failure_is_a_fact_with_reason_and_cause() -> None:
    result = Result("a-1", "failed", {"finished": FINISHED}, exit_code=3, reason="It broke.", cause="timeout", retryable=False)
    assert fact_of(result, "root/a", 2) == AttemptFailed("root/a", 2, AT, "It broke.", "timeout", 3, False)


def test_a_failure_always_has_a_reason() -> None:
    fact = fact_of(Result("a-1", "failed", {"finished": FINISHED}), "root/a", 1)
    assert isinstance(fact, AttemptFailed)
    assert fact.reason and fact.cause == "exit-code"


def test_stopped_and_lost_are_facts() -> None:
    assert fact_of(Result("a", "stopped", {"finished": FINISHED}, exit_code=143), "root/a", 1) == AttemptStopped(
        "root/a", 1, AT, 143
    )
    assert fact_of(Result("a", "lost", {"finished": FINISHED}, reason="Gone."), "root/a", 1) == AttemptLost(
        "root/a", 1, AT, "Gone."
    )


@pytest.mark.parametrize(
    "value", ["a\0b", "\ud800", 10**400, [[{"x": "\0"}]]], ids=["NUL", "half a character", "too large", "inside"]
)
def test_values_that_no_database_takes_are_refused(value: Any) -> None:
    text = json.dumps({"attempt": "a", "state": "succeeded", "times": {"finished": 1}, "outputs": {"parameters": {"x": value}}})
    with pytest.raises(InvalidResult, match="cannot be kept"):
        Result.from_text(text)


def test_a_reason_with_what_no_database_takes_is_kept_without_it() -> None:
    text = json.dumps({"attempt": "a", "state": "failed", "times": {"finished": 1}, "reason": "no\0 such \ud800", "exitCode": 1})
    assert Result.from_text(text).reason == "no\ufffd such ?"


@pytest.mark.parametrize("field", ["exitCode", "signal", "peakMemory"])
def test_numbers_that_have_no_place_in_a_row_are_refused(field: str) -> None:
    text = json.dumps({"attempt": "a", "state": "failed", "times": {"finished": 1}, field: 2**63})
    with pytest.raises(InvalidResult, match=f"'{field}' is too large a number"):
        Result.from_text(text)
