"""Enqueues jobs by name once the transaction has committed, and hands facts to the driver.

A leaf: nobody imports a `jobs` module. A message may be lost or doubled; rows say what is due, and the observer's tick
sends it again. A Redis that does not answer therefore costs time, never a state.

Facts wait in a list of their run. Only the first one enqueues a drive; while that drive waits or runs, the others gather
and are then taken together, so that a burst costs a few transactions and not one a fact.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.db import transaction

from kfdash.celery import app

log = logging.getLogger(__name__)

DRIVE = "runs.jobs.drive_run"
QUEUES = {
    DRIVE: "drive",
    "runs.jobs.carry_out": "orders",
}
_KEPT = "kfdash:kept"
_ANNOUNCED_FOR = 5  # seconds after which a drive that was enqueued and never came is enqueued again


@cache
def connection() -> redis.Redis:
    """This process's connection pool to Redis."""
    return redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, socket_connect_timeout=5, socket_timeout=10)


def enqueue(job: str, *args: Any) -> None:
    """Sends a job when the transaction at hand has committed (at once outside of one)."""
    transaction.on_commit(lambda: _send(job, args))


def enqueue_drive(run_id: str) -> None:
    """Has the run looked at by the driver, when the transaction at hand has committed."""
    transaction.on_commit(lambda: hand_over(run_id, []))


def hand_over(run_id: str, facts: Sequence[dict[str, Any]]) -> None:
    """Gives encoded facts about a run to the driver; without facts, has the whole run looked over."""
    inbox, announced = f"kfdash:facts:{run_id}", f"kfdash:driving:{run_id}"
    try:
        pipe = connection().pipeline(transaction=True)
        pipe.rpush(inbox, *[json.dumps(fact) for fact in facts or [{"fact": "LookedOver"}]])
        pipe.set(announced, "1", nx=True, ex=_ANNOUNCED_FOR)
        if pipe.execute()[1]:
            _send(DRIVE, (run_id,))
    except redis.RedisError as error:
        log.warning("Redis does not answer (%s); run %s is looked at again by the next tick.", error, run_id)


def take(run_id: str) -> list[dict[str, Any]]:
    """The facts that wait for a run; from now on a new one announces a new drive."""
    inbox, announced = f"kfdash:facts:{run_id}", f"kfdash:driving:{run_id}"
    pipe = connection().pipeline(transaction=True)
    pipe.delete(announced)
    pipe.lrange(inbox, 0, -1)
    pipe.delete(inbox)
    return [json.loads(text) for text in pipe.execute()[1]]


def keep(run_id: str, facts: Sequence[dict[str, Any]]) -> None:
    """Puts facts back that could not be folded in; the observer's tick has the run driven again."""
    if facts:
        connection().lpush(f"kfdash:facts:{run_id}", *[json.dumps(fact) for fact in reversed(facts)])
    connection().sadd(_KEPT, run_id)


def kept() -> list[str]:
    """The runs whose facts were put back, each once."""
    found = []
    while run_id := connection().spop(_KEPT):
        found.append(str(run_id))
    return found


def _send(job: str, args: Sequence[Any]) -> None:
    try:
        app.send_task(job, args=list(args), queue=QUEUES.get(job, "io"), retry=False)
    except Exception as error:  # kombu raises what its transport raises; rows are the truth, so none may reach the caller
        log.warning("Job %s was not sent (%s: %s); the next tick sends it again.", job, type(error).__name__, error)
