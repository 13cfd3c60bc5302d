"""The critical path: the chain of steps that determined when a run ended. From times and dependencies alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from pipelines.spec import paths
from runs.tree import Step, Tree

_NEVER = datetime.max.replace(tzinfo=UTC)


def critical_path(tree: Tree) -> frozenset[str]:
    """The paths on it, groups among them. While the run goes on, the chain that has lasted until now."""
    found: set[str] = set()
    groups = ["root"]
    while groups:
        members = tree.children.get(groups.pop(), ())
        step = _last(members)
        while step is not None:
            if step.state != "SKIPPED":  # it took no time: what it waited for did
                found.add(step.path)
                groups.append(step.path)
            step = _before(tree, step)
    return frozenset(found)


def _last(steps: Iterable[Step]) -> Step | None:
    """The step that ended last, one that goes on before all others; of those that did anything."""
    begun = [step for step in steps if _began(step) is not None or step.finished_at is not None]
    ran = [step for step in begun if step.state != "SKIPPED"]
    return max(ran or begun, key=lambda step: (step.finished_at or _NEVER, -_seconds(_began(step))), default=None)


def _before(tree: Tree, step: Step) -> Step | None:
    """What the step waited for last, None where nothing but its group's begin."""
    if paths.index(step.path) is not None:
        return _made_room(tree, step)
    task, _ = tree.spec.at(step.path)
    group = paths.parent(step.path)
    if task is None:
        return None
    waited = [tree.steps[path] for key in task.dependencies if (path := paths.child(group, key)) in tree.steps]
    return max((one for one in waited if one.finished_at is not None), key=lambda one: one.finished_at or _NEVER, default=None)


def _made_room(tree: Tree, iteration: Step) -> Step | None:
    """Where a loop lets only some iterations run at once: the one whose end let this one begin."""
    loop = tree.steps.get(iteration.parent)
    task, _ = tree.spec.at(iteration.parent)
    begun = iteration.ready_at
    if loop is None or task is None or not task.parallelism or begun is None:
        return None
    first = loop.started_at or loop.ready_at
    if first is not None and begun <= first:
        return None
    ended = [one for one in tree.iterations(loop.path) if one.finished_at is not None and one.finished_at <= begun]
    return max(ended, key=lambda one: one.finished_at or _NEVER, default=None)


def _began(step: Step) -> datetime | None:
    return step.ready_at or step.started_at


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at is not None else 0.0
