"""A loop of twelve of which one fails, and a clean-up that runs all the same: what a failure looks like."""

from kfp import compiler, dsl
from kfp.dsl import PipelineTaskFinalStatus


@dsl.component(base_image="python:3.11")
def check_batch(number: int, broken: int) -> int:
    """Counts a batch's rows; the broken one has none."""
    import sys

    print(f"batch {number}: reading")
    rows = 0 if number == broken else 100 + number
    if not rows:
        print(f"batch {number}: the file is empty", file=sys.stderr)
        raise ValueError(f"batch {number} has no rows")
    print(f"batch {number}: {rows} rows")
    return rows


@dsl.component(base_image="python:3.11")
def clean_up(status: PipelineTaskFinalStatus):
    """Runs whatever became of the batches."""
    print(f"The batches ended as {status.state}.")


@dsl.pipeline(name="check-batches", description="Checks twelve batches; one of them is broken.")
def batches(broken: int = 8):
    """The pipeline.

    Args:
        broken: Number of the batch that is broken; 0 for none.
    """
    with (
        dsl.ExitHandler(clean_up(), name="with-clean-up"),
        dsl.ParallelFor(list(range(1, 13)), name="batches") as number,
    ):
        check_batch(number=number, broken=broken)


if __name__ == "__main__":
    compiler.Compiler().compile(batches, __file__.replace(".py", ".yaml"))
