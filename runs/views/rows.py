"""Rows of lists of runs: a run with its strip of steps and, where it is not green, why. Three queries for a whole page."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from kfdash.strips import Mark, Strip, lay_out
from kfdash.words import UNKNOWN, counted, state_word
from pipelines.ordering import step_orders
from pipelines.spec import paths
from pipelines.spec.model import ROOT
from runs.engine.model import Kind, State
from runs.models import Run, Task

_GROUPS = (Kind.DAG, Kind.LOOP)
_MOST_MARKS = 300  # steps of one run that are read; larger ones are drawn from their root's counters
_COLUMNS = ("run_id", "path", "parent", "kind", "state", "attention", "cached_from", "reason", "culprit", "children", "ended")
_COLUMNS += ("succeeded", "failed", "canceled")


@dataclass(frozen=True)
class RunRow:
    """A run as lists show it."""

    run: Run
    strip: Strip
    waiting: bool = False  # nothing of it runs, and something cannot start
    subject: str = ""  # the step that the reason is about
    reason: str = ""
    tone: str = ""  # the state whose colour the reason has
    activity: str = ""  # what the subject is doing, where nothing is wrong

    @property
    def shown_state(self) -> str:
        """The state for the icon: a run that only waits looks like a waiting step."""
        return "PENDING" if self.waiting else self.run.state


def with_pipeline(runs: QuerySet[Run]) -> QuerySet[Run]:
    """The runs with what their rows name, without the documents."""
    related = runs.select_related("version__pipeline", "experiment", "specification")
    return related.defer("specification__pipeline", "specification__platform", "version__package", "state_history")


def run_rows(runs: Sequence[Run], *, width: float = 104) -> list[RunRow]:
    """The rows of runs that `with_pipeline` loaded, in the same order."""
    tasks = _tasks_of(runs)
    orders = step_orders(run.specification_id for run in runs)
    active = [run for run in runs if not State(run.state).is_final]
    waits, busy = _waiting_steps(active, tasks), _busy_steps(active, tasks)
    return [
        _row(run, tasks.get(run.pk, []), orders.get(run.specification_id, ()), waits.get(run.pk), busy.get(run.pk, ""), width)
        for run in runs
    ]


def _tasks_of(runs: Sequence[Run]) -> dict[uuid.UUID, list[dict[str, Any]]]:
    small = [run.pk for run in runs if run.specification.step_count <= _MOST_MARKS]
    wanted = Q(run_id__in=[run.pk for run in runs], parent="") | Q(run_id__in=small, parent=ROOT)
    found: dict[uuid.UUID, list[dict[str, Any]]] = {}
    for task in Task.objects.filter(wanted).order_by("id").values(*_COLUMNS):
        found.setdefault(task["run_id"], []).append(task)
    return found


def _waiting_steps(runs: Iterable[Run], tasks: Mapping[uuid.UUID, list[dict[str, Any]]]) -> dict[uuid.UUID, tuple[str, str]]:
    """Run → path and reason of the first of its steps that cannot start; of runs without groups `tasks` has all steps."""
    found: dict[uuid.UUID, tuple[str, str]] = {}
    ids = []
    for run in runs:
        steps = [task for task in tasks.get(run.pk, ()) if task["parent"]]
        if run.specification.step_count > _MOST_MARKS or any(step["kind"] in _GROUPS for step in steps):
            ids.append(run.pk)
        elif (wait := next((step for step in steps if step["attention"]), None)) is not None:
            found[run.pk] = (wait["path"], wait["reason"])
    if not ids:
        return found
    waiting = Task.objects.filter(run_id__in=ids, attention=True).order_by("id").values_list("run_id", "path", "reason")
    for run_id, path, reason in waiting[:1000]:
        found.setdefault(run_id, (path, reason))
    return found


def _busy_steps(runs: Sequence[Run], tasks: Mapping[uuid.UUID, list[dict[str, Any]]]) -> dict[uuid.UUID, str]:
    """Run → path of the first step that runs inside a group, for those of which a group of the root runs."""
    ids = [
        run.pk
        for run in runs
        if any(task["parent"] and task["kind"] in _GROUPS and task["state"] == State.RUNNING for task in tasks.get(run.pk, ()))
    ]
    if not ids:
        return {}
    found: dict[uuid.UUID, str] = {}
    inside = Task.objects.filter(run_id__in=ids, state=State.RUNNING).exclude(kind__in=_GROUPS).order_by("id")
    for run_id, path in inside.values_list("run_id", "path")[:1000]:
        found.setdefault(run_id, path)
    return found


def _row(
    run: Run, tasks: list[dict[str, Any]], order: Sequence[str], wait: tuple[str, str] | None, inside: str, width: float
) -> RunRow:
    root = next((task for task in tasks if not task["parent"]), None)
    steps = {paths.key(task["path"]): task for task in tasks if task["parent"]}
    strip = lay_out(_marks(run, root, steps, order), width=width)
    failed = next((step for step in steps.values() if step["state"] == State.FAILED), None)
    state = State(run.state)
    if state is State.CANCELING:
        return RunRow(run, strip, reason=_stopping(run, steps), tone=run.state)
    if state is State.FAILED or state is State.CANCELED:
        subject, reason = _split(run.reason, root["culprit"] if root else "")
        return RunRow(run, strip, subject=subject, reason=reason or _bare_reason(run), tone=run.state)
    if not state.is_final and failed:
        subject, reason = _split(failed["reason"], failed["culprit"] or failed["path"])
        return RunRow(run, strip, subject=subject or _called(failed["path"]), reason=reason, tone=State.FAILED)
    if not state.is_final and wait:
        busy = any(step["state"] == State.RUNNING for step in steps.values())
        return RunRow(run, strip, waiting=not busy, subject=_called(wait[0]), reason=wait[1], tone="WAITING")
    subject, activity = _activity(steps, inside) if not state.is_final else ("", "")
    return RunRow(run, strip, subject=subject, activity=activity)


def _activity(steps: dict[str, dict[str, Any]], inside: str) -> tuple[str, str]:
    """The step that runs, and how far it is: `train, 6 of 12`. `inside` runs in a group, whose own name is made up."""
    busy = [(key, step) for key, step in steps.items() if step["state"] == State.RUNNING]
    if not busy:  # what starts, or will be tried again, says so
        told = ((key, step["reason"]) for key, step in steps.items() if step["state"] == State.PENDING and step["reason"])
        return next(told, ("", ""))
    key, step = busy[0]
    if step["kind"] == Kind.LOOP and step["children"]:
        return paths.key(inside) if inside.startswith(f"{step['path']}[") else key, f"{step['ended']} of {step['children']}"
    if inside.startswith(f"{step['path']}/"):
        key = _called(inside)
    return key, f"and {counted(len(busy) - 1, 'other')}" if len(busy) > 1 else ""


def _marks(run: Run, root: dict[str, Any] | None, steps: dict[str, dict[str, Any]], order: Sequence[str]) -> list[Mark]:
    if not steps and root and root["children"]:
        return _counted_marks(root)
    keys = [*(key for key in order if key in steps), *(key for key in steps if key not in set(order))] or list(order)
    marks = []
    for key in keys:
        step = steps.get(key, {"state": State.PENDING, "attention": False, "cached_from": ""})
        word = state_word(step["state"], attention=step["attention"], cached=bool(step["cached_from"])).lower()
        marks.append(Mark(step["state"], step["attention"], bool(step["cached_from"]), title=f"{key}: {word}"))
    return marks


def _counted_marks(root: dict[str, Any]) -> list[Mark]:
    """Marks from a group's counters, where reading its children would be too much."""
    others = root["ended"] - root["succeeded"] - root["failed"] - root["canceled"]
    counts = [(State.SUCCEEDED, root["succeeded"]), (State.FAILED, root["failed"]), (State.CANCELED, root["canceled"])]
    counts += [(State.SKIPPED, max(others, 0)), (State.PENDING, max(root["children"] - root["ended"], 0))]
    return [mark for state, count in counts for mark in [Mark(state)] * count]


