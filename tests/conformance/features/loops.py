"""Loops and fan-in."""

# ruff: noqa: UP006, UP035, B006  # the SDK knows these forms only

from typing import List

from kfp import dsl

from tests.conformance.expected.model import Expected
from tests.conformance.features.components import (
    counted,
    echo,
    failing_for,
    joined,
    listed,
    multiplied,
    number,
    represented,
    structured,
    total,
    written,
)
from tests.conformance.features.feature import Feature
from tests.conformance.seen import Seen


@dsl.pipeline(name="nested-fan-in")
def nested_fan_in(firsts: List[int] = [1, 2], seconds: List[int] = [10, 20, 30]):
    with dsl.ParallelFor(firsts) as a:
        with dsl.ParallelFor(seconds) as b:
            product = multiplied(a=a, b=b)
            file = written(s=f"{a}*{b}={product.output}")
        inner = total(v=dsl.Collected(product.output))
        joined(files=dsl.Collected(file.outputs["out"]))
    represented(v=dsl.Collected(product.output))
    joined(files=dsl.Collected(file.outputs["out"]))
    total(v=dsl.Collected(inner.output))


@dsl.pipeline(name="skipped-iterations")
def skipped_iterations(items: List[int] = [1, 5, 2, 7], others: List[int] = []):
    with dsl.ParallelFor(items) as item, dsl.If(item > 2):
        big = number(n=item)
        file = written(s=f"big {item}")
    with dsl.ParallelFor(items) as item, dsl.If(item > 100):
        huge = number(n=item)
        huge_file = written(s=f"{item}")
    with dsl.ParallelFor(others) as item:
        none = number(n=item)
        no_file = written(s=f"{item}")
    represented(v=dsl.Collected(big.output))
    represented(v=dsl.Collected(huge.output))
    represented(v=dsl.Collected(none.output))
    joined(files=dsl.Collected(file.outputs["out"]))
    joined(files=dsl.Collected(huge_file.outputs["out"]))
    joined(files=dsl.Collected(no_file.outputs["out"]))


_ITEMS = [
    {"key": 'a "quoted" text', "other": {"deep": [1, 2.5, None, True]}},
    {"key": "two\nlines\\and 'more'", "other": {"ü": "{{$.inputs}}"}},
]


@dsl.pipeline(name="fields-of-items")
def fields_of_items(items: List[dict]):
    with dsl.ParallelFor(items) as item:
        echo(s=item.key)
        structured(d=item.other)
        structured(d=item)
        echo(s=f"<{item.key}>")


@dsl.pipeline(name="f-strings-of-items")
def f_strings_of_items(items: list, words: List[str] = ["v", "w"]):
    with dsl.ParallelFor([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]) as item:
        echo(s=f"{item.a} {item.b}")
    with dsl.ParallelFor(listed(v=["one", "two"]).output) as item:
        echo(s=f"<{item}>")
    with dsl.ParallelFor(items) as item:
        with dsl.If(item.key == "1"):
            echo(s=f"<{item.key}>")
        with dsl.ParallelFor(words) as word:
            echo(s=f"{word} {item.key}")
            with dsl.ParallelFor([7, 8]) as number_:
                echo(s=f"{number_} {word} {item.key}")
            with dsl.ParallelFor(item.list) as deep:
                echo(s=f"{deep} {word} {item.key}")


@dsl.pipeline(name="failing-iteration")
def failing_iteration():
    with dsl.ParallelFor([1, 2, 3, 4], parallelism=1) as item:
        one = failing_for(n=item, bad=2)
        number(n=one.output)
    total(v=dsl.Collected(one.output))
    with dsl.ParallelFor(["a", "b"]) as other:
        echo(s=other)


@dsl.pipeline(name="thousand-iterations")
def thousand_iterations() -> int:
    items = counted(n=1000)
    with dsl.ParallelFor(items.output) as item:
        one = number(n=item)
    return total(v=dsl.Collected(one.output)).output


@dsl.pipeline(name="too-many-iterations")
def too_many_iterations():
    with dsl.ParallelFor(counted(n=2001).output) as item:
        number(n=item)


@dsl.pipeline(name="nothing-to-loop-over")
def nothing_to_loop_over():
    with dsl.ParallelFor(listed(v=[]).output) as item:
        echo(s=item)


def _no_list(document: dict) -> None:
    """The loop's list comes as a text that is no JSON array."""
    task = document["root"]["dag"]["tasks"]["listed"]
    document["components"]["comp-listed"]["outputDefinitions"]["parameters"]["Output"]["parameterType"] = "STRING"
    component = document["components"]["comp-for-loop-1"]["inputDefinitions"]["parameters"]
    component["pipelinechannel--listed-Output"]["parameterType"] = "STRING"
    source = document["deploymentSpec"]["executors"]["exec-listed"]["container"]["command"]
    source[-1] = source[-1].replace("-> list:\n    return v", '-> str:\n    return "{}"')
    assert task and '"{}"' in source[-1]


