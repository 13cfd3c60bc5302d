"""The metrics that Prometheus reads: what this process counted, and what database and Redis know when they are asked.

With `kfdash up` one listener speaks for all parts: the others leave what they counted in Redis every few seconds.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator

import redis
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from kfdash import metrics, pulse
from kfdash.system import looks


def text(*, shared: bool, everybody: bool = False) -> bytes:
    """Prometheus' text: of this process; with `shared` what all share, too; with `everybody` the other parts of `kfdash up`."""
    told = metrics.text()
    if everybody:
        told = generate_latest(_Families(_together({pulse.part() or "web": told, **_of_others()})))
    if shared:
        told += generate_latest(_Families(_shared()))
    return told


class _Families:
    """What can be collected, as a registry is."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._families


def _of_others() -> dict[str, bytes]:
    with contextlib.suppress(redis.RedisError, OSError):
        return pulse.metrics_of_others()
    return {}


def _together(texts: dict[str, bytes]) -> list[Metric]:
    """The families of several processes, each once, told apart by the label `part`."""
    found: dict[str, Metric] = {}
    for part, text in texts.items():
        for family in text_string_to_metric_families(text.decode()):
            whole = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                whole.samples.append(sample._replace(labels={"part": part, **sample.labels}))
    return list(found.values())


def _gauge(name: str, said: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"kfdash_{name}", said, value=value)


def _gauges(name: str, said: str, label: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"kfdash_{name}", said, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


def _shared() -> Iterator[Metric]:
    database, redis_server, disk = looks.database.seen(), looks.redis_server.seen(), looks.disk.seen()
    about = "1 where the database answers, takes changes and its tables are of this version."
    yield _gauge("database_up", about, float(_answers(database.value)))
    yield _gauge("redis_up", "1 where Redis answers.", float(redis_server.value is not None))
    if (seen := database.value) is not None:
        yield from _of_database(seen)
    if (told := redis_server.value) is not None:
        yield from _of_redis(told)
    rooms = disk.value or ()
    yield _gauges(
        "disk_free_bytes", "Room on the disks, by what is kept on them.", "holds", ((one.names, one.free) for one in rooms)
    )
    yield _gauges("disk_bytes", "Size of the disks, by what is kept on them.", "holds", ((one.names, one.whole) for one in rooms))


def _answers(seen: looks.DatabaseSeen | None) -> bool:
    return seen is not None and not seen.waiting_migrations and not seen.read_only


def _of_database(seen: looks.DatabaseSeen) -> Iterator[Metric]:
    states = ("PENDING", "RUNNING", "CANCELING")
    yield _gauges("runs", "Runs under way, by state.", "state", ((state, seen.runs.get(state, 0)) for state in states))
    phases = ("queued", "starting", "running", "collecting")
    by_phase = {key.lower(): value for key, value in seen.attempts.items()}
    yield _gauges("attempts", "Attempts of steps under way, by phase.", "phase", ((one, by_phase.get(one, 0)) for one in phases))
    yield _gauge("orders_due", "Orders due and not carried out (counted to 1,001).", seen.due)
    yield _gauge("orders_due_age_seconds", "For how long the oldest of them has been due.", seen.oldest_due)
    yield _gauge("orders_put_off", "Orders that could not be carried out and are tried again.", seen.put_off)
    yield _gauge("database_size_bytes", "Size of the database.", seen.bytes)
    yield _gauge("database_connections", "Connections that the database has; 0 for SQLite.", seen.connections)
    yield _gauge("database_connections_max", "Connections that it takes; 0 for SQLite.", seen.most_connections)
    yield _gauge("database_migrations_waiting", "Migrations that are to be applied.", seen.waiting_migrations)


def _of_redis(seen: looks.RedisSeen) -> Iterator[Metric]:
    lengths, ages = ((one.name, one.length) for one in seen.queues), ((one.name, one.age) for one in seen.queues)
    yield _gauges("queue_jobs", "Jobs that wait in a queue.", "queue", lengths)
    yield _gauges("queue_age_seconds", "For how long the oldest of them waits.", "queue", ages)
    yield _gauge("runs_with_facts_waiting", "Runs with facts that nobody has taken.", seen.runs_with_facts)
    yield _gauge("redis_memory_bytes", "Memory that Redis uses.", seen.memory)
    yield _gauge("redis_memory_max_bytes", "Memory that it may use; 0 without a limit.", seen.limit)
    heard = seen.heard
    living = [one for one in heard.processes if heard.now - one.seen <= pulse.LATE]
    counts = Counter((one.part, one.version) for one in living)
    family = GaugeMetricFamily("kfdash_processes", "Processes that were heard of lately.", labels=["part", "version"])
    for (part, version), count in sorted(counts.items()):
        family.add_metric([part, version], count)
    yield family
    ahead = [abs(one.ahead) for one in living]
    yield _gauge("clock_difference_seconds", "How far a process's clock is from that of Redis, the worst.", max(ahead, default=0))
