"""Each process of an installation tells every few seconds that it lives: one short call of Redis, by the clock of Redis.

A process has a loop (of events, of messages, of ticks) that says whenever it `turned`; a thread beside it tells Redis how long
ago that was. So a process that stands still is seen as well as one that is gone. `heard` reads what all of them told.

A leaf: knows neither app.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import redis
from django.conf import settings

from kfdash import __version__

EVERY = 5.0  # seconds between two beats
LATE = 13.0  # seconds after which a process that was not heard of counts as gone: two beats and a moment
FORGOTTEN = 3600  # seconds after which nothing is known of it any more
_MOST_TROUBLES = 8  # kinds
_PARTS = "kfdash:parts"  # part, machine and pid → what it told, with the time of Redis
_METRICS = "kfdash:metrics:"  # of the processes of `kfdash up`, for the one listener there
_BEAT = """
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], now[1] .. '.' .. string.format('%06d', now[2]) .. ' ' .. ARGV[2])
return now
"""


@dataclass(frozen=True, slots=True)
class Process:
    """What one process told last; times are Unix seconds by the clock of Redis, `clock` by its own at that moment."""

    part: str
    machine: str
    pid: int
    version: str
    started: float
    clock: float
    seen: float
    stood: float  # seconds since its loop turned
    memory: int  # bytes
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def ahead(self) -> float:
        """By how many seconds its clock is before that of Redis."""
        return self.clock - self.seen


@dataclass(frozen=True, slots=True)
class Heard:
    """All processes that told of themselves within the last hour, and what time it is for Redis."""

    now: float
    up_since: float  # of Redis itself
    processes: tuple[Process, ...]

    def living(self, part: str) -> list[Process]:
        """Those of a part that were heard of lately, oldest first."""
        found = [one for one in self.processes if one.part == part and self.now - one.seen <= LATE]
        return sorted(found, key=lambda one: one.started)


class _Self:
    """This process, as it tells of itself."""

    def __init__(self) -> None:
        self.part = ""
        self.pid = 0
        self.started = 0.0
        self.turned = time.monotonic()
        self.more: dict[str, Any] = {}
        self.ended = threading.Event()


_self = _Self()


@cache
def connection() -> redis.Redis:
    """Redis, for questions that may not take long."""
    return redis.Redis.from_url(settings.REDIS_URL, decode_responses=True, socket_connect_timeout=1, socket_timeout=2)


def begin(part: str, metrics: Callable[[], bytes] | None = None) -> None:
    """From now on this process tells of itself as `part`; with `metrics` also those, for whoever serves them."""
    global _self
    _self = _Self()
    _self.part, _self.pid, _self.started = part, os.getpid(), now()
    threading.Thread(target=_beat_for_ever, args=(_self, metrics), name="pulse", daemon=True).start()


def now() -> float:
    """Unix time, by the clock of this process."""
    return time.time()


def turned() -> None:
    """The loop of this process has turned once more."""
    _self.turned = time.monotonic()


def stood() -> float:
    """Seconds since the loop of this process turned."""
    return time.monotonic() - _self.turned


def part() -> str:
    """Which part this process is; empty for one that is none (a command)."""
    return _self.part if _self.pid == os.getpid() else ""


def tell(**about: Any) -> None:
    """What else this process tells of itself, from the next beat on: values are JSON."""
    _self.more.update(about)


def trouble(kind: str, says: str) -> None:
    """What this process could not do just now, with the next beat; `says` is for people."""
    known = _self.more.setdefault("troubles", {})
    if kind in known or len(known) < _MOST_TROUBLES:
        known[kind] = {"at": now(), "says": says}


def leave() -> None:
    """It ends in order: nobody need miss it."""
    if part():
        _self.ended.set()
        with contextlib.suppress(redis.RedisError, OSError):
            connection().hdel(_PARTS, _name(_self))


def heard() -> Heard:
    """What all processes told, and what time it is for Redis. Raises redis.RedisError."""
    pipe = connection().pipeline(transaction=False)
    pipe.time()
    pipe.hgetall(_PARTS)
    pipe.info("server")
    (seconds, micros), told, about = pipe.execute()
    moment = seconds + micros / 1e6
    found = [one for name, text in told.items() if (one := _read(name, text))]
    if gone := [_key(one) for one in found if moment - one.seen > FORGOTTEN]:
        connection().hdel(_PARTS, *gone)
    processes = tuple(one for one in found if moment - one.seen <= FORGOTTEN)
    return Heard(moment, moment - float(about.get("uptime_in_seconds", FORGOTTEN)), processes)


def metrics_of_others() -> dict[str, bytes]:
    """Part → its metrics in Prometheus' words, of all processes of `kfdash up` but this one. Raises redis.RedisError."""
    names = [name for one in heard().processes if _key(one) != _name(_self) and (name := one.part)]
    texts: Any = connection().mget([_METRICS + name for name in names]) if names else []
    return {name: text.encode() for name, text in zip(names, texts, strict=True) if text}


def _beat_for_ever(me: _Self, metrics: Callable[[], bytes] | None) -> None:
    while True:
        with contextlib.suppress(redis.RedisError, OSError):  # whoever reads notices
            _beat(me)
            if metrics is not None:
                connection().set(_METRICS + me.part, metrics(), ex=int(4 * EVERY))
        if me.ended.wait(EVERY):
            return


def _beat(me: _Self) -> None:
    about = {
        "version": __version__,
        "started": me.started,
        "clock": now(),
        "stood": round(time.monotonic() - me.turned, 1),
        "memory": _memory(),
        **me.more,
    }
    _script()(keys=[_PARTS], args=[_name(me), json.dumps(about)])


@cache
def _script() -> Any:
    return connection().register_script(_BEAT)


def _name(me: _Self) -> str:
    return f"{me.part} {os.uname().nodename} {me.pid}"


def _key(one: Process) -> str:
    return f"{one.part} {one.machine} {one.pid}"


def _read(name: str, text: str) -> Process | None:
    """None for what another version wrote in another form."""
    try:
        part, machine, pid = name.split(" ")
        seen, _, rest = text.partition(" ")
        told = json.loads(rest)
        fixed = {key: told.pop(key) for key in ("version", "started", "clock", "stood", "memory")}
        return Process(part, machine, int(pid), seen=float(seen), more=told, **fixed)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _memory() -> int:
    """Resident bytes; 0 where the system does not tell (it is told by Linux)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
