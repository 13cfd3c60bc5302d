"""Conditions and selectors: the table measured on KFP's own code."""

import pytest

from pipelines.spec import cel
from pipelines.spec.cel import ExpressionError

VALUES = {
    "n": 5,
    "half": 5.7,
    "text": "x",
    "nothing": None,
    "yes": True,
    "list": [1, 2],
    "json": '{"a": {"b": 3}}',
    "twelve": "12",
    "foo": "foo",
    "true text": "true",
}
ARTIFACTS = {"m": [{"name": "m", "metadata": {"k": 1, "label": "good"}}]}


def p(name: str) -> str:
    return f"inputs.parameter_values['{name}']"


def holds(expression: str) -> bool:
    return cel.evaluate(expression, VALUES, ARTIFACTS)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (f"{p('missing')} == 1 && false", False),
        (f"{p('missing')} == 1 || true", True),
        (f"{p('nothing')} == 'x'", False),
        (f"{p('nothing')} != 'x'", True),
        (f"{p('n')} == '5'", False),
        (f"{p('n')} == 5", True),
        (f"{p('n')} > 4", True),
        (f"{p('n')} > 4.5", True),
        (f"int({p('twelve')}) == 12", True),
        (f"int({p('half')}) == 5", True),
        (f"int({p('n')}) > 4 && int({p('n')}) < 6", True),
        (f"!(int({p('n')}) > 4)", False),
        (f"double({p('n')}) > 4.5", True),
        (f"bool({p('true text')}) == true", True),
        (f"{p('yes')} == 'true'", False),
        (f"{p('yes')} == true", True),
        ("'a' < 'b'", True),
        (f"{p('text')} == 'x'", True),
        (f"size({p('list')}) == 2 && 1 in {p('list')}", True),
        (f"{p('list')}.exists(x, x > 1)", True),
        (f"{p('list')}.all(x, x > 1)", False),
        (f"parseJson({p('json')})['a']['b'] == 3", True),
        ("inputs.artifacts['m'].artifacts[0].metadata['k'] == 1", True),
        ("inputs.artifacts['m'].artifacts[0].metadata['label'].startsWith('go')", True),
        (f"{p('text')}.matches('^x$') ? true : false", True),
        ("'int(true)' == 'int(true)'", True),
        (f"string({p('n')}) == '5'", True),
    ],
)
def test_conditions_as_kfp_evaluates_them(expression: str, expected: bool) -> None:
    assert holds(expression) is expected


@pytest.mark.parametrize(
    "expression",
    [
        f"{p('missing')} == 1",
        f"{p('n')} > '4'",
        f"{p('n')} + 1 == 6.0",
        f"int({p('foo')}) == 1",
        f"int({p('yes')}) == 1",
        f"int ( {p('yes')} ) == 1",
        "int(true) == 1",
        f"int({p('nothing')}) == 1",
        "1",
        "'it's' == 'x'",
        "parseJson('zz') == 1",
        "inputs.parameterValues['n'] == 5",
        "",
    ],
)
def test_what_kfp_cannot_evaluate_is_an_error(expression: str) -> None:
    with pytest.raises(ExpressionError):
        holds(expression)


def test_an_error_names_the_expression_and_what_is_missing() -> None:
    with pytest.raises(ExpressionError, match=r"missing.*there is no \"missing\""):
        holds(f"{p('missing')} == 1")


def test_compile_errors_are_found_without_values() -> None:
    assert cel.compile_error(f"{p('n')} == 5") is None
    assert "does not compile" in str(cel.compile_error("'it's'"))
    assert "parameterValues" in str(cel.compile_error("inputs.parameterValues['n'] == 5"))
    assert cel.compile_error('parseJson(string_value)["a"]', selector=True) is None
    assert cel.compile_error("parseJson(string_value", selector=True)


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        ('parseJson(string_value)["a"]', {"a": 1}, 1),
        ('parseJson(string_value)["a"]', '{"a": 1.5}', 1.5),
        ("parseJson(string_value)[1]", [1, "two"], "two"),
        ('parseJson(string_value)["a"]', '{"a": {"b": [1, 2]}}', {"b": [1, 2]}),
        ('struct_value["a"]', {"a": True}, True),
        ("list_value[0]", [7], 7),
        ("number_value + 1.0", 2, 3),
        ("string_value", 2, "2"),
        ("string_value", True, "true"),
        ('parseJson(string_value)["q"]', '{"q": "it\'s <b>"}', "it's <b>"),
    ],
)
def test_selectors_take_out_what_kfp_would(expression: str, value: object, expected: object) -> None:
    selected = cel.select(expression, value)
    assert selected == expected and type(selected) is type(expected)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('parseJson(string_value)["b"]', {"a": 1}),
        ('parseJson(string_value)["a"]', {"a": None}),
        ('parseJson(string_value)["a"]', "no json"),
        ("parseJson(string_value)[5]", [1]),
        ("list_value[0]", "text"),
    ],
)
def test_selectors_that_find_nothing_are_errors(expression: str, value: object) -> None:
    with pytest.raises(ExpressionError):
        cel.select(expression, value)


def test_mentioned_parameters_and_readable_form() -> None:
    expression = "int(inputs.parameter_values['pipelinechannel--flip-Output']) > 4 && inputs.parameter_values[\"b\"] == 'inputs'"
    assert cel.mentioned_parameters(expression) == ("pipelinechannel--flip-Output", "b")
    assert cel.readable(expression) == "flip-Output > 4 && b == 'inputs'"
