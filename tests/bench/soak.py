"""`make soak`: a steady load on separate processes for an hour; what each holds of memory and connections at start, middle and end.

Runs are launched, pages read and sockets opened at a steady rate, far below what the machine can do. Fails where memory or
connections of a process grow and do not level off, where a run does not succeed, or where a part says anything.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.crowd import open_socket
from tests.bench.pipelines import scripts, uncached
from tests.bench.separate import Client, Stack, separate
from tests.bench.shared_fake import STEP_SECONDS
from tests.bench.throughput import PARTS, query, until_ended

RUNS_A_MINUTE, PAGES_A_SECOND, SOCKETS = 120, 2, 40
SOCKET_SECONDS = 20  # that a socket stays before it is opened anew
SAMPLE_EVERY = 5.0  # seconds
CHAIN = 8
_PAGES = ("/", "/runs/", "/runs/?q=state:failed", "/runs/{run}/", "/experiments/", "/system/")
_CALLS = ("/apis/v2beta1/runs?page_size=20", "/apis/v2beta1/runs/{run}", "/apis/kfdash/v1/runs/{run}/tasks")
_WINDOWS = {"start": (0.1, 0.25), "middle": (0.45, 0.6), "end": (0.85, 1.0)}  # parts of the whole time
_MAY_GROW, _MAY_GROW_MIB, _MAY_GROW_CONNECTIONS = 0.05, 10.0, 2  # from middle to end
_NOT_JUDGED = frozenset(("postgresql",))  # the pages of the database that it keeps in memory become more with its rows


@dataclass(frozen=True)
class Sample:
    """What processes held at one moment: MiB, and connections to database and Redis."""

    at: float
    memory: dict[str, float]
    connections: dict[str, tuple[int, int]]


# --- the load ---


class Load:
    """Launches, reads and watches until it is told to end; what goes wrong is kept."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.over = stack, threading.Event()
        self.recent: deque[str] = deque(maxlen=50)
        self.launched, self.read, self.opened = 0, 0, 0
        self.problems: list[str] = []
        names = [f"step-{number}" for number in range(CHAIN)]
        documents = (scripts({"work": "true"}), scripts(dict.fromkeys(names, "true"), dict(zip(names[1:], names, strict=False))))
        self.bodies = itertools.cycle(
            json.dumps({"display_name": "soak", "pipeline_spec": uncached(document)}).encode() for document in documents
        )
        self.addresses = itertools.cycle(stack.addresses.values())

    @contextlib.contextmanager
    def going(self) -> Iterator[None]:
        """It goes on inside."""
        works = (self._launch, self._read, self._watch)
        threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join(60)

    def _guarded(self, work: Callable[[], None]) -> None:
        while not self.over.is_set():
            try:
                work()
            except Exception as error:  # it goes on all the same, and fails in the end
                self.problems.append(f"{work.__name__.strip('_')}: {type(error).__name__}: {error}"[:300])
                self.over.wait(1)

    def _beats(self, a_second: float) -> Iterator[None]:
        began, number = time.monotonic(), 0
        while not self.over.wait(max(0.0, began + number / a_second - time.monotonic())):
            yield
            number += 1

    def _launch(self) -> None:
        for _ in self._beats(RUNS_A_MINUTE / 60):
            answer = self._asked(lambda client: client.send("POST", "/apis/v2beta1/runs", next(self.bodies)))
            self.recent.append(answer["run_id"])
            self.launched += 1

    def _read(self) -> None:
        paths = itertools.cycle([(path, False) for path in _PAGES] + [(path, True) for path in _CALLS])
        for _ in self._beats(PAGES_A_SECOND):
            path, is_json = next(paths)
            if "{run}" in path and not self.recent:
                continue
            path = path.format(run=self.recent[-1]) if "{run}" in path else path
            self._asked(lambda client, path=path, json=is_json: client.send("GET", path) if json else client.page(path))
            self.read += 1

    def _asked(self, ask: Callable[[Client], Any]) -> Any:
        client = Client(next(self.addresses))
        try:
            return ask(client)
        finally:
            client.close()

    def _watch(self) -> None:
        asyncio.run(self._watch_in_turns())

    async def _watch_in_turns(self) -> None:
        open_ones: deque[Any] = deque()
        while not self.over.is_set():
            if self.recent:
                open_ones.append(await open_socket(next(self.addresses), self.recent[-1]))
                self.opened += 1
            if len(open_ones) > SOCKETS:
                open_ones.popleft().close()
            await asyncio.sleep(SOCKET_SECONDS / SOCKETS)
        for socket in open_ones:
            socket.close()