def _one_bad(seen: Seen) -> None:
    assert "2 is bad" in seen.tasks["for-loop-2[1]/failing-for"]["reason"]
    loop = seen.tasks["for-loop-2"]
    assert loop["state"] == "FAILED" and loop["failed"] == 1 and loop["succeeded"] == 3


def _limit_told(seen: Seen) -> None:
    reason = seen.tasks["for-loop-1"]["reason"]
    assert "2,001" in reason or "2001" in reason, reason
    assert "2,000" in reason or "2000" in reason, reason


def _list_asked_for(seen: Seen) -> None:
    assert "list" in seen.tasks["for-loop-1"]["reason"].lower(), seen.story


_PRODUCTS = [(a, b) for a in (1, 2) for b in (10, 20, 30)]
_FILES = [f"{a}*{b}={a * b}" for a, b in _PRODUCTS]

FEATURES = {
    "nested-fan-in": Feature(
        nested_fan_in,
        Expected(
            ran={"multiplied": 6, "written": 6, "total": 2, "joined": 2, "represented": 1, "joined-2": 1, "total-2": 1},
            values={
                "for-loop-1[*]/total.Output": [60, 120],
                "for-loop-1[*]/joined.Output": ["|".join(_FILES[:3]), "|".join(_FILES[3:])],
                "represented.Output": "[[10, 20, 30], [20, 40, 60]]",
                "joined-2.Output": "|".join(_FILES),
                "total-2.Output": 180,
            },
        ),
    ),
    "skipped-iterations": Feature(
        skipped_iterations,
        Expected(
            ran={"number": 2, "written": 2, "represented": 1, "represented-2": 1, "represented-3": 1}
            | {"joined": 1, "joined-2": 1, "joined-3": 1},
            values={
                "represented.Output": "[5, 7]",
                "represented-2.Output": "[]",
                "represented-3.Output": "[]",
                "joined.Output": "big 5|big 7",
                "joined-2.Output": "",
                "joined-3.Output": "",
            },
            skipped=("for-loop-1[0]/condition-2", "for-loop-1[2]/condition-2", "for-loop-3[*]/condition-4"),
        ),
    ),
    "fields-of-items": Feature(
        fields_of_items,
        Expected(
            ran={"echo": 2, "structured": 2, "structured-2": 2, "echo-2": 2},
            arguments={"items": _ITEMS},
            values={
                "for-loop-1[*]/echo.Output": [one["key"] for one in _ITEMS],
                "for-loop-1[*]/echo-2.Output": [f"<{one['key']}>" for one in _ITEMS],
                "for-loop-1[*]/structured.Output": [one["other"] for one in _ITEMS],
                "for-loop-1[*]/structured-2.Output": _ITEMS,
            },
        ),
    ),
    "f-strings-of-items": Feature(
        f_strings_of_items,
        Expected(
            ran={"listed": 1, "echo": 2, "echo-2": 2, "echo-3": 1, "echo-4": 4, "echo-5": 8, "echo-6": 6},
            arguments={"items": [{"key": "1", "list": ["a", "b"]}, {"key": "2", "list": ["c"]}]},
            values={
                "for-loop-2[*]/echo.Output": ["1 x", "2 y"],
                "for-loop-3[*]/echo-2.Output": ["<one>", "<two>"],
                "for-loop-4[0]/condition-5/echo-3.Output": "<1>",
                "for-loop-4[*]/for-loop-6[*]/echo-4.Output": [f"{word} {key}" for key in "12" for word in "vw"],
                "for-loop-4[*]/for-loop-6[*]/for-loop-8[*]/echo-5.Output": [
                    f"{number} {word} {key}" for key in "12" for word in "vw" for number in "78"
                ],
                "for-loop-4[*]/for-loop-6[*]/for-loop-9[*]/echo-6.Output": ["a v 1", "b v 1", "a w 1", "b w 1", "c v 2", "c w 2"],
            },
            skipped=("for-loop-4[1]/condition-5",),
        ),
    ),
    "failing-iteration": Feature(
        failing_iteration,
        Expected(
            state="FAILED",
            ran={"failing-for": 4, "number": 3, "echo": 2},
            values={"for-loop-4[*]/echo.Output": ["a", "b"]},
            failed=("for-loop-2[1]/failing-for",),
            skipped=("for-loop-2[1]/number", "total"),
            limits={"for-loop-2": 1},
            check=_one_bad,
        ),
    ),
    "thousand-iterations": Feature(
        thousand_iterations,
        Expected(
            ran={"counted": 1, "number": 1000, "total": 1},
            values={".Output": 499500, "for-loop-1[*]/number.Output": list(range(1000))},
            passes=1,
        ),
    ),
    "too-many-iterations": Feature(too_many_iterations, Expected(state="FAILED", ran={"counted": 1}, check=_limit_told, passes=1)),
    "nothing-to-loop-over": Feature(nothing_to_loop_over, Expected(ran={"listed": 1})),
    "no-list-to-loop-over": Feature(
        nothing_to_loop_over, Expected(state="FAILED", ran={"listed": 1}, check=_list_asked_for, passes=1), change=_no_list
    ),
}
