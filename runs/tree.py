"""A run's tasks as a tree: rows in the pipeline's order, iterations by index, the compiler's wrappers left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.drawing.words import is_exit_task, is_frame, title, type_word
from pipelines.ordering import ordered
from pipelines.spec import paths
from pipelines.spec.model import PipelineSpec
from runs import models

OPEN_UP_TO = 40  # iterations; larger loops start folded
_COLUMNS = (
    *("path", "parent", "kind", "state", "reason", "cause", "attention", "cached_from", "attempt", "waiting_on", "retry_at"),
    *("children", "ended", "succeeded", "failed", "running", "created_at", "ready_at", "started_at", "finished_at"),
)


@dataclass(slots=True)
class Step:
    """A task's row without its values; names as in `runs.models.Task`."""

    path: str
    parent: str
    kind: str
    state: str
    reason: str
    cause: str
    attention: bool
    cached_from: str
    attempt: int
    waiting_on: int
    retry_at: datetime | None
    children: int
    ended: int
    succeeded: int
    failed: int
    running: int
    created_at: datetime | None
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(slots=True)
class Row:
    """A row of the table: a step, how deep it lies and what it is called. `folds` says that it has rows below."""

    step: Step
    depth: int
    name: str
    type: str
    folds: bool = False
    folded: bool = False
    exit: bool = False


@dataclass
class Tree:
    """All tasks of a run by path, with their children in order."""

    spec: PipelineSpec
    steps: dict[str, Step]
    children: dict[str, list[Step]] = field(default_factory=dict)

    @property
    def root(self) -> Step | None:
        """The run itself, None before it began."""
        return self.steps.get("root")

    def leaves(self) -> Iterator[Step]:
        """The steps that are no groups."""
        return (step for step in self.steps.values() if step.kind not in ("dag", "loop"))

    def failures(self) -> list[Step]:
        """What failed by itself, not through something inside it, in order of the ends."""
        through = {step.parent for step in self.steps.values() if step.state == "FAILED"}
        found = [step for step in self.steps.values() if step.state == "FAILED" and step.path not in through]
        return sorted(found, key=lambda step: (step.finished_at is None, step.finished_at or step.path, step.path))

    def cause_of(self, step: Step | None) -> Step | None:
        """For what failed: the first failure in it, or itself; None for what did not fail."""
        if step is None or step.state != "FAILED":
            return None
        inside = (f"{step.path}/", f"{step.path}[")
        return next((found for found in self.failures() if found is step or found.path.startswith(inside)), step)

    def iterations(self, loop: str) -> list[Step]:
        """The iterations of a loop that exist, by index."""
        return self.children.get(loop, [])

    def nearest(self, path: str) -> Step | None:
        """The task at a path, or the group around it that exists."""
        while path:
            if (step := self.steps.get(path)) is not None:
                return step
            path = paths.parent(path)
        return None


def read_tree(run: models.Run, spec: PipelineSpec) -> Tree:
    """The tasks of a run in one query, as a tree."""
    return make_tree(spec, read_steps(run))


def read_steps(run: models.Run) -> list[Step]:
    """The tasks of a run in one query, as they come."""
    return [Step(*row) for row in models.Task.objects.filter(run=run).values_list(*_COLUMNS)]


def make_tree(spec: PipelineSpec, steps: Iterable[Step]) -> Tree:
    """A tree of steps."""
    tree = Tree(spec, {step.path: step for step in steps})
    children: dict[str, list[Step]] = defaultdict(list)
    for step in tree.steps.values():
        if step.parent:
            children[step.parent].append(step)
    orders: dict[str, dict[str, int]] = {}
    for parent, below in children.items():
        group = tree.steps.get(parent)
        if group is not None and group.kind == "loop":
            below.sort(key=lambda step: paths.index(step.path) or 0)
            continue
        template = paths.template(parent)
        if template not in orders:
            _, component = spec.at(template)
            orders[template] = {key: at for at, key in enumerate(ordered(component.dag))} if component.dag else {}
        order = orders[template]
        below.sort(key=lambda step: order.get(paths.key(step.path), 0))  # noqa: B023  # sorted before the next turn
    tree.children = dict(children)
    return tree


