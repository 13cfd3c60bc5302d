"""Components for `sdk_pipelines`. (The SDK reads annotations as they are, so there is no postponed evaluation here.)"""

# ruff: noqa: UP006, UP035, UP045  # the SDK knows these forms only

from typing import List, Optional

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output, OutputPath, PipelineTaskFinalStatus


@dsl.component
def count(n: int) -> int:
    return n


@dsl.component
def text(s: str = "none") -> str:
    return s


@dsl.component
def passed(s: str = "default") -> str:
    return s


@dsl.component
def listed(n: int) -> list:
    return list(range(n))


@dsl.component
def total(items: list) -> int:
    return len(items)


@dsl.component
def make(data: Output[Dataset], model: Output[Model], words: OutputPath(str)):  # type: ignore[valid-type]
    pass


@dsl.component
def read(data: Input[Dataset]):
    pass


@dsl.component
def read_all(data: Input[List[Dataset]]):
    pass


@dsl.component
def reported(status: PipelineTaskFinalStatus, note: str = "x"):
    pass


@dsl.container_component
def place(
    n: int,
    data: Input[Dataset],
    many: Input[List[Dataset]],
    result: OutputPath(int),  # type: ignore[valid-type]
    out: Output[Dataset],
    maybe: Optional[str] = None,
):
    """All placeholders that a container component can have."""
    return dsl.ContainerSpec(
        image="x",
        command=["sh", "-c", dsl.ConcatPlaceholder(["a", n, dsl.ConcatPlaceholder(["b", result])])],
        args=[
            *(n, data.path, data.uri, data.metadata, data.metadata["k"], many, result, out.path, out.uri),
            dsl.IfPresentPlaceholder("maybe", then=["--maybe", maybe], else_=["no"]),
            dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER,
            dsl.PIPELINE_TASK_EXECUTOR_OUTPUT_PATH_PLACEHOLDER,
            f"{dsl.PIPELINE_ROOT_PLACEHOLDER}/x",
        ],
    )
