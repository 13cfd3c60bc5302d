"""From the note that `entry` left to the result of the attempt, in the words that steps on a machine have."""

from __future__ import annotations

from dataclasses import replace

from runs.engine.values import Values
from runs.execution.amounts import seconds
from runs.execution.attempt import AttemptOrder
from runs.execution.ending import ending
from runs.execution.result import Cause, Result
from runs.launcher.logs import LogSender
from runs.launcher.volume import Ended


def judge(order: AttemptOrder, ended: Ended, began: int, sender: LogSender) -> Result:
    """How the attempt ended, its outputs aside. One that was asked to end and obeyed was stopped, whoever asked."""
    times = {"starting": min(began, ended.running or began), "finished": ended.finished or began}
    if ended.running:
        times["running"] = ended.running
    result = Result(
        attempt=order.name,
        state="succeeded",
        times=times,
        exit_code=ended.exit_code if ended.signal is None else 128 + ended.signal,
        signal=ended.signal,
        peak_memory=ended.peak or None,
    )
    if ended.error:
        cause = Cause.NOT_FOUND if ended.not_found else Cause.REFUSED
        return replace(result, state="failed", reason=_sentence(ended.error), cause=cause, retryable=False)
    if ended.timed_out:
        reason = f"Took longer than its limit of {seconds(order.timeout or 0)}"
        return replace(result, state="failed", reason=reason, cause=Cause.TIMEOUT)
    found = ending(
        ended.signal if ended.signal is not None else (ended.exit_code or 0) << 8,
        program=(order.command or order.args or ("",))[0],
        last_line=sender.last_line if (ended.signal is not None or ended.exit_code) else "",
        peak=ended.peak,
        memory_killed=False,  # only the pod's status knows
    )
    if ended.terminated:  # also with exit code 0: what it made until then is no result
        return replace(result, state="stopped")
    if not found.cause:
        return result
    return replace(result, state="failed", reason=_sentence(found.reason), cause=found.cause)


def spoilt(result: Result, sentence: str, cause: str) -> Result:
    """It ended well, but what it gave cannot be taken."""
    return replace(result, state="failed", reason=_sentence(sentence), cause=cause)


def with_outputs(result: Result, values: Values, at: int) -> Result:
    """It ended well, and this is what it gave; collecting was done at `at` (µs)."""
    collecting = result.times["finished"]
    return replace(result, times={**result.times, "collecting": collecting, "finished": max(at, collecting)}, outputs=values)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
