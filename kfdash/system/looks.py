"""The questions to database, Redis, disks and store: what they say, and in sentences what is wrong with it and what to do."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count
from django.utils import timezone

from kfdash import doctor, outage, pulse
from kfdash.celery import KEYS, QUEUES
from kfdash.doctor import Finding
from kfdash.outbox import WAITING
from kfdash.pulse import Heard
from kfdash.system.asking import Look, Seen
from kfdash.words import counted, duration, size
from runs.engine.model import Phase, State
from runs.models import Attempt, Lease, Order, Run

_OLD_JOB = 30.0  # seconds that a job may wait before it is spoken of
_LATE_ORDER = 20.0
_NEARLY = 0.9  # of what may be used
_JUST_BEGUN = 60.0  # seconds for which a Redis that began anew is spoken of
_UNFINISHED = (State.PENDING, State.RUNNING, State.CANCELING)


@dataclass(frozen=True)
class DatabaseSeen:
    """What the database says. Times in seconds, sizes in bytes; `ahead`: by how much our clock is before its own."""

    name: str
    ahead: float = 0.0
    bytes: int = 0
    connections: int = 0
    most_connections: int = 0
    waiting_migrations: int = 0
    due: int = 0
    oldest_due: float = 0.0
    put_off: int = 0
    runs: Mapping[str, int] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    leader: str = ""
    leads_until: datetime | None = None
    read_only: bool = False


@dataclass(frozen=True)
class Queue:
    """A queue of jobs: how many wait, and for how long the oldest has."""

    name: str
    length: int
    age: float


@dataclass(frozen=True)
class RedisSeen:
    """What Redis says; sizes in bytes, `limit` 0 where there is none. `ahead`: by how much our clock is before its own."""

    heard: Heard
    version: str
    memory: int
    limit: int
    queues: tuple[Queue, ...]
    runs_with_facts: int
    ahead: float


@dataclass(frozen=True)
class Room:
    """A disk that something is kept on; bytes."""

    names: str
    folder: str
    free: int
    whole: int


# --- the database ---------------------------------------------------------------------------------------------------

_migrated = [False]


def _ask_database() -> Seen[DatabaseSeen]:
    try:
        if waiting := _waiting_migrations():
            sentence = (
                f"{counted(waiting, 'migration')} of the database {'is' if waiting == 1 else 'are'} to be applied: this version "
                "serves nothing before. `kfdash migrate` (or `kfdash up`, at its start) does it."
            )
            return Seen(DatabaseSeen(_database_name(), waiting_migrations=waiting), (Finding("database", sentence, ok=False),))
        seen = _read_database()
    except DatabaseError as error:
        return Seen(None, (Finding("database", _database_says(error), ok=False),))
    return Seen(seen, tuple(_of_database(seen)))


def _database_says(error: Exception) -> str:
    said = " ".join(str(error).split())[:300]
    if "disk" in (outage.sentence(error) or ""):
        return f"The disk of the database is full ({said}). Make room there: until then nothing changes, and nothing is lost."
    what = "Start it again" if connection.vendor == "postgresql" else "Look at the data folder"
    return f"The database does not answer ({said}). {what}: until then runs wait, and go on by themselves afterwards."


def _waiting_migrations() -> int:
    """How many are to be applied. Once there were none, that stays so for this process."""
    if not _migrated[0]:
        executor = MigrationExecutor(connection)
        if waiting := executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return len(waiting)
        _migrated[0] = True
    return 0


def _read_database() -> DatabaseSeen:
    ahead, size_now, open_now, most, read_only = _of_server()
    now = timezone.now()
    waiting = Order.objects.filter(carried_out_at=None)
    due = list(waiting.filter(due__lte=now).order_by("due").values_list("due", flat=True)[:1001])
    lease = Lease.objects.filter(name="observer").first()
    unreleased = Attempt.objects.filter(released=False).exclude(phase=Phase.ENDED)
    return DatabaseSeen(
        name=_database_name(),
        ahead=ahead,
        bytes=size_now,
        connections=open_now,
        most_connections=most,
        due=len(due),
        oldest_due=max(0.0, (now - due[0]).total_seconds()) if due else 0.0,
        put_off=waiting.filter(tries__gt=0).count(),
        runs=dict(Run.objects.filter(state__in=_UNFINISHED).order_by().values_list("state").annotate(Count("pk"))),
        attempts=dict(unreleased.order_by().values_list("phase").annotate(Count("pk"))),
        leader=lease.holder if lease else "",
        leads_until=lease.until if lease else None,
        read_only=read_only,
    )


def _of_server() -> tuple[float, int, int, int, bool]:
    """By how much our clock is ahead, bytes, connections now and at most (0: none are counted), whether it takes no changes."""
    if connection.vendor != "postgresql":
        files = (pathlib.Path(f"{settings.DATABASES['default']['NAME']}{end}") for end in ("", "-wal"))
        return 0.0, sum(file.stat().st_size for file in files if file.exists()), 0, 0, False
    asked = (
        "SELECT extract(epoch FROM clock_timestamp()), pg_database_size(current_database()),"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), current_setting('max_connections')::int,"
        " current_setting('transaction_read_only') = 'on'"
    )
    with connection.cursor() as cursor:
        before = pulse.now()
        cursor.execute(asked)
        at, size_now, open_now, most, read_only = cursor.fetchone()
    return (before + pulse.now()) / 2 - float(at), int(size_now), int(open_now), int(most), bool(read_only)


def _database_name() -> str:
    where = settings.DATABASES["default"]
    if connection.vendor == "postgresql":
        return f"PostgreSQL, {where['NAME']} on {where['HOST'] or 'this machine'}"
    return f"SQLite, {where['NAME']}"


def _of_database(seen: DatabaseSeen) -> Iterator[Finding]:
    if seen.read_only:
        sentence = (
            "The database takes no changes: it is read-only, as one that only follows another is. Until it takes them, or "
            "KFDASH_DATABASE_URL leads to the one that does, runs wait; they go on by themselves afterwards."
        )
        yield Finding("database", sentence, ok=False)
    if seen.most_connections and seen.connections > _NEARLY * seen.most_connections:
        yield Finding(
            "database",
            f"{seen.connections} of {seen.most_connections} connections of the database are taken: soon it refuses more. Raise its "
            "max_connections, or run fewer processes.",
            ok=False,
            needed=False,
        )
    if seen.due and seen.oldest_due > _LATE_ORDER:
        count = f"{seen.due:,}" if seen.due <= 1000 else "More than 1,000"
        yield Finding(
            "orders",
            f"{count} {'order is' if seen.due == 1 else 'orders are'} due and not carried out, the oldest for "
            f"{duration(seen.oldest_due)}: steps start and stop late. Look at the observer, which sends them, and at Orders.",
            ok=False,
            needed=False,
        )
    if seen.put_off:
        order = Order.objects.filter(carried_out_at=None, tries__gt=0).order_by("-tries").values_list("answer", flat=True).first()
        yield Finding(
            "orders",
            f"{counted(seen.put_off, 'order')} could not be carried out yet, {'is' if seen.put_off == 1 else 'are'} tried again: "
            f"{(order or 'the reason is in the log of Orders.')[:400]}",
            ok=False,
            needed=False,
        )


# --- Redis ----------------------------------------------------------------------------------------------------------


def _ask_redis() -> Seen[RedisSeen]:
    try:
        seen = _read_redis()
    except (redis.RedisError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        act = (
            f"`kfdash up` starts it again; {settings.DATA_DIR}/redis/redis.log says why it ended"
            if doctor.own_redis()
            else "Start it again, or correct KFDASH_REDIS_URL"
        )
        sentence = f"Redis does not answer ({said}). {act}. Jobs wait and pages stand still until then; nothing is lost."
        return Seen(None, (Finding("redis", sentence, ok=False),))
    return Seen(seen, tuple(_of_redis(seen)))


def _read_redis() -> RedisSeen:
    heard = pulse.heard()
    ahead = pulse.now() - heard.now
    pipe = pulse.connection().pipeline(transaction=False)
    pipe.info()
    pipe.scard(WAITING)
    for name in QUEUES:
        pipe.llen(KEYS + name)
        pipe.lindex(KEYS + name, -1)
    about, facts, *queues = pipe.execute()
    lengths = zip(QUEUES, queues[::2], queues[1::2], strict=True)
    return RedisSeen(
        heard=heard,
        version=f"{about.get('server_name', 'redis').capitalize()} {about.get('valkey_version') or about.get('redis_version', '')}",
        memory=int(about.get("used_memory", 0)),
        limit=int(about.get("maxmemory", 0)),
        queues=tuple(Queue(name, length, _age(oldest)) for name, length, oldest in lengths),
        runs_with_facts=facts,
        ahead=ahead,
    )


def _age(message: str | None) -> float:
    """Seconds since a job was sent; 0 where it does not say."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return max(0.0, pulse.now() - float(json.loads(message or "{}")["headers"]["sent"]))
    return 0.0