def _split(reason: str, culprit: str) -> tuple[str, str]:
    """The step that a group's sentence is about, and the rest of the sentence: `train failed: exit code 1` is about train."""
    name = _readable(culprit)
    for subject in (name, paths.key(culprit) if culprit else ""):
        if subject and reason.startswith(f"{subject} failed: "):
            return _called(culprit), reason.removeprefix(f"{subject} failed: ")
    return "", reason


def _called(path: str) -> str:
    """What a step is called in one word: its name, and the iterations it is in (`check[7]`)."""
    within = [index for up in (path, *paths.ancestors(path)) if (index := paths.index(up)) is not None]
    return paths.unescape(paths.key(path)) + "".join(f"[{index}]" for index in reversed(within))


def _readable(path: str) -> str:
    return paths.unescape(path.removeprefix(ROOT).lstrip("/"))


def _stopping(run: Run, steps: dict[str, dict[str, Any]]) -> str:
    busy = sum(step["state"] in (State.RUNNING, State.CANCELING) for step in steps.values())
    by = f", asked by {run.stopped_by}" if run.stopped_by else ""
    return f"stopping {counted(busy, 'step')}{by}" if busy else f"stopping{by}"


def _bare_reason(run: Run) -> str:
    if run.state == State.CANCELED:
        return f"stopped by {run.stopped_by}" if run.stopped_by else "stopped"
    return UNKNOWN
