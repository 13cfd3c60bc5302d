"""Values on their way: types, texts, placeholders, optional ones."""

# ruff: noqa: UP006, UP035, UP045, B006  # the SDK knows these forms only

import uuid
from typing import Any, Dict, List, Optional

from kfp import dsl

from tests.conformance.expected.model import Expected
from tests.conformance.features.components import (
    argv,
    configured,
    echo,
    echo_or_default,
    environment,
    length,
    listed,
    long_text,
    number,
    put_together,
    said,
    shown,
    structured,
    typed_files,
    unset,
    with_a_package,
    with_a_package_in_a_venv,
    with_another_function,
    with_the_sdk_of_the_image,
)
from tests.conformance.features.feature import Feature
from tests.conformance.seen import Seen

_ODD = "a \"quoted\" 'text'\nwith \\ lines and {{$.inputs.parameters['y']}} {\"json\": [1]} $HOME $(HOME) `id` 😀 ü \u2028"
_PLAIN = _ODD.replace("{{$.inputs.parameters['y']}}", "")  # in a constant that would refer to an input


@dsl.pipeline(name="texts-in-constants")
def texts_in_constants(s: str, n: int = 3, x: float = 2.5, b: bool = True, v: list = ["<", 1], d: dict = {"b": 1, "a": "&"}):
    made = echo(s=s)
    echo(s=f"<{made.output}> {n} {x} {b}")
    echo(s=f"{v} {d}")
    listed(v=["plain", made.output, f"<{s}>", n])
    structured(d={"one": made.output, "two": {"three": [f"{s}!", n]}, "four": []})
    echo(s=f"{dsl.PIPELINE_JOB_ID_PLACEHOLDER}/{dsl.PIPELINE_TASK_NAME_PLACEHOLDER}/{n}")
    echo(s="")


@dsl.pipeline(name="values-as-arguments")
def values_as_arguments(
    nested: list,
    s: str = "text",
    n: int = 3,
    x: float = 3.0,
    b: bool = False,
    v: list = [1, "<a>"],
    d: dict = {"b": [1], "a": True},
):
    argv(s=s, n=n, x=x, b=b, v=v, d=d)
    argv(s=_PLAIN, n=-7, x=1234567.5, b=True, v=[], d={})
    argv(s="", n=12345678901234, x=0.00001234, b=True, v=nested, d={"n": {"m": "x y"}})


@dsl.pipeline(name="placeholders-that-depend")
def placeholders_that_depend(word: str = "w", unset: Optional[str] = None):
    put_together(name=word)
    put_together(name=word, maybe="m", given="g")
    put_together(name=word, maybe=unset)
    put_together(name='q"u\\o;te', maybe="two words")


@dsl.pipeline(name="inner-of-optionals")
def inner_of_optionals(s: Optional[str] = None, n: Optional[int] = None, v: Optional[list] = None, t: str = "inner default"):
    unset(n=n, s=s, v=v)
    echo_or_default(s=s)
    echo_or_default(s=t)
    echo_or_default()


@dsl.pipeline(name="middle-of-optionals")
def middle_of_optionals(s: Optional[str] = None, n: Optional[int] = None, t: Optional[str] = None):
    inner_of_optionals(s=s, n=n)
    with dsl.ParallelFor([1]), dsl.If(s == "a"):
        echo(s="not reached")
    with dsl.ParallelFor([1]):
        unset(s=s)


@dsl.pipeline(name="optional-at-depth")
def optional_at_depth(s: Optional[str] = None, n: Optional[int] = None):
    middle_of_optionals(s=s)
    inner_of_optionals(s="given", n=5, v=[1], t="by the caller")
    shown()
    shown(n=0, x=0.0, b=False, s="", v=[], d={})


@dsl.pipeline(name="large-values")
def large_values(s: str, v: List[int], d: Dict[str, Any]):
    length(s=s)
    length(s=echo(s=s).output)
    long = long_text(n=250_000)
    length(s=long.output)
    listed(v=v)
    structured(d=d)
    number(n=9007199254740991)


@dsl.pipeline(name="typed-outputs")
def typed_outputs():
    made = typed_files()
    shown(
        n=made.outputs["n"], x=made.outputs["x"], b=made.outputs["b"], s=made.outputs["s"], v=made.outputs["v"], d=made.outputs["d"]
    )


@dsl.pipeline(name="settings-of-steps")
def settings_of_steps(image: str = "python:3.11", cpu: str = "1", memory: str = "256Mi"):
    step = environment(names=["FIRST", "SECOND", "KFP_POD_NAME"])
    step.set_env_variable("FIRST", "1").set_env_variable("SECOND", 'two "2" $(FIRST) $$')
    step.set_container_image(image).set_cpu_limit(cpu).set_memory_limit(memory)
    configured()
    named = echo(s="named").set_display_name('Ein <b>Schritt</b> & "mehr" 😀')
    echo(s="cached by key").set_caching_options(True, cache_key="one key").after(named)


