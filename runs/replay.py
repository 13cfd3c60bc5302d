"""A run as it was at one of its events: its rows again, from the record of what happened. Nothing here is ever saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kfdash import moment
from pipelines.spec import paths
from pipelines.spec.model import ROOT, PipelineSpec
from runs import models
from runs.engine.model import Kind, Phase, State, Stop, Task
from runs.engine.record import replay
from runs.tree import Step, Tree, make_tree

__all__ = ["Moment", "attempts_seen", "read_moment", "replay", "row_seen"]

_COLUMNS = ("number", "at", "kind", "path", "attempt", "data")


@dataclass(frozen=True)
class Moment:
    """A run after the event `number` of `of`: `at` is the latest time that anything until then happened."""

    number: int
    of: int
    at: datetime
    event: models.RunEvent
    tree: Tree


def read_moment(run: models.Run, spec: PipelineSpec, number: int) -> Moment | None:
    """The run as it was after an event (the nearest there is); `run` is changed to what it was. None before the first event."""
    wanted = max(1, min(number, run.event_number))
    events = list(models.RunEvent.objects.filter(run=run, number__lte=wanted).order_by("number").only("run_id", *_COLUMNS))
    if not events:
        return None
    tasks = replay(events)
    at = max(event.at for event in events)
    tree = make_tree(spec, [_step(task) for task in tasks.values()])
    _count_anew(tree)
    found = Moment(events[-1].number, run.event_number, at, events[-1], tree)
    _turn_back(run, tasks.get(ROOT), events)
    return found


def _step(task: Task) -> Step:
    values = {name: getattr(task, name) for name in Step.__slots__ if name != "parent"}
    values |= {"parent": paths.parent(task.path), "kind": task.kind.value, "state": task.state.value}
    return Step(**values)


def _count_anew(tree: Tree) -> None:
    """What happened at once is told one after the other, its groups' counters with the last: between, they are counted here."""
    for path, members in tree.children.items():
        group = tree.steps.get(path)
        if group is None or State(group.state).is_final:
            continue
        group.ended = sum(State(step.state).is_final for step in members)
        group.succeeded = sum(step.state == State.SUCCEEDED for step in members)
        if group.kind == Kind.LOOP:
            group.failed = sum(step.state == State.FAILED for step in members)
            group.running = sum(step.ready_at is not None and not State(step.state).is_final for step in members)


def _turn_back(run: models.Run, root: Task | None, events: Sequence[models.RunEvent]) -> None:
    """Gives the row the state it had."""
    begun = next((event.at for event in events if event.kind == "run.started"), None)
    run.state = (root.state if root is not None else State.PENDING).value
    run.reason = root.reason if root is not None else ""
    run.started_at = begun
    run.finished_at = root.finished_at if root is not None else None
    switches = [event.kind for event in events if event.kind in ("run.paused", "run.resumed", "run.retried")]
    run.paused = switches[-1:] == ["run.paused"]
    if State(run.state) is not State.CANCELING and not State(run.state).is_final:
        run.stop = Stop.NO.value


def attempts_seen(attempts: Sequence[models.Attempt], step: Step | None) -> list[models.Attempt]:
    """The attempts of a step as they stood at the moment that is looked at: all of them where that is now."""
    at = moment.past()
    if at is None:
        return list(attempts)
    if step is None:
        return []
    seen = [attempt for attempt in attempts if attempt.number <= step.attempt]
    for attempt in seen:
        goes_on = attempt.number == step.attempt and not State(step.state).is_final and step.retry_at is None
        _clip(attempt, at, open_end=goes_on and (attempt.finished_at is None or attempt.finished_at >= at))
    return seen


def row_seen(row: models.Task | None, step: Step | None) -> models.Task | None:
    """A task's row with those of its values that it had at the moment that is looked at."""
    if row is None or moment.past() is None:
        return row
    if step is None or step.ready_at is None:
        row.inputs = None
    if step is None or step.state != State.SUCCEEDED:
        row.outputs, row.cached_from = None, ""
    return row


def _clip(attempt: models.Attempt, at: datetime, *, open_end: bool) -> None:
    """Forgets what came later."""
    for name in ("queued_at", "starting_at", "running_at", "collecting_at"):
        if (time := getattr(attempt, name)) is not None and time > at:
            setattr(attempt, name, None)
    if attempt.finished_at is None or (attempt.finished_at <= at and not open_end):
        return
    attempt.finished_at = attempt.exit_code = attempt.peak_memory = None
    attempt.reason = attempt.cause = ""
    attempt.state = (State.RUNNING if attempt.running_at is not None else State.PENDING).value
    phases = (
        (Phase.COLLECTING, attempt.collecting_at),
        (Phase.RUNNING, attempt.running_at),
        (Phase.STARTING, attempt.starting_at),
    )
    attempt.phase = next((phase for phase, time in phases if time is not None), Phase.QUEUED).value
