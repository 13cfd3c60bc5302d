"""Groups in groups: what flows between loops, conditions, handlers and pipelines several levels apart."""

# ruff: noqa: UP006, UP035, B006  # the SDK knows these forms only

from typing import List, NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Input

from tests.conformance.expected.model import Expected
from tests.conformance.features.components import echo, joined, number, read, read_two, represented, said, total, written
from tests.conformance.features.feature import Feature


@dsl.pipeline(name="choices-in-loops-in-handlers")
def choices_in_loops_in_handlers(items: List[str] = ["a", "b"]):
    with dsl.ExitHandler(said(s="end")):
        first = echo(s="in")
        with dsl.ParallelFor(items) as item:
            made = echo(s=f"{item} {first.output}")
            with dsl.If(made.output == "a in"):
                yes = echo(s=f"yes {item}")
            with dsl.Else():
                no = echo(s=f"no {item} of {first.output}")
            chosen = echo(s=dsl.OneOf(yes.output, no.output))
        represented(v=dsl.Collected(chosen.output))


@dsl.pipeline(name="counts")
def counts(xs: List[int], bonus: int = 1) -> NamedTuple("Counts", all=List[int], total=int):  # type: ignore[valid-type]
    with dsl.ParallelFor(xs) as x:
        one = number(n=x)
    number(n=bonus)
    result = total(v=dsl.Collected(one.output))
    return NamedTuple("Counts", all=List[int], total=int)(all=dsl.Collected(one.output), total=result.output)


@dsl.pipeline(name="pipelines-in-loops")
def pipelines_in_loops(xs: List[int] = [1, 2, 3]) -> NamedTuple("Result", totals=List[int], total=int):  # type: ignore[valid-type]
    first = counts(xs=xs)
    with dsl.ParallelFor(first.outputs["all"]) as y:
        again = counts(xs=first.outputs["all"], bonus=y)
    return NamedTuple("Result", totals=List[int], total=int)(
        totals=dsl.Collected(again.outputs["total"]), total=first.outputs["total"]
    )


@dsl.pipeline(name="kept-or-small")
def kept_or_small(s: str, other: Input[Dataset], n: int = 3) -> Dataset:
    with dsl.If(n > 2):
        kept = written(s=f"{s} {n}")
    with dsl.Else():
        small = written(s="small")
    read(data=other)
    return dsl.OneOf(kept.outputs["out"], small.outputs["out"])


@dsl.pipeline(name="artifacts-through-levels")
def artifacts_through_levels(ns: List[int] = [1, 3]) -> Dataset:
    start = written(s="start")
    with dsl.ParallelFor(ns) as n:
        one = kept_or_small(s=f"n={n}", other=start.outputs["out"], n=n)
        two = kept_or_small(s="again", other=one.output)
        read_two(first=one.output, second=start.outputs["out"])
    joined(files=dsl.Collected(one.output))
    joined(files=dsl.Collected(two.output))
    return kept_or_small(s="last", other=start.outputs["out"]).output


FEATURES = {
    "choices-in-loops-in-handlers": Feature(
        choices_in_loops_in_handlers,
        Expected(
            ran={"echo": 1, "echo-2": 2, "echo-3": 1, "echo-4": 1, "echo-5": 2, "represented": 1, "said": 1},
            values={"exit-handler-1/represented.Output": "['yes a', 'no b of in']"},
            printed={"said": ["end"]},
            skipped=None,
            after={"said": "exit-handler-1"},
        ),
    ),
    "pipelines-in-loops": Feature(
        pipelines_in_loops,
        Expected(
            ran={"number": 12, "number-2": 4, "total": 4},
            values={
                "counts.all": [1, 2, 3],
                "counts.total": 6,
                "for-loop-1[*]/counts-2/number-2.Output": [1, 2, 3],
                ".totals": [6, 6, 6],
                ".total": 6,
            },
        ),
    ),
    "artifacts-through-levels": Feature(
        artifacts_through_levels,
        Expected(
            ran={"written": 5, "written-2": 1, "read": 5, "read-two": 2, "joined": 1, "joined-2": 1},
            values={
                "joined.Output": "small|n=3 3",
                "joined-2.Output": "again 3|again 3",
                "for-loop-1[*]/read-two.Output": ["smallstart", "n=3 3start"],
                "for-loop-1[*]/kept-or-small-2/read.Output": ["small", "n=3 3"],
                "kept-or-small-3/read.Output": "start",
            },
            texts={".Output": ["last 3"]},
            skipped=None,
        ),
    ),
}
