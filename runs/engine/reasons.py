"""Sentences for what is not green, made from the step whose failure explains it."""

from __future__ import annotations

from pipelines.spec import paths
from runs.engine.draft import Draft
from runs.engine.model import State, Task

_LIMIT = 600  # characters of another task's reason inside a sentence


def relative(path: str, group: str) -> str:
    """A path seen from a group above it, as a person reads it."""
    below = paths.unescape(path.removeprefix(group).lstrip("/"))
    return paths.key(group) + below if below.startswith("[") else below


def group_failure(draft: Draft, group: Task) -> str:
    """Why a group failed: its first failure, and how many there were."""
    first = "one of its steps failed."
    leaf = draft.find(group.culprit) if group.culprit else None
    if leaf is not None:
        reason = leaf.reason if len(leaf.reason) <= _LIMIT else leaf.reason[:_LIMIT] + "…"
        first = f"{relative(leaf.path, group.path) or paths.key(leaf.path)} failed: {reason}"
    if group.failed <= 1:
        return first
    is_loop = group.kind.value == "loop"
    counted = f"{group.failed} of {group.children} iterations failed" if is_loop else f"{group.failed} steps failed"
    return f"{counted}. First: {first}"


def blocked(blocker: Task) -> tuple[str, str]:
    """Why a task does not run whose dependency ended without success: (sentence, cause)."""
    key = paths.key(blocker.path)
    match blocker.state:
        case State.FAILED:
            return f"Did not run because {key} failed.", "upstream-failed"
        case State.CANCELED:
            return f"Did not run because {key} was cancelled.", "upstream-canceled"
        case _:
            return f"Did not run because {key} was skipped.", "upstream-skipped"