def rows(tree: Tree, *, fold: Collection[str] = (), unfold: Collection[str] = ()) -> list[Row]:
    """The visible rows: all but what lies in folded groups. Large loops are folded unless they are in `unfold`."""
    found: list[Row] = []
    names = _Names(tree.spec)
    _below(tree, "root", 0, found, names, frozenset(fold), frozenset(unfold))
    return found


def _below(
    tree: Tree, path: str, depth: int, found: list[Row], names: _Names, fold: frozenset[str], unfold: frozenset[str]
) -> None:
    for step in tree.children.get(path, ()):
        called = names.of(step.path)
        if called.frame:
            _below(tree, step.path, depth, found, names, fold, unfold)
            continue
        below = tree.children.get(step.path, [])
        index = paths.index(step.path)
        if index is not None:
            if len(below) == 1 and not tree.children.get(below[0].path):
                inner = names.of(below[0].path)
                found.append(Row(below[0], depth, f"[{index}] {inner.title}", inner.type))
                continue
            name, kind = f"[{index}]", "iteration"
        else:
            name, kind = called.title, called.type
        if step.kind == "loop" and (step.children or step.ended):
            kind = f"loop ×{step.children}"
        folded = bool(below) and (step.path in fold or (len(below) > OPEN_UP_TO and step.path not in unfold))
        found.append(Row(step, depth, name, kind, folds=bool(below), folded=folded, exit=called.exit))
        if below and not folded:
            _below(tree, step.path, depth + 1, found, names, fold, unfold)


@dataclass(frozen=True, slots=True)
class _Called:
    title: str
    type: str
    frame: bool
    exit: bool


class _Names:
    """What tasks are called, remembered by template path."""

    def __init__(self, spec: PipelineSpec) -> None:
        self.spec = spec
        self.known: dict[str, _Called] = {}

    def of(self, path: str) -> _Called:
        template = paths.template(path)
        if (found := self.known.get(template)) is not None:
            return found
        task, component = self.spec.at(template)
        if task is None:
            called = _Called(self.spec.name, "pipeline", False, False)
        else:
            called = _Called(
                title(self.spec, task), type_word(self.spec, task, component), is_frame(task, component), is_exit_task(task)
            )
        self.known[template] = called
        return called


def step_name(spec: PipelineSpec, path: str) -> str:
    """What the step at a path is called on pages: `train-candidate`, with the iterations it is in: `score[3]`."""
    task, _ = spec.at(path)
    name = title(spec, task) if task is not None else spec.display_name or spec.name
    within = [index for up in (path, *paths.ancestors(path)) if (index := paths.index(up)) is not None]
    return name + "".join(f"[{index}]" for index in reversed(within))


def state_counts(tree: Tree) -> list[dict[str, Any]]:
    """How many steps are in each state, worst first: dicts of `look`, `state`, `attention`, `cached`, `count`.

    A group counts where nothing of it has begun: a branch that was not taken is one skipped step.
    """
    counted: dict[tuple[str, bool, bool], int] = defaultdict(int)
    for step in tree.steps.values():
        if step.path in tree.children or step is tree.root:
            continue
        waiting = step.state == "PENDING" and step.attention
        counted[step.state, waiting, step.state == "SUCCEEDED" and bool(step.cached_from)] += 1
    return [
        {"look": look, "state": state, "attention": attention, "cached": cached, "count": counted[state, attention, cached]}
        for look, state, attention, cached in LOOKS
        if counted[state, attention, cached]
    ]


LOOKS = (
    ("FAILED", "FAILED", False, False),
    ("WAITING", "PENDING", True, False),
    ("CANCELING", "CANCELING", False, False),
    ("RUNNING", "RUNNING", False, False),
    ("PENDING", "PENDING", False, False),
    ("SUCCEEDED", "SUCCEEDED", False, False),
    ("CACHED", "SUCCEEDED", False, True),
    ("SKIPPED", "SKIPPED", False, False),
    ("CANCELED", "CANCELED", False, False),
)
