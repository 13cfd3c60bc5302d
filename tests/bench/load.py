"""Much at once: a run of 10,000 steps with the memory of each process, 20 runs that share the machine, 100 browsers on one run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve

from runs.executors.local.host.config import default_places
from tests.bench.figures import Figure, measure
from tests.bench.pipelines import WRITE_ONE, layered, scripts
from tests.bench.processes import processor_time, share
from tests.bench.stack import call, installation, launch, moment, run_document, tasks_of, wait_for_run
from tests.running import Installation

LARGE = (100, 100)
AT_ONCE, EACH = 20, 20
BROWSERS = 100
CHAIN = 40


# --- 10,000 steps -----------------------------------------------------------------------------------------------------


@measure("large")
def large_run() -> Iterator[Figure]:
    """10,000 steps end; the most memory that each process held meanwhile, beside what it holds when nothing runs."""
    with installation() as running:
        run_document(running, scripts({"ready": "true"}))
        parts = running.parts()
        idle = {name: share(pid) / 1024 for name, pid in parts.items()}
        most = dict(idle)
        with _every(1.0, lambda: most.update({name: max(most[name], share(pid) / 1024) for name, pid in parts.items()})):
            began = time.perf_counter()
            run_id = launch(running, layered(*LARGE))
            wait_for_run(running, run_id, minutes=20)
            seconds = time.perf_counter() - began
        assert running.parts() == parts, "A process was started anew."
        count = LARGE[0] * LARGE[1]
        assert call(running, f"/apis/kfdash/v1/runs/{run_id}/tasks?parent=root")["total_size"] == count
        yield Figure(f"run of {count:,} steps", count / seconds, "steps/s", None, _shells_by_hand(500))
        for name in sorted(parts):
            yield Figure(f"run of {count:,} steps: most memory of {name}", most[name], "MiB", 300, idle[name])


@contextlib.contextmanager
def _every(seconds: float, act: Any) -> Iterator[None]:
    """Does something again and again meanwhile."""
    over = threading.Event()

    def go() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _shells_by_hand(count: int) -> float:
    """The same command a second, two at a time, by a bare program."""
    command = [*WRITE_ONE[:-1], "/dev/null"]
    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: subprocess.run(command, check=True), range(count)))
    return count / (time.perf_counter() - began)


# --- 20 runs ----------------------------------------------------------------------------------------------------------


@measure("fair")
def runs_at_once() -> Iterator[Figure]:
    """20 runs of 20 steps that take 0.2 s: a fair machine begins all early, and lets all end at about the same time."""
    with installation() as running:
        run_document(running, scripts({"ready": "true"}))
        document = scripts({f"work-{number}": _HOLDS for number in range(EACH)})
        began = time.time()
        with ThreadPoolExecutor(4) as pool:
            ids = list(pool.map(lambda _: launch(running, document), range(AT_ONCE)))
        for run_id in ids:
            wait_for_run(running, run_id)
        tasks = [tasks_of(running, run_id) for run_id in ids]
    firsts = [min(_begin(task) for path, task in run.items() if path != "root") - began for run in tasks]
    ends = [moment(run["root"]["finished_at"]) - began for run in tasks]
    whole = max(ends)
    yield Figure("20 runs at once: the last of them to begin, of the whole time", max(firsts) / whole * 100, "%", 25, 100 / AT_ONCE)
    yield Figure("20 runs at once: the last to end, of the mean end", whole / statistics.mean(ends) * 100, "%", 150, 100)
    yield Figure("20 runs at once: all of them", whole, "s", None, _held_by_hand(AT_ONCE * EACH))


_HOLDS = "sleep 0.2"  # a place; not the processor, so that figures do not hang on who else is at work


def _begin(task: dict[str, Any]) -> float:
    return moment(task["attempts"][0]["running_at"])


def _held_by_hand(count: int) -> float:
    """Seconds of the same scripts, as many at a time."""
    began = time.perf_counter()
    with ThreadPoolExecutor(default_places()) as pool:
        list(pool.map(lambda _: subprocess.run(["sh", "-c", _HOLDS], check=True), range(count)))
    return time.perf_counter() - began


# --- sockets ----------------------------------------------------------------------------------------------------------


@measure("sockets")
def sockets() -> Iterator[Figure]:
    """Messages to a browser in a fan-out of 1,000; what 100 browsers on a run that changes all the time cost the web process."""
    with installation() as running:
        run_document(running, scripts({"ready": "true"}))
        run_id = launch(running, layered(1, 1000))
        told, _ = asyncio.run(_watch(running, run_id, 1))
        run = tasks_of(running, run_id)["root"]
        seconds = moment(run["finished_at"]) - moment(run["started_at"])
        yield Figure("fan-out of 1,000: messages to a browser", len(told[0]) / seconds, "1/s", None, 4)

        alone = _watched_chain(running, 1)
        crowd = _watched_chain(running, BROWSERS)
    yield Figure("web process: 1 browser on a run", alone.percent, "%", None, _served_by_hand(alone, 1))
    yield Figure(f"web process: {BROWSERS} browsers on a run", crowd.percent, "%", 20, _served_by_hand(crowd, BROWSERS))


class _Watched:
    """What a browser was told of a run, and what telling it to all cost the web process."""

    def __init__(self, messages: list[str], cpu: float, seconds: float) -> None:
        self.messages, self.seconds = messages, seconds
        self.percent = cpu / seconds * 100


def _watched_chain(running: Installation, browsers: int) -> _Watched:
    """A chain whose steps change twice a second, watched by so many."""
    names = [f"step-{number}" for number in range(CHAIN)]
    run_id = launch(running, scripts(dict.fromkeys(names, "sleep 0.5"), dict(zip(names[1:], names, strict=False))))
    began, before = time.perf_counter(), processor_time(running.parts()["web"])
    told, all_connected = asyncio.run(_watch(running, run_id, browsers))
    seconds, cpu = time.perf_counter() - began, processor_time(running.parts()["web"]) - before
    assert all_connected and min(map(len, told)) > 2, sorted(map(len, told))
    return _Watched(told[0], cpu, seconds)


async def _watch(running: Installation, run_id: str, browsers: int) -> tuple[list[list[str]], bool]:
    """What each of so many sockets was told until the run had ended."""
    address = f"{running.address.replace('http', 'ws', 1)}/ws/runs/{run_id}/"

    async def one() -> list[str]:
        told = []
        async with connect(address, origin=running.address, max_size=None, compression=None) as socket:  # type: ignore[arg-type]
            async for text in socket:
                told.append(str(text))
                if json.loads(text).get("run", {}).get("state") in ("SUCCEEDED", "FAILED", "CANCELED"):
                    break
        return told

    found = await asyncio.gather(*(one() for _ in range(browsers)))
    return found, len(found) == browsers


def _served_by_hand(watched: _Watched, browsers: int) -> float:
    """Per cent of a core of a bare server that sends the same messages to so many sockets, over the same time."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs, watched.messages, browsers))
    server.start()
    port = ours.recv()

    async def listen() -> None:
        async def one() -> None:
            async with connect(f"ws://127.0.0.1:{port}", max_size=None, compression=None) as socket:
                async for _ in socket:
                    pass

        await asyncio.gather(*(one() for _ in range(browsers)))

    asyncio.run(listen())
    cpu: float = ours.recv()
    server.join()
    return cpu / watched.seconds * 100


def _serve(pipe: Any, messages: list[str], browsers: int) -> None:
    async def run() -> None:
        connected: set[ServerConnection] = set()
        over = asyncio.Event()

        async def hold(socket: ServerConnection) -> None:
            connected.add(socket)
            await over.wait()

        async with serve(hold, "127.0.0.1", 0, compression=None) as server:
            pipe.send(server.sockets[0].getsockname()[1])
            began = time.process_time()
            while len(connected) < browsers:
                await asyncio.sleep(0.01)
            for text in messages:
                broadcast(connected, text)
                await asyncio.sleep(0.01)
            over.set()
        pipe.send(time.process_time() - began)

    asyncio.run(run())
