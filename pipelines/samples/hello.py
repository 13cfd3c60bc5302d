"""The smallest pipeline: one step, one input, one output."""

from kfp import compiler, dsl


@dsl.component(base_image="python:3.11")
def greet(name: str) -> str:
    """Says hello."""
    text = f"Hello, {name}!"
    print(text)
    return text


@dsl.pipeline(name="hello", description="One step that says hello.")
def hello(name: str = "world") -> str:
    """The pipeline.

    Args:
        name: Whom to greet.
    """
    return greet(name=name).output


if __name__ == "__main__":
    compiler.Compiler().compile(hello, __file__.replace(".py", ".yaml"))