@dsl.pipeline(name="what-components-bring")
def what_components_bring():
    with_a_package(d={"a": "b"})
    with_a_package_in_a_venv(d={"a": "c"})
    with_the_sdk_of_the_image(s="x")
    with_another_function(s="y")


@dsl.pipeline(name="literal-choices")
def literal_choices(mode: str = "fast", level: int = 1):
    echo(s=mode)
    number(n=level)


@dsl.pipeline(name="cached-by-key")
def cached_by_key(s: str):
    echo(s=s).set_caching_options(True, cache_key=f"a key of this test {uuid.uuid4()}")
    echo(s=s)


@dsl.pipeline(name="said-again")
def said_again(s: str, d: dict = {}, default: str = "[[RunUUID]]"):
    echo(s=s)
    structured(d=d)
    echo(s=default)


@dsl.pipeline(name="odd-names", display_name='Odd names: ü/"&<', description="two\nlines")
def odd_names():
    first = said(s="first")
    said(s="second").after(first)
    with dsl.ParallelFor([1, 2]):
        said(s="third")


def _choices(document: dict[str, Any]) -> None:
    """The allowed values; this version of the SDK has no way to write them."""
    parameters = document["root"]["inputDefinitions"]["parameters"]
    parameters["mode"]["literals"], parameters["level"]["literals"] = ["fast", "slow"], [1, 2]


_KEYS = {"said": "Füße [1]/%2F <b>", "said-2": "a.b:c d'\"e", "for-loop-2": "Schleife/100%"}


def _rename(document: dict[str, Any]) -> None:
    """Task keys that the SDK would not make."""
    tasks = document["root"]["dag"]["tasks"]
    for task in tasks.values():
        task["dependentTasks"] = [_KEYS[key] for key in task.get("dependentTasks", [])]
    document["root"]["dag"]["tasks"] = {_KEYS[key]: task for key, task in tasks.items()}


def _odd_keys_seen(seen: Seen) -> None:
    names = {one["name"] for one in seen.tasks.values()}
    assert {_KEYS["said"], _KEYS["said-2"], _KEYS["for-loop-2"], f"{_KEYS['for-loop-2']}-iteration-1"} <= names
    by_name = {one["name"]: path for path, one in seen.tasks.items()}
    if not seen.is_cached(by_name[_KEYS["said"]]):
        assert seen.printed(by_name[_KEYS["said"]]) == ["first"]
        assert seen.printed(by_name[_KEYS["said-2"]]) == ["second"]
    page = seen.api.text(f"/runs/{seen.run_id}/")
    assert "Füße %5B1%5D%2F%252F &lt;b&gt;" in page and "%252F <b>" not in page


def _arguments_printed(seen: Seen) -> None:
    if any(map(seen.is_cached, seen.steps())):
        return
    assert seen.printed("argv") == ["[text]", "[3]", "[3]", "[false]", '[[1,"\\u003ca\\u003e"]]', '[{"a":true,"b":[1]}]']
    text = "\n".join(seen.printed("argv-2"))
    assert text.startswith(f"[{_PLAIN}]\n"), text
    assert seen.printed("argv-2")[-5:] == ["[-7]", "[1234567.5]", "[true]", "[[]]", "[{}]"]
    assert seen.printed("argv-3") == [
        "[]",
        "[12345678901234]",
        "[0.00001234]",
        "[true]",
        '[[[1.5,null],{"k":"ü"}]]',
        '[{"n":{"m":"x y"}}]',
    ]


def _placeholders_inside(seen: Seen) -> None:
    assert seen.value("echo-4", "Output") == f"{seen.run_id}/echo-4/3"


def _environment_seen(seen: Seen) -> None:
    found = seen.value("environment", "Output")
    assert found["FIRST"] == "1" and found["SECOND"].startswith('two "2"') and found["KFP_POD_NAME"]
    page = seen.api.text(f"/runs/{seen.run_id}/")
    assert "Ein &lt;b&gt;Schritt&lt;/b&gt; &amp;" in page and "<b>Schritt" not in page


_LARGE = "ü" * 200_000
_NUMBERS = list(range(5_000))
_STRUCT = {f"key {number}": {"n": number, "x": number + 0.5, "deep": [None, True, {"é": []}]} for number in range(500)}

