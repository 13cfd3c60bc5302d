"""The right side of a run's page: one step (or the run) with its overview, inputs and outputs, log and events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kfdash import moment
from pipelines.drawing.picture import strip_marks
from pipelines.drawing.words import type_word
from pipelines.spec import paths
from pipelines.spec.model import ContainerSpec
from runs import logs, logstore, models, services
from runs.artifacts.previews import preview
from runs.messages import task_message
from runs.removed import removed_sentence
from runs.replay import attempts_seen, row_seen
from runs.tree import Step, Tree, step_name
from runs.views import pods
from runs.views.events import events
from runs.views.loglines import log_key, printed
from runs.views.overview import overview
from runs.views.steps import Address, iteration_looks
from runs.views.values import shown_arguments, shown_values
from runs.wording import starting

TABS = (("overview", "Overview"), ("io", "Inputs and outputs"), ("log", "Log"), ("pod", "Pod"), ("events", "Events"))
LOG_BLOCK = 200
_MOST_PREVIEWS = 8


def context(run: models.Run, tree: Tree, address: Address) -> dict[str, Any]:
    """The context of `runs/_panel.html` for the step in the address; the run itself where none is chosen or known."""
    path = address.task if _known(tree, address.task) else "root"
    task, component = tree.spec.at(path)
    step = tree.steps.get(path)
    attempts = [] if step is None or step.kind in ("dag", "loop") else attempts_seen(_attempts(run, path), step)
    attempt = next((one for one in attempts if one.number == address.attempt), attempts[-1] if attempts else None)
    found: dict[str, Any] = {
        "run": run,
        "path": path,
        "is_run": path == "root",
        "name": run.name if path == "root" else step_name(tree.spec, path),
        "type": "run" if path == "root" else type_word(tree.spec, task, component),
        "step": step,
        "state": step.state if step is not None else "PENDING",
        "starting": step is not None and starting(task_message(step)),  # type: ignore[arg-type]
        "attempts": attempts,
        "attempt": attempt,
        "attempt_hrefs": [(one, address.to(attempt=one.number)) for one in attempts],
        "loop": _loop_switch(tree, path, address),
        "close_href": address.to(task=""),
        "address": address,
    }
    tab = address.tab if address.tab in dict(TABS) else "overview"
    has_pod = services.has_pods() and path != "root" and _is_container(tree, path) and moment.past() is None
    if (tab == "log" and not attempts) or (tab == "pod" and not has_pod):
        tab = "overview"
    found["tab"] = tab
    found["tabs"] = [
        {"name": name, "word": word, "on": name == tab, "href": address.to(task=path, tab=name)}
        for name, word in TABS
        if (name != "log" or attempts) and (name != "pod" or has_pod)
    ]
    if has_pod:
        found["pod_address"] = pods.address(run, path, attempt)
    if tab == "events":
        return found | events(run, tree, path, address)
    if tab == "pod":
        return found
    return found | {"overview": overview, "io": io, "log": log_tab}[tab](run, tree, path, step, attempt)


def _known(tree: Tree, path: str) -> bool:
    if not path:
        return False
    try:
        tree.spec.at(path)
    except (KeyError, AssertionError):
        return False
    return True


def _is_container(tree: Tree, path: str) -> bool:
    _, component = tree.spec.at(path)
    return isinstance(tree.spec.executor_of(component), ContainerSpec)


def _attempts(run: models.Run, path: str) -> list[models.Attempt]:
    return list(models.Attempt.objects.filter(run=run, path=path).order_by("number"))


# --- loops ----------------------------------------------------------------------------------------------------------


def _loop_switch(tree: Tree, path: str, address: Address) -> dict[str, Any] | None:
    """The strip above the tabs: which iteration of the nearest loop is looked at, and the ways to its neighbours."""
    within = next((up for up in (path, *paths.ancestors(path)) if paths.index(up) is not None), None)
    loop = paths.parent(within) if within else path
    step = tree.steps.get(loop)
    if step is None or step.kind != "loop":
        return None
    looks = iteration_looks(tree, step)
    at = paths.index(within) if within else None
    rest = path[len(within) :] if within else ""

    def other(index: int) -> str:
        there = paths.iteration(loop, index)
        below = tree.children.get(there, [])
        return address.to_step(there + rest if rest else below[0].path if len(below) == 1 else there)

    width = min(14.0 * len(looks), 190.0)
    marks = strip_marks(looks, width=width)
    current = next((mark for mark in marks if at is not None and mark.first <= at < mark.first + mark.count), None)
    return {
        "path": loop,
        "rest": rest,
        "marks": marks,
        "width": round(width + 4),
        "frame": (round(current.x - 2.5, 1), round(current.width + 5, 1)) if current else None,
        "at": at + 1 if at is not None else None,
        "of": len(looks),
        "previous": other(at - 1) if at else "",
        "next": other(at + 1 if at is not None else 0) if looks and (at is None or at + 1 < len(looks)) else "",
    }


# --- inputs and outputs ---------------------------------------------------------------------------------------------


def io(run: models.Run, tree: Tree, path: str, step: Step | None, attempt: models.Attempt | None) -> dict[str, Any]:
    """Values that went in and came out, outputs with a preview."""
    _, component = tree.spec.at(path)
    row = row_seen(models.Task.objects.filter(run=run, path=path).only("inputs", "outputs", "cached_from").first(), step)
    outputs = shown_values(component.output_parameters, component.output_artifacts, row.outputs if row else None)
    ids = [artifact["id"] for value in outputs for artifact in value["artifacts"] if artifact["id"]][:_MOST_PREVIEWS]
    made = models.Artifact.objects.filter(pk__in=ids).in_bulk() if ids else {}
    return {
        "inputs": shown_values(component.input_parameters, component.input_artifacts, row.inputs if row else None)
        or shown_arguments(run, component, path),
        "outputs": outputs,
        "previews": [(made[key], preview(made[key])) for key in ids if key in made],
        "declared": bool(component.output_parameters or component.output_artifacts),
    }


# --- log ------------------------------------------------------------------------------------------------------------


def log_tab(run: models.Run, tree: Tree, path: str, step: Step | None, attempt: models.Attempt | None) -> dict[str, Any]:
    """The last block of the log, complete; a script fetches the others."""
    key = log_key(run, attempt)
    count = logs.count(key) if key else 0
    levels = logs.levels(key) if key else logstore.Levels(0, 0, 0)
    return {
        "log": key,
        "count": count,
        "lines": [printed(line) for line in logs.tail(key, LOG_BLOCK)] if count else [],
        "levels": levels,
        "size": logs.size(key) if key else 0,
        "ended": attempt is not None and attempt.finished_at is not None,
        "removed": removed_sentence(run, "logs") if not count else "",
        "log_reason": step.reason if step is not None else "",
        "begin_micros": int(_first_time(attempt) * 1_000_000),
    }


def _first_time(attempt: models.Attempt | None) -> float:
    at: datetime | None = (attempt.starting_at or attempt.queued_at) if attempt is not None else None
    return at.timestamp() if at else 0
