"""The only code that changes the state of a run, a task or an attempt.

`drive` takes a run's lock, lets the engine fold the facts in, and writes rows, events and orders in one transaction. It
computes and writes; it never waits for anything outside the database. Orders and messages leave when it has committed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from kfdash import live, metrics, outbox
from pipelines import specifications
from pipelines.spec.model import ROOT, PipelineSpec
from runs import caching, models
from runs.earlier import again_value
from runs.engine import model as engine
from runs.engine.advance import NotRetriable, advance
from runs.engine.advance import retry as retry_from
from runs.execution.order import attempt_name
from runs.messages import run_message, task_message
from runs.rows import RowTasks, carry_out, event_write, locked_run, run_value, run_write

log = logging.getLogger(__name__)


def drive(run_id: str, *facts: engine.Fact) -> None:
    """Folds facts into a run and does all that follows; without facts, looks the whole run over.

    A run that does not exist any more is left alone. Safe to call with the same facts twice.
    """
    with transaction.atomic():
        if (work := _begin(run_id)) is not None:
            work.fold(facts or (engine.LookedOver(),))


def give_up(run_id: str, reason: str) -> None:
    """Ends a run that cannot be driven any more, by a mistake of kfdash: every run ends, and says why.

    What still runs is ended by force. Nothing of the engine is asked: it is what failed.
    """
    with transaction.atomic():
        row = locked_run(run_id)
        if row is None or engine.State(row.state).is_final:
            return
        now = timezone.now()
        under_way = models.Attempt.objects.filter(run=row).exclude(phase=engine.Phase.ENDED)
        models.Order.objects.filter(run=row, carried_out_at=None).update(carried_out_at=now, answer="The run was given up.")
        containers = models.Task.objects.filter(run=row, kind=engine.Kind.CONTAINER).values("path")
        stops = models.Order.objects.bulk_create(
            models.Order(
                run=row, kind=models.OrderKind.STOP, path=path, attempt=number, task_kind=engine.Kind.CONTAINER, force=True, due=now
            )
            for path, number in under_way.filter(path__in=containers).values_list("path", "number")
        )
        ended = {"state": engine.State.CANCELED, "reason": reason, "finished_at": now}
        under_way.update(phase=engine.Phase.ENDED, **ended)
        finals = [state.value for state in engine.State if state.is_final]
        unfinished = models.Task.objects.filter(run=row).exclude(state__in=finals)
        unfinished.filter(path=ROOT).update(under_way=False, attention=False, **{**ended, "state": engine.State.FAILED})
        unfinished.exclude(path=ROOT).update(under_way=False, attention=False, **ended)
        work = _Drive(row, specifications.load(row.specification_id), run_value(row, most_iterations=settings.MOST_ITERATIONS))
        work.run = replace(work.run, state=engine.State.FAILED, reason=reason, finished_at=now)
        work.events.append(engine.Event("run.failed", ROOT, now, data={"reason": reason}))
        work._write(now)
        outbox.enqueue("runs.jobs.carry_out", [order.pk for order in stops])


def retry(run_id: str, *, by: str = "") -> None:
    """Lets a run that failed or was stopped go on; a pause is over. Raises NotRetriable; then nothing was changed."""
    with transaction.atomic():
        if (work := _begin(run_id)) is None:
            raise NotRetriable("The run does not exist any more.")
        work.retry(by)


def set_paused(run_id: str, paused: bool, *, by: str = "") -> None:
    """Pauses a run or lets it go on, and starts what was held back. A run that does not exist any more is left alone."""
    with transaction.atomic():
        if (work := _begin(run_id)) is not None:
            work.set_paused(paused, by)


def _begin(run_id: str) -> _Drive | None:
    """Takes a run's lock, inside a transaction."""
    row = locked_run(run_id)
    if row is None:
        return None
    spec = specifications.load(row.specification_id)
    return _Drive(row, spec, run_value(row, most_iterations=settings.MOST_ITERATIONS))