FEATURES = {
    "texts-in-constants": Feature(
        texts_in_constants,
        Expected(
            ran={"echo": 1, "echo-2": 1, "echo-3": 1, "listed": 1, "structured": 1, "echo-4": 1, "echo-5": 1},
            arguments={"s": _ODD},
            values={
                "echo.Output": _ODD,
                "echo-2.Output": f"<{_ODD}> 3 2.5 true",
                "echo-3.Output": '["\\u003c",1] {"a":"\\u0026","b":1}',
                "listed.Output": ["plain", _ODD, f"<{_ODD}>", "3"],
                "structured.Output": {"one": _ODD, "two": {"three": [f"{_ODD}!", "3"]}, "four": []},
                "echo-5.Output": "",
            },
            check=_placeholders_inside,
        ),
    ),
    "values-as-arguments": Feature(
        values_as_arguments,
        Expected(
            ran={"argv": 1, "argv-2": 1, "argv-3": 1}, arguments={"nested": [[1.5, None], {"k": "ü"}]}, check=_arguments_printed
        ),
    ),
    "placeholders-that-depend": Feature(
        placeholders_that_depend,
        Expected(
            ran={f"put-together{suffix}": 1 for suffix in ("", "-2", "-3", "-4")},
            printed={
                "put-together": ["[--name=w;]", "[--without]", "[acd]", "[--given=d]"],
                "put-together-2": ["[--name=w;]", "[--maybe]", "[m]", "[abd]", "[--given=g]", "[nothing is left of this]"],
                "put-together-3": ["[--name=w;]", "[--without]", "[acd]", "[--given=d]"],
                "put-together-4": [
                    '[--name=q"u\\o;te;]',
                    "[--maybe]",
                    "[two words]",
                    "[abd]",
                    "[--given=d]",
                    "[nothing is left of this]",
                ],
            },
        ),
    ),
    "optional-at-depth": Feature(
        optional_at_depth,
        Expected(
            ran={"unset": 3, "echo-or-default": 2, "echo-or-default-2": 2, "echo-or-default-3": 2, "shown": 1, "shown-2": 1},
            values={
                "middle-of-optionals/inner-of-optionals/unset.Output": "(None, None, None, None)",
                "middle-of-optionals/inner-of-optionals/echo-or-default.Output": "the default",
                "middle-of-optionals/inner-of-optionals/echo-or-default-2.Output": "inner default",
                "middle-of-optionals/inner-of-optionals/echo-or-default-3.Output": "the default",
                "inner-of-optionals/unset.Output": "(5, 'given', [1], None)",
                "inner-of-optionals/echo-or-default-2.Output": "by the caller",
                "shown.Output": repr((-1, -1.5, True, "unset", ["unset"], {"un": "set"})),
                "shown-2.Output": repr((0, 0, False, "", [], {})),
            },
            skipped=None,
        ),
    ),
    "large-values": Feature(
        large_values,
        Expected(
            ran={"length": 1, "echo": 1, "length-2": 1, "long-text": 1, "length-3": 1, "listed": 1, "structured": 1, "number": 1},
            arguments={"s": _LARGE, "v": _NUMBERS, "d": _STRUCT},
            values={
                "length.Output": 200_000,
                "length-2.Output": 200_000,
                "length-3.Output": 250_000,
                "listed.Output": _NUMBERS,
                "structured.Output": _STRUCT,
                "number.Output": 9007199254740991,
            },
        ),
    ),
    "typed-outputs": Feature(
        typed_outputs,
        Expected(
            ran={"typed-files": 1, "shown": 1},
            values={
                "typed-files.n": 7,
                "typed-files.x": 2.5,
                "typed-files.b": True,
                "typed-files.s": "two words\n",
                "typed-files.v": [1, "a"],
                "typed-files.d": {"k": None},
                "shown.Output": repr((7, 2.5, True, "two words\n", [1, "a"], {"k": None})),
            },
        ),
    ),
    "settings-of-steps": Feature(
        settings_of_steps,
        Expected(
            ran={"environment": 1, "configured": 1, "echo": 1, "echo-2": 1},
            values={"configured.Output": "TaskConfig"},
            check=_environment_seen,
        ),
    ),
    "what-components-bring": Feature(
        what_components_bring,
        Expected(
            ran={f"with-{what}": 1 for what in ("a-package", "a-package-in-a-venv", "the-sdk-of-the-image", "another-function")},
            values={
                "with-a-package.Output": 'a = "b"\n',
                "with-a-package-in-a-venv.Output": 'a = "c"\n',
                "with-the-sdk-of-the-image.Output": "X",
                "with-another-function.Output": "yy",
            },
        ),
    ),
    "component-alone": Feature(
        echo, Expected(ran={"echo": 1}, arguments={"s": _ODD}, values={"echo.Output": _ODD, ".Output": _ODD})
    ),
    "container-alone": Feature(
        put_together,
        Expected(
            ran={"put-together": 1},
            arguments={"name": "n", "maybe": "m"},
            printed={
                "put-together": ["[--name=n;]", "[--maybe]", "[m]", "[abd]", "[--given=d]", "[nothing is left of this]"],
            },
        ),
    ),
    "literal-choices": Feature(
        literal_choices,
        Expected(
            ran={"echo": 1, "number": 1}, arguments={"mode": "slow", "level": 2}, values={"echo.Output": "slow", "number.Output": 2}
        ),
        change=_choices,
    ),
    "odd-names": Feature(odd_names, Expected(ran=None, check=_odd_keys_seen), change=_rename),
}
