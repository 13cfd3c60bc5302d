"""Whether a task's condition holds, and in which words it does not."""

from __future__ import annotations

from pipelines.spec import cel
from runs.engine.inputs import short
from runs.engine.model import Values


def unmet(condition: str, inputs: Values) -> str | None:
    """None where the condition holds (or is empty), else a sentence with the values it saw. Raises cel.ExpressionError."""
    if not condition or cel.evaluate(condition, inputs.parameters, inputs.artifacts):
        return None
    return f"Skipped because {cel.readable(condition)} is false{seen(condition, inputs)}."


def seen(condition: str, inputs: Values) -> str:
    """The values that a condition reads, as an addition to a sentence; empty where it reads none."""
    told = [
        f"{name.removeprefix('pipelinechannel--')} is {short(inputs.parameters[name])}"
        for name in cel.mentioned_parameters(condition)
        if name in inputs.parameters
    ]
    return f" ({', '.join(told)})" if told else ""
