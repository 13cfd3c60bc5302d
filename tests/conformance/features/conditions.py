"""Conditions on every type, and OneOf."""

# ruff: noqa: UP006, UP035, UP045  # the SDK knows these forms only

from typing import List, Optional

from kfp import dsl
from kfp.dsl import Dataset

from tests.conformance.expected.model import Expected
from tests.conformance.features.components import echo, joined, number, read, represented, some, written
from tests.conformance.features.feature import Feature
from tests.conformance.seen import Seen


@dsl.pipeline(name="every-type")
def every_type(n: int = 5, x: float = 5.5, b: bool = True, s: str = "heads", empty: str = ""):
    kept = number(n=n)
    flag = some(kind="false")
    with dsl.If(n == 5):
        echo(s="int is equal")
    with dsl.If(n != 5):
        echo(s="int is not equal")
    with dsl.If(x > 5):
        echo(s="float is greater than an int")
    with dsl.If(n < 5.25):
        echo(s="int is less than a float")
    with dsl.If(b == True):  # noqa: E712 (it is compiled, not run)
        echo(s="true")
    with dsl.If(flag.output == True):  # noqa: E712
        echo(s="false of a step")
    with dsl.Else():
        echo(s="else of a false step")
    with dsl.If(s > "h"):
        echo(s="texts are compared")
    with dsl.If(empty == ""):
        echo(s="empty is empty")
    with dsl.If(kept.output >= n):
        echo(s="step against parameter")


@dsl.pipeline(name="conditions-on-null")
def conditions_on_null(s: Optional[str] = None, n: Optional[int] = None):
    with dsl.If(s == "x"):
        echo(s="null is x")
    with dsl.If(s != "x"):
        echo(s="null is not x")
    with dsl.ParallelFor([1]) as item, dsl.If(s != "y"):
        number(n=item)


@dsl.pipeline(name="condition-that-fails")
def condition_that_fails(n: Optional[int] = None):
    with dsl.If(n == 1):
        echo(s="not reached")
    echo(s="independent")


@dsl.pipeline(name="chosen-inside")
def chosen_inside(face: str) -> Dataset:
    with dsl.If(face == "heads"):
        one = written(s="from heads")
    with dsl.Elif(face == "tails"):
        two = written(s="from tails")
    with dsl.Else():
        three = written(s="from the edge")
    return dsl.OneOf(one.outputs["out"], two.outputs["out"], three.outputs["out"])


@dsl.pipeline(name="chosen-around")
def chosen_around(face: str) -> Dataset:
    return chosen_inside(face=face).output


@dsl.pipeline(name="oneof-through-levels")
def oneof_through_levels(faces: List[str] = ["heads", "tails", "edge"]) -> str:  # noqa: B006
    with dsl.ParallelFor(faces) as face:
        chosen = chosen_around(face=face)
        read(data=chosen.output)
    last = chosen_around(face="tails")
    return joined(files=dsl.Collected(chosen.output)).after(last).output


@dsl.pipeline(name="oneof-collected")
def oneof_collected():
    with dsl.ParallelFor([1, 2, 3]) as item:
        with dsl.If(item == 2):
            two = echo(s="two")
        with dsl.Else():
            other = echo(s=f"not two but {item}")
        chosen = dsl.OneOf(two.output, other.output)
        kept = echo(s=chosen)
    represented(v=dsl.Collected(kept.output))


def _null_told(seen: Seen) -> None:
    reason = seen.tasks["condition-1"]["reason"]
    assert seen.tasks["condition-1"]["state"] == "FAILED" and reason.endswith("."), reason


_FACES = ["from heads", "from tails", "from the edge"]

FEATURES = {
    "every-type": Feature(
        every_type,
        Expected(
            ran={"number": 1, "some": 1} | {f"echo{suffix}": 1 for suffix in ("", "-3", "-4", "-5", "-7", "-8", "-9", "-10")},
            skipped=("condition-2", "condition-branches-6/condition-7"),
            values={"condition-branches-6/condition-8/echo-7.Output": "else of a false step"},
        ),
    ),
    "conditions-on-null": Feature(
        conditions_on_null,
        Expected(
            ran={"echo-2": 1, "number": 1},
            skipped=("condition-1",),
            values={"condition-2/echo-2.Output": "null is not x"},
        ),
    ),
    "condition-that-fails": Feature(condition_that_fails, Expected(state="FAILED", ran={"echo-2": 1}, check=_null_told, passes=1)),
    "oneof-through-levels": Feature(
        oneof_through_levels,
        Expected(
            ran={"written": 1, "written-2": 2, "written-3": 1, "read": 3, "joined": 1},
            values={"for-loop-1[*]/read.Output": _FACES, ".Output": "|".join(_FACES)},
            texts={
                "for-loop-1[*]/chosen-around/chosen-inside.Output": _FACES,
                "for-loop-1[*]/chosen-around.Output": _FACES,
                "chosen-around-2.Output": ["from tails"],
            },
            skipped=None,
        ),
    ),
    "oneof-collected": Feature(
        oneof_collected,
        Expected(
            ran={"echo": 1, "echo-2": 2, "echo-3": 3, "represented": 1},
            values={"represented.Output": "['not two but 1', 'two', 'not two but 3']"},
            skipped=None,
        ),
    ),
}