def _of_redis(seen: RedisSeen) -> Iterator[Finding]:
    if seen.limit and seen.memory > _NEARLY * seen.limit:
        sentence = f"Redis holds {size(seen.memory)} of the {size(seen.limit)} that it may: soon it refuses more. Raise maxmemory."
        yield Finding("redis", sentence, ok=False, needed=False)
    up = seen.heard.now - seen.heard.up_since
    if up < _JUST_BEGUN and any(one.started + 10 < seen.heard.up_since < one.seen for one in seen.heard.processes):
        sentence = f"Redis began anew {duration(up)} ago, perhaps without what it held: all runs are looked over."
        yield Finding("redis", sentence, ok=False, needed=False)
    for queue in seen.queues:
        if queue.age > _OLD_JOB:
            sentence = (
                f"{counted(queue.length, 'job')} wait in the queue `{queue.name}`, the oldest for {duration(queue.age)}. "
                "Its worker is away, stands still or has too much to do: then start another one."
            )
            yield Finding(queue.name, sentence, ok=False, needed=False)


# --- disks, store, host ---------------------------------------------------------------------------------------------


def _ask_disk() -> Seen[tuple[Room, ...]]:
    found = [] if settings.EMBEDDED is False and not settings.DATA_DIR.exists() else [doctor.data_folder(), doctor.disk_space()]
    bad = [one for one in found if not one.ok]
    if any("No space left" in one.sentence or "no space left" in one.sentence for one in bad):
        bad = [one for one in bad if one.what == "disk space"] or bad
    return Seen(tuple(_rooms()), tuple(bad))


