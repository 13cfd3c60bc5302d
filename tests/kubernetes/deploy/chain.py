"""A pipeline of twelve steps, one after the other. Without postponed annotations: kfp reads them."""

from kfp import dsl


@dsl.component(base_image="python:3.11")
def count(number: int) -> int:
    import time  # noqa: PLC0415  # a component's source is all that travels

    time.sleep(1)
    print(f"step {number}")
    return number + 1


@dsl.pipeline(name="chain-of-twelve")
def chain() -> None:
    """Twelve steps, one after the other."""
    last = count(number=0)
    for _ in range(11):
        last = count(number=last.output)
