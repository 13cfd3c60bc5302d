"""The entrance: facts in, one Step out. `apply` folds a fact in, `settle` does all it implies, `decide` lists the orders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pipelines.spec import paths
from pipelines.spec.model import ROOT
from runs.engine import attempts, retries, retrying, stopping
from runs.engine.draft import Draft, Then
from runs.engine.groups import begin_root, begin_run, settle
from runs.engine.model import (
    Attempt,
    AttemptProgressed,
    CacheAnswered,
    CacheUse,
    Fact,
    Kind,
    LookedOver,
    LookInCache,
    Snapshot,
    StartAttempt,
    State,
    Step,
    Task,
    TimeCame,
)
from runs.engine.retrying import NotRetriable

__all__ = ["NotRetriable", "advance", "retry"]


def advance(snapshot: Snapshot, facts: Sequence[Fact], now: datetime) -> Step:
    """What follows from these facts. Late, doubled and stale ones change nothing. Raises InvalidTransition for our own faults."""
    draft = Draft(snapshot, now)
    draft.prefetch(_paths_of(draft, facts))
    for fact in facts:
        apply(draft, fact)
    stopping.stop(draft)
    settle(draft)
    if any(isinstance(fact, LookedOver) for fact in facts):
        look_over(draft)
        settle(draft)
    decide(draft)
    return draft.step()


def retry(snapshot: Snapshot, now: datetime, *, by: str = "") -> Step:
    """Begins a run again that has failed or was cancelled; what succeeded stays. Raises NotRetriable."""
    draft = Draft(snapshot, now)
    begin_root(draft, retrying.reset(draft, by))
    settle(draft)
    decide(draft)
    return draft.step()


def _paths_of(draft: Draft, facts: Iterable[Fact]) -> list[str]:
    """The paths of facts, all above them, and all that wait for them, each once: one query instead of many."""
    found: dict[str, None] = {ROOT: None}
    for fact in facts:
        path = "" if isinstance(fact, LookedOver) else fact.path
        if not isinstance(fact, LookedOver | TimeCame | AttemptProgressed):
            found |= dict.fromkeys(_dependants(draft, path))
        while path and path not in found:
            found[path] = None
            path = paths.parent(path)
    return list(found)


def _dependants(draft: Draft, path: str) -> list[str]:
    try:
        place = draft.places[path]
    except KeyError:
        return []  # a fact about something that never was
    dag = draft.places[place.parent].component.dag if place.parent and place.index is None else None
    return [paths.child(place.parent, key) for key in dag.dependants[place.key]] if dag else []


def apply(draft: Draft, fact: Fact) -> None:
    """Folds one fact in."""
    match fact:
        case LookedOver():
            pass  # comes after all others
        case TimeCame(path):
            if path == ROOT:
                stopping.deadline_came(draft)
            elif (task := draft.find(path)) is not None and task.retry_at is not None:
                retries.time_came(draft, task, task.retry_at)
        case CacheAnswered():
            attempts.cache_answered(draft, fact)
        case _:
            attempts.apply(draft, fact)


def look_over(draft: Draft) -> None:
    """Finds what may begin and has not: the run itself, what a pause held back, what a time has come for."""
    if draft.find(ROOT) is None:
        begin_run(draft)
        return
    if draft.held:
        return
    for task in list(draft.unfinished()):
        if task.kind is Kind.LOOP and task.state is State.RUNNING:
            draft.agenda.append((Then.ITERATE, task.path))
        elif task.state is State.PENDING:
            if task.ready_at is not None:
                if task.cause == attempts.LOOKING:  # the answer comes with the question, or never
                    draft.change(task, cause="")
                draft.startable[task.path] = None
            elif task.waiting_on == 0 and draft.places[task.path].index is None:
                draft.agenda.append((Then.READY, task.path))


def decide(draft: Draft) -> None:
    """Orders what is to be done for the steps that may start."""
    if draft.held:
        return
    for path in draft.startable:
        task = draft.get(path)
        if not _may_start(draft, task):
            continue
        if _wants_cache(draft, task):
            draft.change(task, cause=attempts.LOOKING)
            use = draft.run.cache is CacheUse.USE and not (draft.earlier and draft.earlier.cause(draft.places, path))
            draft.orders.append(LookInCache(path, use=use))
        else:
            _start(draft, task)


def _may_start(draft: Draft, task: Task) -> bool:
    if task.kind.is_group or task.state is not State.PENDING or task.ready_at is None:
        return False
    if task.under_way or task.cause == attempts.LOOKING:
        return False
    return task.retry_at is None or task.retry_at <= draft.now


def _wants_cache(draft: Draft, task: Task) -> bool:
    spec = draft.places[task.path].task
    enabled = spec is not None and spec.caching.enabled and draft.run.cache is not CacheUse.OFF
    return enabled and task.kind is Kind.CONTAINER and task.attempt == 0 and task.cause != attempts.ASKED


def _start(draft: Draft, task: Task) -> None:
    number = task.attempt + 1
    draft.put_attempt(Attempt(task.path, number, queued_at=draft.now))
    draft.change(task, attempt=number, under_way=True, retry_at=None, reason="", cause="", attention=False)
    draft.orders.append(StartAttempt(task.path, number, task.kind))
    draft.tell("attempt.started", task.path, attempt=number, kind=task.kind.value)