# --- what is held ---


def _samples(stack: Stack, seconds: float, say: Callable[[str], object]) -> list[Sample]:
    """Samples over so many seconds; a line a minute says how it goes."""
    began, found = time.monotonic(), []
    while (at := time.monotonic() - began) < seconds:
        found.append(Sample(at / seconds, stack.memory(), stack.connections()))
        if int(at / 60) > int((at - SAMPLE_EVERY) / 60):
            held = ", ".join(f"{name} {mib:.0f}" for name, mib in found[-1].memory.items())
            say(f"{at / 60:5.1f} min: MiB {held}")
        time.sleep(SAMPLE_EVERY)
    return found


def _window(samples: Sequence[Sample], window: str, read: Callable[[Sample], float]) -> float:
    first, last = _WINDOWS[window]
    return statistics.median(read(sample) for sample in samples if first <= sample.at <= last)


def table(samples: Sequence[Sample]) -> tuple[list[str], list[str]]:
    """The lines of a table, and a sentence for each process that grows and does not level off."""
    lines = [f"{'process':12} {'MiB: start':>10} {'middle':>7} {'end':>7}   {'database: start/middle/end':>26} {'Redis':>14}"]
    problems = []
    for name in samples[-1].memory:
        mib = [_window(samples, window, lambda sample, n=name: sample.memory.get(n, 0.0)) for window in _WINDOWS]
        text = f"{name:12} {mib[0]:10.1f} {mib[1]:7.1f} {mib[2]:7.1f}"
        if name not in _NOT_JUDGED and grows(mib, max(_MAY_GROW_MIB, _MAY_GROW * mib[1])):
            problems.append(f"{name}: memory grows and does not level off: {mib[0]:.1f}, {mib[1]:.1f}, {mib[2]:.1f} MiB.")
        if name in samples[-1].connections:
            for place, what in enumerate(("database", "Redis")):
                counts = [
                    _window(samples, window, lambda sample, n=name, p=place: sample.connections.get(n, (0, 0))[p])
                    for window in _WINDOWS
                ]
                text += f"   {'/'.join(f'{count:g}' for count in counts):>{26 if place == 0 else 11}}"
                if grows(counts, _MAY_GROW_CONNECTIONS):
                    problems.append(f"{name}: connections to {what} grow and do not level off: {counts}.")
        lines.append(text)
    return lines, problems


def grows(values: Sequence[float], may: float) -> bool:
    """Whether it grows by more than it may from middle to end, and not much less than from start to middle."""
    start, middle, end = values
    return end - middle > may and end - middle > (middle - start) / 2


def main() -> int:
    """Drives the load and prints the table; 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args()
    with separate(*PARTS, **{STEP_SECONDS: "0.2"}) as stack:
        load = Load(stack)
        with load.going():
            samples = _samples(stack, options.minutes * 60, lambda text: print(text, flush=True))
        until_ended(stack)
        states = dict(query(stack, "SELECT state, count(*) FROM runs_run GROUP BY state"))
        said = stack.said()
    lines, problems = table(samples)
    print("\n".join(lines))
    print(f"{load.launched} runs ({states}), {load.read} pages and calls, {load.opened} sockets in {options.minutes:g} minutes.")
    if set(states) - {"SUCCEEDED"}:
        problems.append(f"Not all runs succeeded: {states}.")
    problems += list(dict.fromkeys(load.problems))
    problems += [f"A part said: {line}" for line in said.splitlines()[:20]]
    print("\n".join(problems) or "Nothing grows without end.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
