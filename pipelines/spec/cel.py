"""KFP's expressions: conditions over a task's inputs and selectors over one value, both real CEL.

Numbers are doubles, as they are in KFP (protobuf's `Value`), so `n + 1 == 6.0` and `5 > '4'` are errors here as there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel

from pipelines.spec.values import normalise, to_text

Json = Any

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)"""
    r"""|(?P<string>[rRbB]{0,2}(?:'{3}.*?'{3}|"{3}.*?"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<other>.)""",
    re.DOTALL,
)
_INT = "kfpInt"  # `int` with KFP's overloads: the library's turns booleans into numbers
_CODE = re.compile(r"^(?:[A-Z_]+: )+")
_INPUT_FIELDS = {"parameters", "parameter_values", "artifacts"}


class ExpressionError(Exception):
    """An expression that does not compile, or has no answer for these values. The message is for people."""


# --- the environment ------------------------------------------------------------------------------------------------


def _parse_json(text: str) -> Json:
    return _doubles(json.loads(text))


def _to_int(value: Json) -> int:
    """CEL's `int()` as KFP has it: numbers are cut, strings must be decimal integers, anything else is an error."""
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d+", value):
        raise ValueError(f"int() of the string '{value}'")
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"int() of {number}: out of range")
    return number


def _functions() -> list[Any]:
    def function(name: str, result: Any, implementation: Any, *parameters: Any) -> Any:
        overloads = [
            cel.Overload(f"{name}_{type.name()}", return_type=result, parameters=[type], impl=implementation) for type in parameters
        ]
        return cel.FunctionDecl(name, overloads)

    types = cel.Type
    return [
        function("parseJson", types.DYN, _parse_json, types.STRING),
        function(_INT, types.INT, _to_int, types.INT, types.UINT, types.DOUBLE, types.STRING, types.TIMESTAMP),
    ]


@cache
def _conditions() -> Any:
    # A map of maps: with plain DYN the macros `exists` and `all` do not work.
    string, dyn = cel.Type.STRING, cel.Type.DYN
    fields = cel.Type.Map(string, cel.Type.Map(string, dyn))
    return cel.NewEnv(variables={"inputs": fields, "outputs": fields}, functions=_functions())


@cache
def _selectors() -> Any:
    names = ("number_value", "bool_value", "struct_value", "list_value", "null_value")
    variables = dict.fromkeys(names, cel.Type.DYN) | {"string_value": cel.Type.STRING}
    return cel.NewEnv(variables=variables, functions=_functions())


# --- compiling ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _compiled(expression: str, selector: bool) -> Any:
    """The compiled expression, kept; raises ExpressionError."""
    environment = _selectors() if selector else _conditions()
    rewritten = _with_kfp_int(expression)
    try:
        compiled = environment.compile(expression)
        return compiled if rewritten == expression else environment.compile(rewritten)
    except Exception as error:  # the library raises RuntimeError for everything
        raise ExpressionError(f"The expression `{expression}` does not compile: {_first_problem(str(error))}.") from None


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of each token; kinds are the groups of `_TOKEN`."""
    for match in _TOKEN.finditer(expression):
        yield str(match.lastgroup), match.group()


def _with_kfp_int(expression: str) -> str:
    """The expression with calls of the global function `int` going to KFP's."""
    if "int" not in expression:
        return expression
    tokens = list(_tokens(expression))
    solid = [index for index, (kind, _) in enumerate(tokens) if kind != "space"]
    for before, here, after in zip([None, *solid], solid, solid[1:], strict=False):
        is_member = before is not None and tokens[before][1] == "."
        if tokens[here] == ("name", "int") and tokens[after][1] == "(" and not is_member:
            tokens[here] = ("name", _INT)
    return "".join(text for _, text in tokens)


def _first_problem(message: str) -> str:
    """The first line of the library's message, without codes."""
    line = _CODE.sub("", message).replace(_INT, "int").splitlines()[0] if message else "unknown error"
    line = re.sub(r"^<input>:(\d+):(\d+): ", r"at \1:\2, ", line)
    return line.removesuffix(" [INVALID_ARGUMENT]").rstrip(".")


