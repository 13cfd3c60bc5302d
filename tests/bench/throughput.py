"""How many runs a minute: kfdash as separate processes on PostgreSQL and Redis, with steps that take no time.

A figure's line is followed by what each process took of a core meanwhile, the load generator (`client`) among them: the limit
is whatever is at its end first. The machine's cores are shared by all of them.
"""

from __future__ import annotations

import json
import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from tests.bench.figures import Figure, measure
from tests.bench.pipelines import scripts, uncached
from tests.bench.separate import Client, Stack, separate
from tests.running import wait_for

CLIENTS = 8
PARTS = ("web-1", "web-2", "worker-1", "orders", "io", "observer")
ALONE, TOGETHER = 100, 800  # runs created by one client, and by all
STEADY_SECONDS, PER_MINUTE = 30, 500
BACKLOG = 600


class Launcher:
    """Creates runs of an uploaded pipeline of one step, that nothing is cached of."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        pipeline = self._upload(Client(stack.addresses["web-1"]))
        reference = {"pipeline_id": pipeline["pipeline_id"], "pipeline_version_id": pipeline["pipeline_version_id"]}
        self.by_reference = json.dumps({"display_name": "bench", "pipeline_version_reference": reference}).encode()
        self.inline = json.dumps({"display_name": "bench", "pipeline_spec": _document()}).encode()

    @staticmethod
    def _upload(client: Client) -> dict[str, Any]:
        made = client.send("POST", "/apis/v2beta1/pipelines", b'{"display_name": "bench"}')
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="uploadfile"; filename="one.json"\r\n\r\n'
        form = head.encode() + json.dumps(_document()).encode() + f"\r\n--{boundary}--\r\n".encode()
        path = f"/apis/v2beta1/pipelines/upload_version?name=one&pipelineid={made['pipeline_id']}"
        answer: dict[str, Any] = client.send("POST", path, form, f"multipart/form-data; boundary={boundary}")
        return answer

    def client(self, number: int) -> Client:
        """A client; those after each other talk to one web after the other."""
        addresses = list(self.stack.addresses.values())
        return Client(addresses[number % len(addresses)])

    def create(self, client: Client, *, inline: bool = False) -> float:
        """Creates a run; seconds."""
        began = time.perf_counter()
        client.send("POST", "/apis/v2beta1/runs", self.inline if inline else self.by_reference)
        return time.perf_counter() - began

    def create_many(self, count: int, clients: int) -> tuple[float, list[float]]:
        """So many runs by so many clients at once, each one after the other: seconds together, and of each."""

        def some(number: int) -> list[float]:
            mine = self.client(number)
            return [self.create(mine) for _ in range(number, count, clients)]

        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            each = [seconds for one in pool.map(some, range(clients)) for seconds in one]
        return time.perf_counter() - began, each


def _document() -> dict[str, Any]:
    return uncached(scripts({"work": "true"}))


@measure("create")
def create() -> Iterator[Figure]:
    """Creating runs, by a client alone and by eight at once; what was created is driven meanwhile."""
    with separate(*PARTS) as stack:
        launcher = Launcher(stack)
        _warm(launcher)
        client = launcher.client(0)
        with shares(stack, "create run, one client") as used:
            alone = [launcher.create(client) for _ in range(ALONE)]
        yield Figure("create run, one client: p50", statistics.median(alone) * 1000, "ms", 30)
        yield from used()
        inline = [launcher.create(client, inline=True) for _ in range(ALONE)]
        yield Figure("create run with its pipeline, one client: p50", statistics.median(inline) * 1000, "ms", 30)
        until_ended(stack)
        with shares(stack, f"create run, {CLIENTS} clients") as used:
            seconds, each = launcher.create_many(TOGETHER, CLIENTS)
        yield Figure(f"create run, {CLIENTS} clients", TOGETHER / seconds, "runs/s", 100)
        yield Figure(f"create run, {CLIENTS} clients: p50", statistics.median(each) * 1000, "ms")
        yield from used()
        until_ended(stack)


@measure("throughput")
def throughput() -> Iterator[Figure]:
    """One-step runs from creation to end: at a steady 500 a minute, as many as can be, and a backlog with one worker and two."""
    with separate(*PARTS) as stack:
        launcher = Launcher(stack)
        _warm(launcher)
        yield from _steadily(stack, launcher)
        before = _ended(stack)
        with shares(stack, "as many as can be") as used:
            began = time.perf_counter()
            launcher.create_many(TOGETHER, CLIENTS)
            until_ended(stack)
            seconds = time.perf_counter() - began
        yield Figure("one-step runs from creation to end, one worker", (_ended(stack) - before) / seconds * 60, "runs/min", 500)
        yield from used()
        yield from _backlog(stack, launcher, 1)
        stack.begin("worker-2")
        yield from _backlog(stack, launcher, 2)
        yield Figure("database: of 1,000 one-step runs", _bytes_of_runs(stack) / 1024 / 1024, "MiB")
        assert not stack.said(), stack.said()


def _steadily(stack: Stack, launcher: Launcher) -> Iterator[Figure]:
    """Runs at the rate of the budget; from creation to end, as the rows have it."""
    count, pause = STEADY_SECONDS * PER_MINUTE // 60, 60 / PER_MINUTE
    client, since = launcher.client(0), _now(stack)
    with shares(stack, f"{PER_MINUTE} runs a minute") as used:
        began = time.perf_counter()
        for number in range(count):
            time.sleep(max(0.0, began + number * pause - time.perf_counter()))
            launcher.create(client)
        until_ended(stack)
        seconds = time.perf_counter() - began
    took = query(stack, "SELECT extract(epoch FROM finished_at - created_at) FROM runs_run WHERE created_at >= %s", since)
    late = sorted(float(row[0]) for row in took)
    yield Figure(f"{PER_MINUTE} runs a minute: reached", count / seconds * 60, "runs/min", PER_MINUTE * 0.95)
    yield Figure(f"{PER_MINUTE} runs a minute: from creation to end, p50", statistics.median(late) * 1000, "ms")
    yield Figure(f"{PER_MINUTE} runs a minute: from creation to end, p95", late[int(len(late) * 0.95)] * 1000, "ms")
    yield from used()


def _backlog(stack: Stack, launcher: Launcher, workers: int) -> Iterator[Figure]:
    """Runs that were created while no worker worked, from when they begin."""
    named = [name for name in stack.parts if name.startswith("worker")]
    stack.pause(*named)
    launcher.create_many(BACKLOG, CLIENTS)
    before = _ended(stack)
    with shares(stack, f"backlog, {workers} worker{'s' * (workers > 1)}") as used:
        began = time.perf_counter()
        stack.go_on(*named)
        until_ended(stack)
        seconds = time.perf_counter() - began
    yield Figure(f"backlog of one-step runs, {workers} workers", (_ended(stack) - before) / seconds * 60, "runs/min")
    yield from used()


# --- what it took ---


class shares:
    """Processor time of each process over a `with`; called afterwards, it yields the figures."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack, self.name = stack, name

    def __enter__(self) -> Callable[[], Iterator[Figure]]:
        self.before, self.client, self.began = self.stack.cpu(), time.process_time(), time.perf_counter()
        self.busy = _machine()
        return self._figures

    def __exit__(self, *error: object) -> None:
        self.after, self.seconds = self.stack.cpu(), time.perf_counter() - self.began
        self.client = time.process_time() - self.client
        self.others = _machine() - self.busy

    def _figures(self) -> Iterator[Figure]:
        used = {name: self.after[name] - self.before.get(name, 0.0) for name in self.after} | {"client": self.client}
        for name, seconds in sorted(used.items(), key=lambda item: -item[1]):
            if seconds / self.seconds > 0.005:
                yield Figure(f"{self.name}: CPU of {name}", seconds / self.seconds * 100, "%")
        others = max(0.0, self.others - sum(used.values()))
        yield Figure(f"{self.name}: CPU of others on this machine", others / self.seconds * 100, "%")


