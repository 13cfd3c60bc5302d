"""A step's overview in the panel: how it stands and why, what its attempt spent its time on, facts, the last lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from kfdash import moment, words
from pipelines.drawing.words import expression_text
from pipelines.spec import paths
from pipelines.spec.model import ROOT, ComponentSpec, ContainerSpec, ImporterSpec, ResourceSpec, TaskSpec
from runs import logs, models, services
from runs.engine.model import Kind, State
from runs.messages import task_message
from runs.replay import row_seen
from runs.tree import Step, Tree, step_name
from runs.usual import usual_times
from runs.views.again import again_href
from runs.views.loglines import log_key, printed
from runs.views.values import as_text, shown_arguments, shown_values
from runs.wording import is_group, seconds, starting, why

LAST_LINES = 6
_USERS_SHOWN = 20  # runs that took a step's outputs over


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
    row = row_seen(models.Task.objects.filter(run=run, path=path).only("inputs", "outputs", "cached_from", "reason").first(), step)
    usual = usual_time(run, path) if step is not None and step.state == "RUNNING" else None
    log = log_key(run, attempt)
    lines = [printed(line) for line in logs.tail(log, LAST_LINES)] if log and moment.past() is None else []
    return {
        "sentence": _sentence(step, attempt, *_cause(tree, step)),
        "phases": _phases(attempt, usual) if attempt is not None else [],
        "usual": usual,
        "usual_x": _usual_mark(attempt, usual),
        "facts": _facts(run, tree, path, task, component, row, attempt),
        "cached_run": _cached_run(row),
        "again_href": again_href(run, path) if step is not None and path != ROOT and _can_begin_again(run) else "",
        **_cache_story(run, path, step, row),
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
            if message["cause"] == "retry":
                return {"strong": "It will be tried again.", "rest": why(message)}
            strong = "Waiting." if step.attention else "Starting." if starting(message) else "Pending."
            return {"strong": strong, "rest": why(message)}
        case "RUNNING":
            begin = step.started_at or step.ready_at
            return {"strong": "Running for", "clock": taken, "since": moment.ticks(begin), "rest": why(message)}
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
            reason = why(message)
            begun = reason.startswith("Skipped because ")
            return {"strong": "Skipped.", "rest": f"Because {reason.removeprefix('Skipped because ')}" if begun else reason}
        case "CANCELING":
            return {"strong": "Stopping.", "rest": f"It gets {settings.STOP_GRACE} s to end."}
        case _:
            return {"strong": "Stopped.", "rest": step.reason.removeprefix("Stopped. ").removeprefix("Stopped.")}


def _phases(attempt: models.Attempt, usual: float | None) -> list[Phase]:
    """The four parts of an attempt with their share of its time, or of what is usual where that is longer."""
    starts = [
        ("queued", "queue", attempt.queued_at),
        ("starting", "start", attempt.starting_at),
        ("running", "run", attempt.running_at),
        ("collecting", "collect", attempt.collecting_at),
    ]
    end = attempt.finished_at or moment.now()
    known = [at for _, _, at in starts if at is not None]
    if not known:
        return []
    total = max((end - known[0]).total_seconds(), 0.001)
    total = max(total, _usual_end(attempt, usual))
    phases, x = [], 0.0
    for index, (word, kind, at) in enumerate(starts):
        if at is None:
            phases.append(Phase(word, kind, None, 0, 0))
            continue
        until = next((later for _, _, later in starts[index + 1 :] if later is not None), end)
        taken = max(0.0, (until - at).total_seconds())
        width = round(taken / total * 100, 2)
        last = attempt.finished_at is None and until is end
        phases.append(Phase(word, kind, taken, round(x, 2), width, moment.ticks(at) if last else ""))
        x += width
    return phases


def _usual_end(attempt: models.Attempt, usual: float | None) -> float:
    """Seconds from the attempt's begin to where it usually ends; 0 where that is not known."""
    if usual is None or attempt.running_at is None:
        return 0.0
    return (attempt.running_at - (attempt.queued_at or attempt.running_at)).total_seconds() + usual


def _usual_mark(attempt: models.Attempt | None, usual: float | None) -> float | None:
    """Where the bar has its mark for what is usual, in percent."""
    if attempt is None or not (end := _usual_end(attempt, usual)):
        return None
    begin = attempt.queued_at or attempt.running_at or moment.now()
    taken = ((attempt.finished_at or moment.now()) - begin).total_seconds()
    return round(min(end / max(end, taken) * 100, 99.5), 2)


def usual_time(run: models.Run, path: str) -> float | None:
    """The median time of earlier successes of the same step, in seconds, where there are three; None otherwise."""
    return usual_times(run, [path]).get(path)


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


def _can_begin_again(run: models.Run) -> bool:
    return State(run.state).is_final and moment.past() is None


def _cache_story(run: models.Run, path: str, step: Step | None, row: models.Task | None) -> dict[str, Any]:
    """Who reused this step's outputs, and, where it ran itself, why the cache had nothing for it: the line and what differed."""
    if step is None or step.kind != Kind.CONTAINER or step.ready_at is None or moment.past() is not None:
        return {}
    users = list(services.cached_tasks_of(run, path).only("path", "run__name", "run__number")[: _USERS_SHOWN + 1])
    found: dict[str, Any] = {"used_by": users[:_USERS_SHOWN], "used_by_more": len(users) > _USERS_SHOWN}
    if row is not None and not row.cached_from and row.inputs is not None:
        found["miss"] = services.explain_miss(run, path)
    return found


def _culprit(tree: Tree, step: Step | None) -> dict[str, str] | None:
    """For a failed group: the first failed step inside."""
    first = tree.cause_of(step)
    if first is None or first is step:
        return None
    return {"path": first.path, "name": step_name(tree.spec, first.path), "tab": "log" if first.attempt else "overview"}
