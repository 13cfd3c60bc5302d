"""How values become text, fit their types, and how placeholders in constants are replaced."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.spec import values
from pipelines.spec.constants import run_constants
from pipelines.spec.model import ParameterType

PRESENT = {"x": "3", "s": 'it\'s "fine"', "tricky": "{{$.inputs.parameters['x']}}"}
CONSTANTS = {"{{$.pipeline_job_name}}": "my run", "{{$.workspace_path}}": "/kfp-workspace"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as is\n", "as is\n"),
        (3, "3"),
        (3.0, "3"),
        (2.5, "2.5"),
        (1234567.5, "1234567.5"),
        (0.00001234, "0.00001234"),
        (1e21, "1000000000000000000000"),
        (-0.5, "-0.5"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        (["a", "b"], '["a","b"]'),
        ({"b": 1.0, "a": "<"}, '{"a":"\\u003c","b":1}'),
        ({"ü": ["&", ">"]}, '{"ü":["\\u0026","\\u003e"]}'),
        ([], "[]"),
    ],
)
def test_values_become_text_as_kfp_shows_them(value: object, text: str) -> None:
    assert values.to_text(value) == text


@pytest.mark.parametrize(
    ("type", "good", "bad"),
    [
        ("NUMBER_INTEGER", [1, 1.5], ["1", True, None, []]),
        ("NUMBER_DOUBLE", [1, 1.5], ["1", False, {}]),
        ("STRING", ["", "1"], [1, None, True]),
        ("BOOLEAN", [True, False], [0, "true", None]),
        ("LIST", [[], [1]], ["[]", {}]),
        ("STRUCT", [{}, {"a": 1}], ["{}", []]),
        ("TASK_FINAL_STATUS", [{}], ["", None]),
        ("TASK_CONFIG", [{}], [[]]),
    ],
)
def test_types_take_their_json_kind_and_nothing_else(type: str, good: list[object], bad: list[object]) -> None:
    assert all(values.fits(ParameterType(type), value) for value in good)
    assert not any(values.fits(ParameterType(type), value) for value in bad)


def test_integral_floats_become_ints_at_every_depth() -> None:
    normal = values.normalise({"a": [1.0, 2.5, {"b": 3.0}], "c": True})
    assert normal == {"a": [1, 2.5, {"b": 3}], "c": True}
    assert isinstance(normal["a"][0], int) and isinstance(normal["c"], bool)


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        ("plain {{text}}", "plain {{text}}"),
        ("{{$.pipeline_job_name}}", "my run"),
        ("run {{$.pipeline_job_name}} in {{$.workspace_path}}/a", "run my run in /kfp-workspace/a"),
        ("value {{$.inputs.parameters['x']}}!", "value 3!"),
        ("{{$.inputs.parameters['s']}}", 'it\'s "fine"'),
        ("{{$.inputs.parameters['tricky']}}", "{{$.inputs.parameters['x']}}"),
        ("{{$.inputs.parameters['unknown']}}", "{{$.inputs.parameters['unknown']}}"),
        (
            {"{{$.pipeline_job_name}}": ["{{$.inputs.parameters['x']}}", 1, None]},
            {"my run": ["3", 1, None]},
        ),
    ],
)
def test_placeholders_in_constants_are_replaced_at_every_depth(constant: object, expected: object) -> None:
    assert values.expand(constant, CONSTANTS, PRESENT.get) == expected


def test_mentioned_parameters_of_a_constant() -> None:
    constant = ["{{$.inputs.parameters['a']}} {{$.inputs.parameters['b']}}", {"k": "{{$.inputs.parameters['c']}}"}]
    assert values.parameters_mentioned(constant) == {"a", "b", "c"}


def test_an_unscheduled_run_has_its_creation_as_schedule_time() -> None:
    at = datetime(2026, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
    constants = run_constants(
        run_id="id",
        run_name="n",
        resource_name="p-x",
        pipeline_root="r",
        task_key="t",
        task_uuid="7",
        created_at=at,
        scheduled_at=None,
    )
    assert constants["{{$.pipeline_job_schedule_time_utc}}"] == "2026-03-04T05:06:07Z"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_normalising_twice_changes_nothing_and_keeps_the_text(value: object) -> None:
    normal = values.normalise(value)
    assert values.normalise(normal) == normal
    assert values.to_text(normal) == values.to_text(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float_has_no_exponent_and_loses_nothing(value: float) -> None:
    text = values.to_text(value)
    assert "e" not in text and float(text) == value