def _count_ends(changed: Mapping[str, engine.Task], before: Mapping[str, engine.Task | None]) -> None:
    for path, task in changed.items():
        if task.state.is_final and not task.kind.is_group and ((old := before[path]) is None or not old.state.is_final):
            metrics.STEPS.labels("CACHED" if task.cached_from else task.state.value).inc()


class _Drive:
    """One transaction of one run."""

    def __init__(self, row: models.Run, spec: PipelineSpec, run: engine.Run) -> None:
        self.row = row
        self.spec = spec
        self.run = run
        self.run_id = str(row.id)
        self.tasks = RowTasks(self.run_id)
        self.again = again_value(row)
        self.events: list[engine.Event] = []
        self.orders: list[engine.Order] = []

    def fold(self, facts: Sequence[engine.Fact]) -> None:
        now = timezone.now()
        self._advance(facts, now)
        self._save(now)

    def retry(self, by: str) -> None:
        now = timezone.now()
        self.run = replace(self.run, paused=False)
        step = retry_from(self._snapshot(), now, by=by)
        self._note_state(engine.State.RUNNING, now)  # it was, even where nothing is left to do
        self._advance(self._take(step, now), now)
        self._save(now)

    def set_paused(self, paused: bool, by: str) -> None:
        now = timezone.now()
        self.run = replace(self.run, paused=paused)
        data = {"by": by} if by else {}
        self.events.append(engine.Event("run.paused" if paused else "run.resumed", ROOT, now, data=data))
        if not paused:
            self._advance([engine.LookedOver()], now)
        self._save(now)

    def _advance(self, facts: Sequence[engine.Fact], now: datetime) -> None:
        """Folds facts in, and the answers to the questions that this raises, until there are none."""
        while facts:
            self.tasks.prefetch(path for fact in facts if (path := getattr(fact, "path", "")))
            named = [self._with_artifact_rows(fact) for fact in facts]
            facts = self._take(advance(self._snapshot(), named, now), now)

    def _snapshot(self) -> engine.Snapshot:
        return engine.Snapshot(self.run, self.spec, self.tasks, self.again)

    def _take(self, step: engine.Step, now: datetime) -> list[engine.Fact]:
        """Keeps what a step changed; returns the answers to its questions."""
        self.tasks.apply(step)
        self.run = step.run
        self.events += step.events
        self.orders += [order for order in step.orders if not isinstance(order, engine.LookInCache)]
        return [self._look_in_cache(order, now) for order in step.orders if isinstance(order, engine.LookInCache)]

    # --- questions to the database ---

    def _with_artifact_rows(self, fact: engine.Fact) -> engine.Fact:
        """Gives an attempt's output artifacts their rows, and so their ids, unless the fact is stale."""
        if not isinstance(fact, engine.AttemptSucceeded) or not fact.outputs.artifacts:
            return fact
        task = self.tasks.get(fact.path)
        if task is None or not task.under_way or task.attempt != fact.number:
            return fact
        flat = [(name, value) for name, values in fact.outputs.artifacts.items() for value in values if not value["id"]]
        rows = models.Artifact.objects.bulk_create(
            models.Artifact(
                namespace=self.row.namespace,
                run_id=self.row.id,
                path=fact.path,
                name=name,
                type=value["type"],
                schema_version=value["schema_version"],
                uri=value["uri"],
                metadata=value["metadata"],
                custom_path=value["custom_path"],
            )
            for name, value in flat
        )
        ids = iter(rows)
        named = {
            name: [value if value["id"] else {**value, "id": next(ids).pk} for value in values]
            for name, values in fact.outputs.artifacts.items()
        }
        return replace(fact, outputs=engine.Values(fact.outputs.parameters, named))  # type: ignore[arg-type]

    def _look_in_cache(self, order: engine.LookInCache, now: datetime) -> engine.CacheAnswered:
        task = self.tasks.get(order.path)
        assert task is not None, f"{order.path} was looked up in the cache and is not there"
        key = caching.key_of(self.spec, self.run.resource_name, task)
        entry = caching.find(self.row.namespace, self.spec.name, key) if order.use else None
        if entry is None:
            return engine.CacheAnswered(order.path, now, key)
        if not models.CacheEntry.objects.filter(pk=entry.pk).update(hits=F("hits") + 1, last_hit_at=now):
            return engine.CacheAnswered(order.path, now, key)  # it was taken out at this very moment, perhaps with its outputs
        return engine.CacheAnswered(order.path, now, key, engine.Values.from_json(entry.outputs), f"{entry.run_id}:{entry.path}")

    # --- writing ---

    def _save(self, now: datetime) -> None:
        changed = self.tasks.changed()
        before = {path: self.tasks.before[path] for path in changed}
        self._save_uses(changed, before)
        self._save_cache_entries(changed, before)
        transaction.on_commit(lambda: _count_ends(changed, before))
        orders = [self._order_row(order, now) for order in self.orders]
        self._write(now, orders)
        if at_once := [row.pk for row in orders if row.kind != models.OrderKind.WAKE]:
            outbox.enqueue("runs.jobs.carry_out", at_once)
        if changed or self.events:
            message = {
                "number": self.row.event_number,
                "previous": self.row.event_number - len(self.events),
                "run": run_message(self.row),
                "tasks": [task_message(task) for task in changed.values()],
            }
            live.publish_run(self.run_id, message)

    def _write(self, now: datetime, orders: Sequence[models.Order] = ()) -> None:
        """Writes tasks, attempts, events, the run and orders."""
        numbered = list(enumerate(self.events, self.row.event_number + 1))
        self.row.event_number += len(self.events)
        self._note(now)
        carry_out([*self.tasks.writes(attempt_name), event_write(self.run_id, numbered), run_write(self.row)], orders)

    def _save_uses(self, changed: dict[str, engine.Task], before: dict[str, engine.Task | None]) -> None:
        models.ArtifactUse.objects.bulk_create(
            models.ArtifactUse(artifact_id=value["id"], run_id=self.row.id, path=path, name=name)
            for path, task in changed.items()
            if task.inputs is not None and ((old := before[path]) is None or old.inputs is None) and not task.kind.is_group
            for name, values in task.inputs.artifacts.items()
            for value in values
            if value["id"]
        )

    def _save_cache_entries(self, changed: dict[str, engine.Task], before: dict[str, engine.Task | None]) -> None:
        models.CacheEntry.objects.bulk_create(
            models.CacheEntry(
                namespace=self.row.namespace,
                pipeline_name=self.spec.name,
                fingerprint=task.fingerprint,
                run_id=self.row.id,
                path=path,
                outputs=(task.outputs or engine.Values()).to_json(),
                seconds=(task.finished_at - task.ready_at).total_seconds() if task.finished_at and task.ready_at else 0,
            )
            for path, task in changed.items()
            if task.state is engine.State.SUCCEEDED
            and task.fingerprint
            and not task.cached_from
            and ((old := before[path]) is None or not old.state.is_final)
        )

    def _order_row(self, order: engine.Order, now: datetime) -> models.Order:
        match order:
            case engine.StartAttempt(path, number, kind):
                fields = {"kind": models.OrderKind.START, "attempt": number, "task_kind": kind.value, "due": now}
            case engine.StopAttempt(path, number, kind, force):
                fields = {"kind": models.OrderKind.STOP, "attempt": number, "task_kind": kind.value, "due": now, "force": force}
            case engine.WakeLater(path, due):
                fields = {"kind": models.OrderKind.WAKE, "due": due}
            case _:
                raise TypeError(f"No row for the order {order!r}.")
        return models.Order(run_id=self.row.id, path=path, **fields)

    def _note(self, now: datetime) -> None:
        """What became of the run, in its row."""
        row, run = self.row, self.run
        self._note_state(run.state, now)
        row.reason, row.paused = run.reason, run.paused
        row.started_at, row.finished_at = run.started_at, run.finished_at
        row.stop, row.stopped_by = run.stop.value, run.stopped_by

    def _note_state(self, state: engine.State, now: datetime) -> None:
        if self.row.state != state:
            if state.is_final:
                transaction.on_commit(metrics.ENDED.labels(state.value).inc)
            entry = {"update_time": now.isoformat(), "state": state.value}
            self.row.state_history = [*self.row.state_history, entry]
            self.row.state = state.value
