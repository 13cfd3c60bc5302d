"""Pipelines with the features of the language, compiled with the `kfp` SDK: `python sdk_pipelines.py FOLDER`."""

# ruff: noqa: UP006, UP035, UP045  # the SDK knows these forms only

import pathlib
import sys
from typing import List, NamedTuple, Optional

from kfp import compiler, dsl
from sdk_steps import count, listed, make, passed, place, read, read_all, reported, text, total


@dsl.pipeline(name="inner")
def inner(n: int, s: Optional[str] = None) -> NamedTuple("Results", number=int, words=str):  # type: ignore[valid-type]
    number, words = count(n=n), text(s=s)
    return NamedTuple("Results", number=int, words=str)(number=number.output, words=words.output)


@dsl.pipeline(name="values")
def values(n: int = 5, s: str = "a", items: list = [1], options: dict = {"a": 1}, flag: bool = True) -> int:  # noqa: B006
    first = count(n=n)
    first.set_retry(3, backoff_duration="1s", backoff_factor=1.5).set_caching_options(True, cache_key="k").set_env_variable(
        "A", "B"
    )
    text(s=f"{s} {first.output} {dsl.PIPELINE_JOB_ID_PLACEHOLDER}")
    total(items=items)
    total(items=["a", first.output, f"{s}x"])
    nested = inner(n=first.output, s=s)
    count(n=nested.outputs["number"])
    return nested.outputs["number"]


@dsl.pipeline(name="settings")
def settings(image: str = "x", cpu: str = "1", memory: str = "1Gi", kind: str = "gpu", number: str = "1"):
    step = count(n=1)
    step.set_container_image(image).set_cpu_limit(cpu).set_memory_limit(memory)
    step.set_accelerator_type(kind).set_accelerator_limit(number)
    count(n=1).set_container_image(make().outputs["words"])


@dsl.pipeline(name="conditions")
def conditions(s: str = "x", n: int = 1) -> str:
    first = count(n=1)
    with dsl.If(first.output == 1):
        one = text(s="1")
        with dsl.If(s != "a"):
            text(s=one.output)
    with dsl.Elif(n > first.output):
        two = text(s="2")
    with dsl.Else():
        three = text(s="3")
    with dsl.If(s == "b"):
        left = make()
    with dsl.Else():
        right = make()
    read(data=dsl.OneOf(left.outputs["data"], right.outputs["data"]))
    chosen = dsl.OneOf(one.output, two.output, three.output)
    text(s=chosen)
    return chosen


@dsl.pipeline(name="loops")
def loops(items: list = [1, 2], words: List[str] = ["a"]):  # noqa: B006
    with dsl.ParallelFor([1, 2, 3], parallelism=2) as item:
        outer = count(n=item)
        with dsl.ParallelFor([{"x": 1}]) as entry:
            count(n=entry.x)
            made = make()
            deep = count(n=outer.output)
    total(items=dsl.Collected(outer.output))
    total(items=dsl.Collected(deep.output))
    read_all(data=dsl.Collected(made.outputs["data"]))
    with dsl.ParallelFor(items) as item:
        count(n=item)
    with dsl.ParallelFor(words) as item:
        inner(n=1, s=item)
    with dsl.ParallelFor(listed(n=1).output) as item, dsl.If(item == 2):
        some = count(n=item)
    total(items=dsl.Collected(some.output))


@dsl.pipeline(name="endings")
def endings(s: str = "m"):
    with dsl.ExitHandler(reported(note=s)):
        count(n=1)
    made = make()
    passed(s=made.outputs["words"]).ignore_upstream_failure()
    count(n=1).after(made)


@dsl.pipeline(name="artifacts")
def artifacts():
    fixed = dsl.importer(artifact_uri="gs://a/b", artifact_class=dsl.Dataset, metadata={"a": 1})
    made = make()
    moving = dsl.importer(artifact_uri=made.outputs["words"], artifact_class=dsl.Dataset, metadata={"k": made.outputs["words"]})
    read(data=fixed.output)
    read(data=moving.output)
    with dsl.ParallelFor([1, 2]):
        each = make()
    place(n=1, data=made.outputs["data"], many=dsl.Collected(each.outputs["data"]))
    place(n=1, data=made.outputs["data"], many=dsl.Collected(each.outputs["data"]), maybe="x")


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    for made in (values, settings, conditions, loops, endings, artifacts, place, make, read_all):
        compiler.Compiler().compile(made, str(folder / f"{made.name}.yaml"))