def _machine() -> float:
    """Seconds that all cores were busy so far."""
    with open("/proc/stat") as file:
        fields = [int(text) for text in file.readline().split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def _warm(launcher: Launcher) -> None:
    launcher.create_many(4 * CLIENTS, CLIENTS)
    until_ended(launcher.stack)


def query(stack: Stack, statement: str, *parameters: Any) -> list[Any]:
    """The rows that the database answers with."""
    with psycopg.connect(stack.database.url) as connection:
        return connection.execute(statement, parameters or None).fetchall()


def _now(stack: Stack) -> Any:
    return query(stack, "SELECT now()")[0][0]


def _ended(stack: Stack) -> int:
    """How many runs have succeeded; fails where one failed."""
    found = dict(query(stack, "SELECT state, count(*) FROM runs_run GROUP BY state"))
    assert not found.get("FAILED"), found
    return int(found.get("SUCCEEDED", 0))


def until_ended(stack: Stack) -> None:
    """Waits until no run goes on; raises AssertionError where that takes minutes."""

    def over() -> bool:
        time.sleep(0.05)
        return not query(stack, "SELECT FROM runs_run WHERE finished_at IS NULL LIMIT 1")

    assert wait_for(over, 300), f"Runs do not end: {query(stack, 'SELECT state, count(*) FROM runs_run GROUP BY state')}"


def _bytes_of_runs(stack: Stack) -> float:
    """Of tables and indexes that grow with runs, for 1,000 of them."""
    statement = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'runs_%'"
    return float(query(stack, statement)[0][0]) / _ended(stack) * 1000
