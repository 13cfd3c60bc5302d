"""From a result document to what the driver is told of an attempt's end."""

from __future__ import annotations

from runs.engine.model import AttemptFailed, AttemptLost, AttemptStopped, AttemptSucceeded, Fact
from runs.execution.result import Result, to_time


def fact_of(result: Result, path: str, number: int) -> Fact:
    """The fact about attempt `number` of the task at `path`."""
    at = to_time(result.times["finished"])
    running = to_time(result.times["running"]) if "running" in result.times else None
    if result.state == "succeeded":
        collecting = to_time(result.times["collecting"]) if "collecting" in result.times else None
        return AttemptSucceeded(path, number, at, result.outputs, result.peak_memory, running, collecting)
    if result.state == "failed":
        reason = result.reason or "The step failed and left no reason."
        cause = result.cause or "exit-code"
        return AttemptFailed(path, number, at, reason, cause, result.exit_code, result.retryable, result.peak_memory, running)
    if result.state == "stopped":
        return AttemptStopped(path, number, at, result.exit_code)
    return AttemptLost(path, number, at, result.reason or "The step was lost.")
