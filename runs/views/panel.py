"""The right side of a run's page: one step (or the run) with its overview, inputs and outputs, log and events."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from kfdash import words
from pipelines.drawing.picture import strip_marks
from pipelines.drawing.words import expression_text, type_word
from pipelines.spec import paths
from pipelines.spec.model import ComponentSpec, ContainerSpec, ImporterSpec, ResourceSpec, TaskSpec
from runs import logs, logstore, models
from runs.artifacts.previews import preview
from runs.events import told
from runs.messages import task_message
from runs.tree import Step, Tree, step_name
from runs.views.steps import Address, iteration_looks
from runs.views.values import as_text, shown_arguments, shown_values
from runs.wording import is_group, seconds, why

TABS = (("overview", "Overview"), ("io", "Inputs and outputs"), ("log", "Log"), ("events", "Events"))
LAST_LINES = 6
LOG_BLOCK = 200
_MOST_EVENTS = 500
_MOST_PREVIEWS = 8
_LEAST_FOR_USUAL = 3


def context(run: models.Run, tree: Tree, address: Address) -> dict[str, Any]:
    """The context of `runs/_panel.html` for the step in the address; the run itself where none is chosen or known."""
    path = address.task if _known(tree, address.task) else "root"
    task, component = tree.spec.at(path)
    step = tree.steps.get(path)
    attempts = [] if step is None or step.kind in ("dag", "loop") else _attempts(run, path)
    attempt = next((one for one in attempts if one.number == address.attempt), attempts[-1] if attempts else None)
    found: dict[str, Any] = {
        "run": run,
        "path": path,
        "is_run": path == "root",
        "name": run.name if path == "root" else step_name(tree.spec, path),
        "type": "run" if path == "root" else type_word(tree.spec, task, component),
        "step": step,
        "state": step.state if step is not None else "PENDING",
        "attempts": attempts,
        "attempt": attempt,
        "attempt_hrefs": [(one, address.to(attempt=one.number)) for one in attempts],
        "loop": _loop_switch(tree, path, address),
        "close_href": address.to(task=""),
        "address": address,
    }
    tab = address.tab if address.tab in dict(TABS) else "overview"
    if tab == "log" and not attempts:
        tab = "overview"
    found["tab"] = tab
    found["tabs"] = [
        {"name": name, "word": word, "on": name == tab, "href": address.to(task=path, tab=name)}
        for name, word in TABS
        if name != "log" or attempts
    ]
    found |= {"overview": overview, "io": io, "log": log_tab, "events": events}[tab](run, tree, path, step, attempt)
    return found


def _known(tree: Tree, path: str) -> bool:
    if not path:
        return False
    try:
        tree.spec.at(path)
    except (KeyError, AssertionError):
        return False
    return True


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


# --- overview -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """A part of an attempt's time: word, how long, and where it lies in the bar (percent)."""

    word: str
    kind: str
    seconds: float | None
    x: float
    width: float
    since: str = ""


def overview(run: models.Run, tree: Tree, path: str, step: Step | None, attempt: models.Attempt | None) -> dict[str, Any]:
    """What it does, how far it is, why it is not green; facts, inputs and the last lines."""
    task, component = tree.spec.at(path)
    row = models.Task.objects.filter(run=run, path=path).only("inputs", "outputs", "cached_from", "reason").first()
    log = _log_key(run, attempt)
    lines = [_line(line) for line in logs.tail(log, LAST_LINES)] if log else []
    return {
        "sentence": _sentence(step, attempt, *_cause(tree, step)),
        "phases": _phases(attempt) if attempt is not None else [],
        "usual": usual_time(run, path, step),
        "facts": _facts(run, tree, path, task, component, row, attempt),
        "cached_run": _cached_run(row),
        "inputs": shown_values(component.input_parameters, component.input_artifacts, row.inputs if row else None)
        or shown_arguments(run, component, path),
        "lines": lines,
        "following": attempt is not None and attempt.finished_at is None,
        "culprit": _culprit(tree, step),
    }


def _cause(tree: Tree, step: Step | None) -> tuple[Step | None, str]:
    culprit = tree.cause_of(step)
    return culprit, step_name(tree.spec, culprit.path) if culprit is not None else ""


