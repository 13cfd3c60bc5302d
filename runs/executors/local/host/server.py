"""The host itself: the socket, the attempts it has, and its beginning and end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import re
import sys
import traceback
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from runs.engine.model import AttemptLost, Fact
from runs.execution.attempt import AttemptOrder
from runs.execution.facts import fact_of
from runs.execution.recipe import EXECUTOR_MODULE
from runs.execution.result import Result, to_time
from runs.executors.local.host import processes
from runs.executors.local.host.attempts import Attempt
from runs.executors.local.host.config import Config
from runs.executors.local.host.environments import BuildFailed, Environment, Environments
from runs.executors.local.host.hub import Hub
from runs.executors.local.host.places import Places
from runs.executors.local.host.pool import CannotStart, ForkServer, Pool
from runs.executors.local.host.records import Keeper, Processes, Record, all_records
from runs.executors.local.host.stepenv import MARK, make_shell_folder, without_server
from runs.executors.local.host.steplog import now
from runs.facts import encode
from runs.logstore import LogWriter

Json = Any
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
_LOG = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MESSAGE = 256 * 1024 * 1024  # bytes of one request
_COUNT_EVERY = 0.5  # seconds
_REMEMBERED = 100_000  # names of attempts that were forgotten: a late order for one does nothing


class Host:
    """Attempts by name, those under way and those whose end is kept."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.hub = Hub()
        self.places = Places(config.places)
        environment = without_server(os.environ)
        self.environments = Environments(config.environments, environment)
        self.pool = Pool(config.folder / "servers", environment, idle=config.idle)
        self.processes = Processes(config.folder / "processes")
        self.keeper = Keeper()
        self.memory_kills = processes.out_of_memory_kills()
        self.running: dict[str, Attempt] = {}
        self.ended: dict[str, Result] = {}
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._begun: asyncio.Queue[Attempt] = asyncio.Queue()
        self._beginning: asyncio.Task[Any] | None = None

    # --- what attempts tell ---

    def tell(self, attempt: Attempt, fact: Fact) -> None:
        """A fact for those who watch."""
        self.hub.fact(attempt.order.run_id, fact)

    def tell_lines(self, log: str, first: int, lines: int, block: bytes) -> None:
        """Lines that were stored."""
        self.hub.lines(log, first, lines, block)

    async def warm(self, environment: Environment) -> ForkServer:
        """A server of it that has imported the SDK's executor. Raises CannotStart."""
        if not self.pool.has(environment.key):
            self.environments.used(environment)
        return await self.pool.get(environment.key, environment.python, [EXECUTOR_MODULE])

    def started(self, pid: int) -> None:
        """A step's process runs."""
        self.processes.add(pid)

    def memory_ran_out(self) -> bool:
        """Whether the kernel has ended a process for lack of memory since this was last asked."""
        before, self.memory_kills = self.memory_kills, processes.out_of_memory_kills()
        return self.memory_kills > before

    # --- requests ---

    def start(self, orders: Sequence[Mapping[str, Json]]) -> dict[str, str]:
        """Starts those it does not know. What became of the others `look` tells."""
        refused = {}
        for data in orders:
            order = AttemptOrder.from_json(data)
            if not _NAME.fullmatch(order.name) or not _LOG.fullmatch(order.log):
                refused[order.name] = "The order's name or log is no plain name; the local executor keeps both as folders."
            elif order.name not in self.running and order.name not in self.ended and order.name not in self._forgotten:
                self._begin(order, data)
        return refused

    def _begin(self, order: AttemptOrder, data: Mapping[str, Json]) -> None:
        attempt = Attempt(order, Record(self.config.attempts / order.name), self)
        self.running[order.name] = attempt
        try:
            attempt.record.begin(data)
        except OSError as error:
            print(f"kfdash host: the order {order.name} could not be stored: {error}", file=sys.stderr)
        self._begun.put_nowait(attempt)
        if self._beginning is None or self._beginning.done():
            self._beginning = self._spawn(self._begin_each())

    async def _begin_each(self) -> None:
        """One at a time, so that a thousand orders at once do not keep those under way from being served."""
        while not self._begun.empty():
            self._spawn(self._follow(self._begun.get_nowait()))
            await asyncio.sleep(0)

    async def _follow(self, attempt: Attempt) -> None:
        self._finish(attempt.order, await attempt.run(), attempt.record)

    def _finish(self, order: AttemptOrder, result: Result, record: Record) -> None:
        """Keeps a result, then tells of it."""
        loop = asyncio.get_running_loop()
        self.keeper.keep(record, result, lambda error: loop.call_soon_threadsafe(self._kept, order, result, record, error))

    def _kept(self, order: AttemptOrder, result: Result, record: Record, error: Exception | None) -> None:
        if error:
            result = Result(
                order.name, "failed", {"finished": now()}, reason=f"Its result could not be stored: {error}", cause="disk"
            )
        self.ended[order.name] = result
        if attempt := self.running.pop(order.name, None):
            attempt.log.finish()  # lines that found no room until now
        self.hub.ended(order.log, order.run_id, fact_of(result, order.path, order.number))
        self.keeper.later(partial(record.tidy, keep_home=result.state != "succeeded"))

    def stop(self, attempts: Sequence[Mapping[str, Json]], grace: float) -> None:
        """Ends attempts; one it never had is remembered as stopped, so that a late order does not start it."""
        for key in attempts:
            name = key["name"]
            if attempt := self.running.get(name):
                attempt.stop(grace)
            elif _NAME.fullmatch(name) and name not in self.ended and name not in self._forgotten:
                result = Result(name, "stopped", {"finished": now()})
                self._finish(_order_of(key), result, Record(self.config.attempts / name))

    def look(self, attempts: Sequence[Mapping[str, Json]]) -> list[Json]:
        """What is known of these attempts, as facts."""
        found = []
        for key in attempts:
            fact: Fact
            if attempt := self.running.get(key["name"]):
                fact = attempt.fact()
            elif known := self.ended.get(key["name"]):
                fact = fact_of(known, key["path"], key["number"])
            else:
                reason = "The local executor does not know this attempt: its files are gone."
                fact = AttemptLost(key["path"], key["number"], to_time(now()), reason)
            found.append({"run": key["run_id"], **encode(fact)})
        return found

    def forget(self, attempts: Sequence[Mapping[str, Json]]) -> None:
        """Removes what is kept of attempts that have ended."""
        records = []
        for key in attempts:
            if self.ended.pop(key["name"], None):
                self._forgotten[key["name"]] = None
                records.append(Record(self.config.attempts / key["name"]).set_aside(self.config.forgotten))
        while len(self._forgotten) > _REMEMBERED:
            self._forgotten.popitem(last=False)
        for record in records:
            self.keeper.later(record.remove)

    # --- beginning and end ---

    def recover(self) -> None:
        """Ends what an earlier host left running, and keeps of each attempt how it came out."""
        make_shell_folder(self.config.folder)
        self.processes.end_left()
        for record in all_records(self.config.forgotten):
            self.keeper.later(record.remove)
        left = []
        for record in all_records(self.config.attempts):
            if result := record.result():
                self.ended[record.name] = result
            else:
                left.append(record)
        if left:
            processes.kill_marked(MARK, [record.name for record in left])
        for record in left:
            self._lost(record)

    def _lost(self, record: Record) -> None:
        order = record.order()
        if order is None:
            record.remove()
            return
        reason = "The host that ran it was ended."
        with contextlib.suppress(OSError):
            writer = LogWriter(self.config.logs / order.log)
            writer.append(now(), "k", f"{reason} The step is started again as a new attempt.")
            writer.close()
        result = Result(order.name, "lost", {"finished": now()}, reason=reason)
        with contextlib.suppress(OSError):
            record.finish(result)
            record.tidy(keep_home=True)
        self.ended[order.name] = result

    async def warm_up(self) -> None:
        """Has ready what the first step will likely need: it need not wait for an interpreter then."""
        with contextlib.suppress(CannotStart, BuildFailed):
            await self.pool.plain()
            if newest := self.environments.newest():
                await self.warm(newest)
            if not self.environments.ready(None):
                await self.environments.build(None).task

    async def tend(self) -> None:
        """Now and then: idle servers end, sizes are looked at."""
        while True:
            await asyncio.sleep(5)
            self.pool.tidy()
            self.memory_ran_out()
            for attempt in list(self.running.values()):
                await attempt.watch_size()

    async def count(self) -> None:
        """Every moment: a step that multiplies is ended before there is no room for others."""
        while True:
            await asyncio.sleep(_COUNT_EVERY)
            if not self.running:
                continue
            many = processes.many_in_sessions(self.config.most_processes)
            for attempt in list(self.running.values()) if many else ():
                if number := many.get(attempt.session):
                    attempt.too_many_processes(number)

    async def close(self) -> None:
        """Ends all steps, gracefully first, and everything else."""
        for attempt in list(self.running.values()):
            attempt.shut_down()
        until = asyncio.get_running_loop().time() + self.config.grace + 2
        while self.running and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)
        await self.environments.close()
        await self.pool.close()
        self.processes.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.keeper.close)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- the socket ---

    async def serve(self, path: pathlib.Path) -> asyncio.Server:
        """Listens, for this user alone."""
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._connected, path, limit=_MESSAGE)
        finally:
            os.umask(before)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = self._answer(json.loads(line), writer)
                writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, RecursionError, asyncio.CancelledError):
            pass
        finally:
            self.hub.remove(writer)
            writer.close()

    def _answer(self, request: Json, writer: asyncio.StreamWriter) -> dict[str, Json]:
        if not isinstance(request, dict):
            return {"id": None, "error": "A request to the host is an object."}
        answer: dict[str, Json] = {"id": request.get("id")}
        try:
            match request["do"]:
                case "start":
                    answer["answer"] = self.start(request["orders"])
                case "stop":
                    self.stop(request["attempts"], request["grace"])
                case "look":
                    answer["answer"] = self.look(request["attempts"])
                case "forget":
                    self.forget(request["attempts"])
                case "observe":
                    self.hub.add(writer)
                case "state":
                    answer["answer"] = {"running": len(self.running), "ended": len(self.ended), "places": self.config.places}
                case other:
                    answer["error"] = f"The host knows no request {other!r}."
        except Exception as error:  # noqa: BLE001 - a request that is wrong must not take the host with it
            traceback.print_exc()
            answer["error"] = f"The host could not do that: {type(error).__name__}: {error}"
        return answer


def _order_of(key: Mapping[str, Json]) -> AttemptOrder:
    """As much of an order as facts need, for an attempt that never had one."""
    return AttemptOrder(
        name=key["name"],
        run_id=key["run_id"],
        path=key["path"],
        number=key["number"],
        image="",
        command=(),
        args=(),
        env=(),
        executor_input={},
        output_parameters={},
        output_artifacts={},
        log=f"{key['run_id'] or 'unknown'}/{key['name']}",
    )
