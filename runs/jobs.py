"""Celery jobs: entry points like views. They fetch by id and call one function; `kfdash.outbox` sends them by name."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator

import redis
from celery import Task, shared_task
from django.db import Error as DatabaseError

from kfdash import logcontext, metrics, outage, outbox, trouble
from runs import claims, dispatch, driver, importing, removal, tallying, vanished
from runs.facts import decode
from runs.retention import passes

log = logging.getLogger(__name__)

_SAID_FOR = 30.0  # seconds for which a reason is not repeated
_said: dict[str, float] = {}
_MOST_MISTAKES = 3  # drives in a row that failed by a mistake of ours
_mistakes: dict[str, int] = {}


@contextlib.contextmanager
def _patience(what: str) -> Iterator[None]:
    """Says in one line what could not be done because database or Redis are away or full; the tick has it done again."""
    try:
        yield
    except (DatabaseError, redis.RedisError, outbox.NotHandedOver) as error:
        if isinstance(error, DatabaseError) and not outage.of_database(error):
            raise  # a mistake of ours
        trouble.met(error)
        _say(what, str(error))
        outage.let_go()


def _say(what: str, why: str) -> None:
    """It is tried again every second: the same reason is told of now and then."""
    if time.monotonic() - _said.get(why, -_SAID_FOR) >= _SAID_FOR:
        _said.clear()
        _said[why] = time.monotonic()
        log.warning("%s (%s); it is tried again.", what, why)


@shared_task(name="runs.jobs.drive_run", ignore_result=True)
def drive_run(run_id: str) -> None:
    """Queue `drive`: folds the facts that wait for a run into it."""
    with logcontext.about(run=run_id), _patience(f"Run {run_id} could not be driven"):
        taken = outbox.take(run_id)
        if not taken.facts:  # an earlier drive had them: this message came twice
            return
        try:
            with metrics.DRIVES.time():
                driver.drive(run_id, *[decode(fact) for fact in taken.facts])
        except Exception as error:
            if outage.of_database(error):  # locked, full, read-only or away
                outbox.give_back(taken)
                raise
            outbox.settle(taken)  # a mistake of ours; it would come again with these facts each time
            _mistaken(run_id, error)
            raise
        outbox.settle(taken)
        _mistakes.pop(run_id, None)
        for kind, count in Counter(fact["fact"] for fact in taken.facts).items():
            metrics.FACTS.labels(kind).inc(count)


def _mistaken(run_id: str, mistake: Exception) -> None:
    """A run that cannot be driven time and again is given up, so that it ends and says why; what is told of it is asked again."""
    _mistakes[run_id] = _mistakes.get(run_id, 0) + 1
    if _mistakes[run_id] >= _MOST_MISTAKES:
        del _mistakes[run_id]
        what = f"{type(mistake).__name__}: {mistake}"[:300]
        driver.give_up(run_id, f"kfdash could not go on with this run, by a mistake of its own ({what}). Its log says where.")


@shared_task(name="runs.jobs.carry_out", ignore_result=True)
def carry_out(order_ids: list[int]) -> None:
    """Queue `orders`: starts and stops attempts."""
    with _patience("Orders could not be carried out"):
        dispatch.carry_out(order_ids)


@shared_task(name="runs.jobs.import_artifact", ignore_result=True)
def import_artifact(order_id: int) -> None:
    """Queue `io`: carries an importer out."""
    with _patience("An import could not be carried out"):
        importing.carry_out(order_id)


@shared_task(name="runs.jobs.carry_out_claim", ignore_result=True)
def carry_out_claim(order_id: int) -> None:
    """Queue `io`: makes or deletes a volume claim."""
    with _patience("A volume claim could not be made or deleted"):
        claims.carry_out(order_id)


@shared_task(name="runs.jobs.remove_run", ignore_result=True, bind=True, max_retries=100)
def remove_run(self: Task, run_id: str, pipeline_root: str, running: list[tuple[str, int]]) -> None:
    """Queue `io`: removes what a deleted run left behind; tries again, later and later, while a cluster or store is away."""
    try:
        removal.remove_run(run_id, pipeline_root, [(path, number) for path, number in running])
    except removal.NotRemoved as error:
        _say(f"Run {run_id} is not removed yet", str(error))
        raise self.retry(countdown=min(2.0 * 2**self.request.retries, 600.0)) from None


@shared_task(name="runs.jobs.look_for_artifacts", ignore_result=True)
def look_for_artifacts() -> None:
    """Queue `io`: measures new artifacts, and finds those that are in the store no more."""
    with _patience("Artifacts could not be looked for"):
        vanished.look_for_artifacts()


@shared_task(name="runs.jobs.fold_counters", ignore_result=True)
def fold_counters() -> None:
    """Queue `io`: puts the rows of counters together where there are many."""
    with _patience("Counters could not be folded"):
        tallying.fold()


@shared_task(name="runs.jobs.carry_rules_out", ignore_result=True)
def carry_rules_out() -> None:
    """Queue `io`: goes on with what the rules of retention say, for some seconds."""
    with _patience("The rules of retention could not be carried out"):
        passes.go_on()