def compile_error(expression: str, *, selector: bool = False) -> str | None:
    """Why a condition (or a selector) cannot be used, as a sentence; None where it compiles."""
    try:
        _compiled(expression, selector)
    except ExpressionError as error:
        return str(error)
    if selector:
        return None
    solid = [token for token in _tokens(expression) if token[0] != "space"]
    for index in range(len(solid) - 2):
        field_of_inputs = solid[index] == ("name", "inputs") and solid[index + 1][1] == "." and solid[index + 2][0] == "name"
        is_member = index > 0 and solid[index - 1][1] == "."
        if field_of_inputs and not is_member and solid[index + 2][1] not in _INPUT_FIELDS:
            return (
                f"The expression `{expression}` does not compile: inputs have no field '{solid[index + 2][1]}',"
                " only parameter_values and artifacts."
            )
    return None


def mentioned_parameters(expression: str) -> tuple[str, ...]:
    """Names of the input parameters that a condition reads by a literal key, in order, each once."""
    solid = [token for token in _tokens(expression) if token[0] != "space"]
    found: dict[str, None] = {}
    for index in range(len(solid) - 2):
        if solid[index] != ("name", "parameter_values"):
            continue
        if solid[index + 1][1] == "[" and solid[index + 2][0] == "string":
            found[_unquoted(solid[index + 2][1])] = None
        elif solid[index + 1][1] == "." and solid[index + 2][0] == "name":
            found[solid[index + 2][1]] = None
    return tuple(found)


def readable(expression: str) -> str:
    """A condition as a person wants to read it: `flip-coin-Output == 'heads'`."""
    text = re.sub(r"inputs\.parameter_values\[(['\"])(?:pipelinechannel--)?(.*?)\1\]", r"\2", expression)
    return re.sub(r"\bint\(([\w.-]+)\)", r"\1", text)


def _unquoted(literal: str) -> str:
    body = literal.lstrip("rRbB")
    quote = 3 if body[:3] in ("'''", '"""') else 1
    return re.sub(r"\\(.)", r"\1", body[quote:-quote])


# --- evaluating -----------------------------------------------------------------------------------------------------


def evaluate(expression: str, parameters: Mapping[str, Json], artifacts: Mapping[str, Json]) -> bool:
    """Whether a condition holds for a task's resolved inputs.

    `artifacts` maps names to lists of artifacts (or to KFP's `{"artifacts": […]}`). Raises ExpressionError where it does not
    compile, where a value is missing or of the wrong type, and where the result is no boolean.
    """
    lists = {name: value if isinstance(value, dict) else {"artifacts": list(value)} for name, value in artifacts.items()}
    inputs = {"parameter_values": _doubles(dict(parameters)), "artifacts": _doubles(lists), "parameters": {}}
    result = _run(expression, False, {"inputs": inputs, "outputs": {}})
    if not isinstance(result, bool):
        raise ExpressionError(f"The condition `{expression}` gives {to_text(result) or 'null'}, neither true nor false.")
    return result


def select(expression: str, value: Json) -> Json:
    """What a parameterExpressionSelector takes out of a value. Raises ExpressionError, also for a null result."""
    member = {str: None, bool: "bool_value", int: "number_value", float: "number_value", list: "list_value", dict: "struct_value"}
    name = "null_value" if value is None else member[type(value)]
    data = {"string_value": to_text(value)}
    if name:
        data[name] = _doubles(value)
    result = _run(expression, True, data)
    if result is None:
        raise ExpressionError(f"The selector `{expression}` gives null.")
    return normalise(result)


def _run(expression: str, selector: bool, data: dict[str, Json]) -> Json:
    compiled = _compiled(expression, selector)
    try:
        result = compiled.eval(data=data)
    except Exception as error:  # the library raises RuntimeError for everything
        raise ExpressionError(f"`{expression}` cannot be evaluated: {_first_problem(str(error))}.") from None
    plain = result.plain_value()
    if result.type() == cel.Type.ERROR:
        reason = _first_problem(str(plain)).replace("Key not found in map : ", "there is no ")
        raise ExpressionError(f"`{expression}` cannot be evaluated: {reason}.")
    return plain


def _doubles(value: Json) -> Json:
    """The value with every number a double, as protobuf has them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, list | tuple):
        return [_doubles(item) for item in value]
    if isinstance(value, dict):
        return {key: _doubles(item) for key, item in value.items()}
    return value