def _sentence(step: Step | None, attempt: models.Attempt | None, culprit: Step | None, culprit_name: str) -> dict[str, str]:
    """`strong` says how it stands, `rest` why; `since` makes the time a clock."""
    if step is None:
        return {"strong": "Not begun.", "rest": "It waits for a worker."}
    message = task_message(step)  # type: ignore[arg-type]
    taken = words.duration(seconds(message))
    match step.state:
        case "PENDING":
            strong = "Waiting." if step.attention else "Pending."
            return {"strong": strong, "rest": why(message)}
        case "RUNNING":
            begin = step.started_at or step.ready_at
            return {"strong": "Running for", "clock": taken, "since": begin.isoformat() if begin else "", "rest": why(message)}
        case "SUCCEEDED" if step.cached_from:
            return {"strong": "Cached.", "rest": "Its outputs were reused; it did not run."}
        case "SUCCEEDED":
            return {"strong": f"Succeeded in {taken}.", "rest": why(message) if is_group(message) else ""}
        case "FAILED" if culprit is not None and culprit is not step:
            return {"strong": f"{culprit_name} failed.", "rest": culprit.reason}
        case "FAILED":
            exit_code = f"Exit code {attempt.exit_code}." if attempt is not None and attempt.exit_code else ""
            return {"strong": step.reason or "Failed.", "rest": "" if exit_code[:-1].lower() in step.reason.lower() else exit_code}
        case "SKIPPED":
            return {
                "strong": "Skipped.",
                "rest": step.reason.removeprefix("Skipped because ").join(("Because ", ""))
                if step.reason.startswith("Skipped because ")
                else step.reason,
            }
        case "CANCELING":
            return {"strong": "Stopping.", "rest": f"It gets {settings.STOP_GRACE} s to end."}
        case _:
            return {"strong": "Stopped.", "rest": step.reason.removeprefix("Stopped. ").removeprefix("Stopped.")}


def _phases(attempt: models.Attempt) -> list[Phase]:
    """The four parts of an attempt with their share of its time."""
    starts = [
        ("queued", "queue", attempt.queued_at),
        ("starting", "start", attempt.starting_at),
        ("running", "run", attempt.running_at),
        ("collecting", "collect", attempt.collecting_at),
    ]
    end = attempt.finished_at or timezone.now()
    known = [at for _, _, at in starts if at is not None]
    if not known:
        return []
    total = max((end - known[0]).total_seconds(), 0.001)
    phases, x = [], 0.0
    for index, (word, kind, at) in enumerate(starts):
        if at is None:
            phases.append(Phase(word, kind, None, 0, 0))
            continue
        until = next((later for _, _, later in starts[index + 1 :] if later is not None), end)
        taken = max(0.0, (until - at).total_seconds())
        width = round(taken / total * 100, 2)
        last = attempt.finished_at is None and until is end
        phases.append(Phase(word, kind, taken, round(x, 2), width, at.isoformat() if last else ""))
        x += width
    return phases


def usual_time(run: models.Run, path: str, step: Step | None) -> float | None:
    """The median time of earlier successes of the same step, where there are three; None otherwise."""
    if run.pipeline_key is None or step is None or step.state != "RUNNING":
        return None
    earlier = models.Task.objects.filter(run__pipeline_key=run.pipeline_key, path=path, state="SUCCEEDED", cached_from="")
    times = [
        (finished - begin).total_seconds()
        for started, ready, finished in earlier.order_by("-id").values_list("started_at", "ready_at", "finished_at")[:15]
        if finished and (begin := started or ready)
    ]
    return statistics.median(times) if len(times) >= _LEAST_FOR_USUAL else None


def _facts(
    run: models.Run,
    tree: Tree,
    path: str,
    task: TaskSpec | None,
    component: ComponentSpec,
    row: models.Task | None,
    attempt: models.Attempt | None,
) -> list[tuple[str, str, bool]]:
    """(word, value, is code) each."""
    facts: list[tuple[str, str, bool]] = []
    if attempt is not None:
        most = task.retry.max_retries + 1 if task is not None and task.retry is not None else 1
        facts.append(("Attempt", f"{attempt.number} of at most {most}" if most > 1 else f"{attempt.number}", False))
    if task is not None and task.trigger.condition:
        dag_path = paths.template(paths.parent(path))
        _, around = tree.spec.at(dag_path)
        if around.dag is not None:
            facts.append(("Condition", expression_text(tree.spec, dag_path, around.dag, task), True))
    if (item := _item(tree, path, row)) is not None:
        facts.append(("Item", item, True))
    executor = tree.spec.executor_of(component)
    if isinstance(executor, ContainerSpec):
        facts.append(("Image", executor.image, True))
        if settings.EXECUTOR == "local":
            facts.append(("", "not pulled: steps run on this machine", False))
        if limits := _limits(executor.resources):
            facts.append(("Limits", limits, False))
    elif isinstance(executor, ImporterSpec) and executor.uri:
        facts.append(("Imports", executor.uri, True))
    if attempt is not None:
        if attempt.exit_code is not None:
            facts.append(("Exit code", str(attempt.exit_code), False))
        if attempt.peak_memory is not None:
            facts.append(("Peak memory", _memory(attempt.peak_memory), False))
        facts.append(("Process" if settings.EXECUTOR == "local" else "Pod", attempt.name, True))
    return facts


