"""Enqueues jobs by name once the transaction has committed, and hands facts to the driver.

A leaf: nobody imports a `jobs` module. A message may be lost or doubled; rows say what is due, and the observer's tick
sends it again. A Redis that does not answer therefore costs time, never a state.

Facts wait in a list of their run. Only the first one enqueues a drive; while that drive waits or runs, the others gather
and are then taken together, so that a burst costs a few transactions and not one a fact. What is taken is kept beside until
it is in the database: a driver that is killed in between loses none.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.db import transaction

from kfdash import trouble
from kfdash.celery import KEYS, app

log = logging.getLogger(__name__)

DRIVE = "runs.jobs.drive_run"
QUEUES = {
    DRIVE: "drive",
    "runs.jobs.carry_out": "orders",
}
_LOST = (redis.RedisError, OSError, ValueError)  # the client raises the others where its socket is closed while it reads
WAITING = "kfdash:waiting"  # runs with facts that nobody has taken
_TAKEN = "kfdash:taken"  # names of what was taken and is not in the database yet, by time
_DRIVES = f"{KEYS}{QUEUES[DRIVE]}"
_SERVER = "kfdash:server"  # the Redis that we know; gone with its data
_ANNOUNCED_FOR = 3  # seconds after which a drive that was enqueued and never came is enqueued again
_TAKE = """
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[3]) == 0 then return {} end
redis.call('RENAME', KEYS[3], KEYS[4])
redis.call('ZADD', KEYS[5], redis.call('TIME')[1], ARGV[2])
return redis.call('LRANGE', KEYS[4], 0, -1)
"""


class NotHandedOver(Exception):
    """Redis did not take facts: they have to be handed over again, or asked for again. The message is for people."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Facts that were taken for one drive; `name` is empty where there were none."""

    run_id: str
    name: str
    facts: tuple[dict[str, Any], ...]


@cache
def connection() -> redis.Redis:
    """This process's connection pool to Redis."""
    return redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, socket_connect_timeout=5, socket_timeout=10)


def enqueue(job: str, *args: Any) -> None:
    """Sends a job when the transaction at hand has committed (at once outside of one)."""
    transaction.on_commit(lambda: _send(job, args))


def enqueue_drive(run_id: str) -> None:
    """Has the whole run looked over by the driver, when the transaction at hand has committed."""
    transaction.on_commit(lambda: _look_over(run_id))


def hand_over(run_id: str, facts: Sequence[dict[str, Any]]) -> None:
    """Gives encoded facts about a run to the driver; without facts, has the whole run looked over. Raises NotHandedOver."""
    told = [json.dumps(fact) for fact in facts or [{"fact": "LookedOver"}]]
    try:
        pipe = connection().pipeline(transaction=True)
        pipe.rpush(_inbox(run_id), *told)
        pipe.sadd(WAITING, run_id)
        pipe.set(_announced(run_id), "1", nx=True, ex=_ANNOUNCED_FOR)
        if pipe.execute()[2]:
            _send(DRIVE, (run_id,))
    except _LOST as error:
        raise NotHandedOver(f"Redis does not take what is told of run {run_id} ({error}).") from None


def take(run_id: str) -> Taken:
    """The facts that wait for a run, to be settled or given back; from now on a new one announces a new drive."""
    name = f"{run_id}:{uuid.uuid4().hex}"
    keys = [_announced(run_id), WAITING, _inbox(run_id), _kept(name), _TAKEN]
    found = _take()(keys=keys, args=[run_id, name])
    return Taken(run_id, name if found else "", tuple(json.loads(text) for text in found))


def settle(taken: Taken) -> None:
    """What was taken is in the database."""
    if taken.name:
        pipe = connection().pipeline(transaction=True)
        pipe.delete(_kept(taken.name))
        pipe.zrem(_TAKEN, taken.name)
        pipe.execute()


def give_back(taken: Taken) -> None:
    """What was taken could not be folded in: it waits again, until the next look at what was left."""
    if taken.name:
        _give_back(taken.run_id, taken.name, [json.dumps(fact) for fact in taken.facts])


def announce_left(older: float, *, anew: bool = False) -> None:
    """Has runs driven whose facts wait and whose message was lost, or whose driver ended over them `older` seconds ago.

    `anew` is for a driver that starts: it does not wait for messages that may have gone with the one before it.
    """
    server: Any = connection()
    for name in server.zrangebyscore(_TAKEN, 0, server.time()[0] - older):  # by the clock of Redis, as it is noted
        _give_back(name.partition(":")[0], name, server.lrange(_kept(name), 0, -1))
    waiting, messages = server.smembers(WAITING), server.llen(_DRIVES)
    if messages >= len(waiting) and not anew:  # they wait for workers; more of them would keep these from what they wait for
        return
    for run_id in waiting:
        if server.set(_announced(run_id), "1", nx=not anew, ex=_ANNOUNCED_FOR):
            _send(DRIVE, (run_id,))


def began_anew() -> bool:
    """Whether Redis is another than when this was last asked: started again, or without its data. Facts are lost then."""
    server = connection()
    pipe = server.pipeline(transaction=False)
    pipe.get(_SERVER)
    pipe.info("server")
    known, about = pipe.execute()
    if known == about.get("run_id", "unknown"):
        return False
    server.set(_SERVER, about.get("run_id", "unknown"))
    return True


@cache
def _take() -> Any:
    return connection().register_script(_TAKE)


def _give_back(run_id: str, name: str, facts: Sequence[str]) -> None:
    pipe = connection().pipeline(transaction=True)
    if facts:
        pipe.lpush(_inbox(run_id), *reversed(facts))
        pipe.sadd(WAITING, run_id)
    pipe.delete(_kept(name))
    pipe.zrem(_TAKEN, name)
    pipe.execute()


def _look_over(run_id: str) -> None:
    try:
        hand_over(run_id, [])
    except NotHandedOver as error:
        log.warning("%s The run is looked at again by the next tick.", error)


def _inbox(run_id: str) -> str:
    return f"kfdash:facts:{run_id}"


def _announced(run_id: str) -> str:
    return f"kfdash:driving:{run_id}"


def _kept(name: str) -> str:
    return f"kfdash:taken:{name}"


def _send(job: str, args: Sequence[Any]) -> None:
    try:
        sent = {"sent": time.time()}  # by it one sees how old a queue is
        app.send_task(job, args=list(args), queue=QUEUES.get(job, "io"), retry=False, headers=sent)
    except Exception as error:  # kombu raises what its transport raises; rows are the truth, so none may reach the caller
        trouble.met(error, "redis")
        log.warning("Job %s was not sent (%s: %s); the next tick sends it again.", job, type(error).__name__, error)
