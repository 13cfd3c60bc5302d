"""What happened in a run, in words."""

from __future__ import annotations

from kfdash import words
from runs.models import RunEvent

_SAID = {
    "run.started": "The run began",
    "run.succeeded": "The run succeeded",
    "run.failed": "The run failed",
    "run.canceling": "The run is being stopped",
    "run.canceled": "The run was stopped",
    "run.retried": "The run was retried",
    "run.paused": "The run was paused",
    "run.resumed": "The run was resumed",
    "task.started": "Began",
    "task.succeeded": "Succeeded",
    "task.cached": "Taken from the cache",
    "task.failed": "Failed",
    "task.skipped": "Skipped",
    "task.canceling": "Is being stopped",
    "task.canceled": "Stopped",
    "task.reset": "Is to be done again",
    "attempt.started": "Attempt {attempt} was ordered",
    "attempt.waiting": "Attempt {attempt} waits",
    "attempt.failed": "Attempt {attempt} failed",
    "attempt.lost": "Attempt {attempt} was lost",
    "attempt.retry": "It is tried again",
    "attempt.progressed": "Attempt {attempt} gets ready",
    "task.changed": "May begin",
}


def told(event: RunEvent) -> str:
    """An event as a sentence."""
    verb = event.kind.partition(".")[2].replace("_", " ")
    text = _SAID.get(event.kind, f"{event.kind.partition('.')[0].capitalize()} {verb}").format(attempt=event.attempt or 1)
    reason = str(event.data.get("reason", "")).strip()
    if event.kind == "task.again" or (event.kind == "attempt.progressed" and reason):
        return reason
    if reason.lower().startswith(text.lower()):
        return reason
    if by := event.data.get("by"):
        text += f" by {by}"
    if event.kind.startswith("run.") and event.data.get("children"):
        text += f", {words.counted(event.data['children'], 'step')}"
    return f"{text}: {reason}" if reason else f"{text}."


def told_of(event: RunEvent) -> str:
    """The same after the name of the step: `train` "failed: Exit code 3", `train` ": attempt 1 was ordered."."""
    text = told(event)
    if text[1:2].islower():
        text = text[0].lower() + text[1:]
    says = event.kind.startswith("task.") and event.kind != "task.again"
    return f" {text}" if says else f": {text}"