def _memory(count: int) -> str:
    """Bytes of memory as Kubernetes says them."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _item(tree: Tree, path: str, row: models.Task | None) -> str | None:
    """The item of the iteration that a step is in."""
    within = next((up for up in (path, *paths.ancestors(path)) if paths.index(up) is not None), None)
    if within is None:
        return None
    loop, _ = tree.spec.at(within)
    if loop is None or loop.iterator is None:
        return None
    values = models.Task.objects.filter(run_id=getattr(row, "run_id", None), path=within).values_list("inputs", flat=True).first()
    parameters = (values or {}).get("parameters", {})
    if loop.iterator.item_input in parameters:
        return as_text(parameters[loop.iterator.item_input])
    index = paths.index(within)
    if loop.iterator.raw is not None and index is not None and index < len(loop.iterator.raw):
        return as_text(loop.iterator.raw[index])
    return None


def _limits(resources: ResourceSpec) -> str:
    parts = [f"{resources.cpu_limit} CPU" if resources.cpu_limit else "", resources.memory_limit]
    parts.append(f"{resources.accelerator_count} {resources.accelerator_type}" if resources.accelerator_count else "")
    return ", ".join(part for part in parts if part)


def _cached_run(row: models.Task | None) -> dict[str, Any] | None:
    """The run whose outputs were reused: its row (None if it is gone) and the step's path there."""
    if row is None or not row.cached_from:
        return None
    run_id, _, path = row.cached_from.partition(":")
    return {"run": models.Run.objects.filter(pk=run_id).only("id", "number", "name").first(), "path": path}


def _culprit(tree: Tree, step: Step | None) -> dict[str, str] | None:
    """For a failed group: the first failed step inside."""
    first = tree.cause_of(step)
    if first is None or first is step:
        return None
    return {"path": first.path, "name": step_name(tree.spec, first.path), "tab": "log" if first.attempt else "overview"}


# --- inputs and outputs ---------------------------------------------------------------------------------------------


def io(run: models.Run, tree: Tree, path: str, step: Step | None, attempt: models.Attempt | None) -> dict[str, Any]:
    """Values that went in and came out, outputs with a preview."""
    _, component = tree.spec.at(path)
    row = models.Task.objects.filter(run=run, path=path).only("inputs", "outputs").first()
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


def _log_key(run: models.Run, attempt: models.Attempt | None) -> str:
    return f"{run.pk}/{attempt.name}" if attempt is not None else ""


def log_tab(run: models.Run, tree: Tree, path: str, step: Step | None, attempt: models.Attempt | None) -> dict[str, Any]:
    """The last block of the log, complete; a script fetches the others."""
    key = _log_key(run, attempt)
    count = logs.count(key) if key else 0
    levels = logs.levels(key) if key else logstore.Levels(0, 0)
    return {
        "log": key,
        "count": count,
        "lines": [_line(line) for line in logs.tail(key, LOG_BLOCK)] if count else [],
        "levels": levels,
        "size": logs.size(key) if key else 0,
        "ended": attempt is not None and attempt.finished_at is not None,
        "log_reason": step.reason if step is not None else "",
        "begin_micros": int(_first_time(attempt) * 1_000_000),
    }


def _first_time(attempt: models.Attempt | None) -> float:
    at: datetime | None = (attempt.starting_at or attempt.queued_at) if attempt is not None else None
    return at.timestamp() if at else 0


def _line(line: Any) -> dict[str, Any]:
    """A line for the template: number, time, level and text."""
    at = datetime.fromtimestamp(line.at / 1_000_000, tz=timezone.get_default_timezone())
    return {
        "number": line.number,
        "at": line.at,
        "time": f"{at:%H:%M:%S}",
        "level": "sys" if line.stream == "k" else logstore.level_of(line),
        "text": line.text,
        "stream": line.stream,
    }


# --- events ---------------------------------------------------------------------------------------------------------


def events(run: models.Run, tree: Tree, path: str, step: Step | None, attempt: models.Attempt | None) -> dict[str, Any]:
    """What happened, newest last, in words."""
    query = models.RunEvent.objects.filter(run=run)
    if path != "root":
        query = query.filter(path__startswith=path)
    rows = [event for event in query.order_by("-number")[:_MOST_EVENTS] if _belongs(event.path, path)]
    rows.reverse()
    return {
        "events": [{"event": event, "text": told(event), "name": _event_name(tree, event.path, path)} for event in rows],
        "events_cut": len(rows) == _MOST_EVENTS,
    }


def _belongs(event_path: str, path: str) -> bool:
    return path == "root" or event_path == path or event_path.startswith((f"{path}/", f"{path}["))


def _event_name(tree: Tree, event_path: str, path: str) -> str:
    if event_path in ("", path):
        return ""
    try:
        return step_name(tree.spec, event_path)
    except (KeyError, AssertionError):
        return event_path