def _rooms() -> Iterator[Room]:
    """The disks of data, artifacts and logs, each once."""
    by_disk: dict[int, list[tuple[str, pathlib.Path]]] = {}
    for name, folder in (("data", settings.DATA_DIR), ("artifacts", settings.ARTIFACTS_DIR), ("logs", settings.LOGS_DIR)):
        with contextlib.suppress(OSError):
            by_disk.setdefault(folder.stat().st_dev, []).append((name, folder))
    for places in by_disk.values():
        usage = shutil.disk_usage(places[0][1])
        yield Room(", ".join(name for name, _ in places), str(places[0][1]), usage.free, usage.total)


def _ask_store() -> Seen[str]:
    found = doctor.stores()
    if found.ok:
        return Seen(found.sentence, ())
    sentence = f"{found.sentence.rstrip('.')}. Until it answers, steps cannot fetch inputs or keep outputs."
    return Seen(None, (Finding("store", sentence, ok=False),))


def _ask_host() -> Seen[str]:
    """Whether somebody listens where the owner of local steps is to be found."""
    path = settings.RUNTIME_DIR / "host.sock"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(os.fspath(path))
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        sentence = f"The host of local steps does not answer ({path}: {said}). No step runs; `kfdash up` starts it again."
        return Seen(None, (Finding("host", sentence, ok=False),))
    return Seen("answers", ())


database: Look[DatabaseSeen] = Look("database", "The database", _ask_database, keep=2, patience=3)
redis_server: Look[RedisSeen] = Look("redis", "Redis", _ask_redis, keep=2, patience=3)
disk: Look[tuple[Room, ...]] = Look("disk space", "The disk", _ask_disk, keep=5, patience=2)
store: Look[str] = Look("store", "The store of artifacts", _ask_store, keep=30, patience=3)
host: Look[str] = Look("host", "The host of local steps", _ask_host, keep=2, patience=2)
_BY_NAME: dict[str, Look[Any]] = {"database": database, "redis": redis_server, "disk": disk, "store": store, "host": host}


def now(*names: str) -> list[Finding]:
    """What is wrong now, by the looks that are named; kept answers are taken where they are fresh."""
    looks = [_BY_NAME[name] for name in names]
    for look in looks:
        look.last()  # asked at the same time
    return [found for look in looks for found in look.seen().findings]
