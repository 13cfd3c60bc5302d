"""The sockets of live pages: a snapshot from the rows, then what the groups tell, merged to a few messages a second.

To a run's page go `snapshot` and `changed` (`{"type", "number", "previous", "now", "run", "tasks": [...]}`; in a snapshot
all tasks, in a change those that changed, each as `runs.messages.task_message` with the words of `runs.wording.said`), and,
when it asks with `{"type": "log.follow", "log": KEY, "from": N}`, `log.lines` (`{"log", "lines", "count", "ended"}`, lines as
`[number, µs, stream, level, text]`, consecutive up to `count`; a burst leaves out all but its last lines, which the page
fetches when they are looked at). A message's `number` is that of the run's last event; `previous` that of the one before it:
a page that has another number asks again with `{"type": "sync"}`. A message may be lost on its way, the last one too: where a
run goes on and nothing comes, the socket looks for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db import Error as DatabaseError
from django.utils import timezone

from kfdash import live, metrics
from runs import logs, logstore, models
from runs.engine import model as engine
from runs.executors.base import LogLine
from runs.messages import snapshot
from runs.tree import read_steps
from runs.wording import said

log = logging.getLogger(__name__)

_NOT_JSON = 1007
_ATTEMPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}")
_BETWEEN = 0.25  # seconds: at most four messages a second about tasks
_BETWEEN_LINES = 0.1
_LOOK_AFTER = 2.0  # seconds without news, after which rows are asked whether there are any
_MOST_LINES = 500  # in one message
_READ_AT_ONCE = 1000
_MOST_MISSING = 5000  # lines that are read for a page that comes late; of more it gets the last
_RUN_COLUMNS = ("id", "state", "reason", "stop", "paused", "started_at", "finished_at", "event_number")


class JsonConsumer(AsyncJsonWebsocketConsumer):
    """A socket that speaks JSON: what is none closes it, with the code for data that are not what they should be."""

    page = ""  # whose socket it is, in what is counted
    _counted = False

    async def accept(self, *args: Any, **options: Any) -> None:
        await super().accept(*args, **options)
        self._counted = True
        metrics.SOCKETS.labels(self.page).inc()

    async def websocket_disconnect(self, message: Any) -> None:
        if self._counted:
            metrics.SOCKETS.labels(self.page).dec()
        await super().websocket_disconnect(message)

    async def send_json(self, content: Any, close: bool = False) -> None:
        metrics.MESSAGES.labels(self.page).inc()
        await super().send_json(content, close)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        try:
            content = json.loads(text_data or "")
        except (ValueError, RecursionError):
            await self.close(code=_NOT_JSON)
        else:
            await self.receive_json(content)


class RunConsumer(JsonConsumer):
    """One page of one run."""

    page = "run"

    async def connect(self) -> None:
        self.run_id = str(self.scope["url_route"]["kwargs"]["run_id"])
        self.pending: dict[str, Any] = {}
        self.tasks_waiting: dict[str, dict[str, Any]] = {}
        self.flushing: asyncio.Task[None] | None = None
        self.followed: _Followed | None = None
        self.number, self.over, self.quiet = 0, False, False
        await self.channel_layer.group_add(live.run_group(self.run_id), self.channel_name)
        await self.accept()
        await self._snapshot()
        _looks().open.add(self)

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(live.run_group(self.run_id), self.channel_name)
        await self._unfollow()
        _looks().open.discard(self)
        if self.flushing is not None:
            self.flushing.cancel()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "sync":
            await self._snapshot()
        elif kind == "log.follow":
            await self._follow(str(content.get("log", "")), content.get("from", 1))
        elif kind == "log.leave":
            await self._unfollow()
        elif kind == "ping":
            await self.send_json({"type": "pong"})

    async def _snapshot(self) -> None:
        found = await _read_snapshot(self.run_id)
        if found is None:
            await self.send_json({"type": "gone"})
            await self.close()
            return
        self.pending, self.tasks_waiting = {}, {}
        self._known(found)
        await self.send_json({"type": "snapshot", "now": timezone.now().isoformat(), **found})

    def waits(self) -> bool:
        """Whether nothing came since the last look, and something may still come."""
        log_goes_on = self.followed is not None and not self.followed.over
        return self.quiet and (not self.over or log_goes_on)

    def _known(self, message: dict[str, Any]) -> None:
        self.number, self.over = message["number"], engine.State(message["run"]["state"]).is_final

    async def look(self, number: int) -> None:
        """Nothing came for a while: sends what was lost, of the run, whose last event has this number, or of a log."""
        if number > self.number:
            await self._snapshot()
        if (followed := self.followed) is not None and not followed.over:
            followed.take({"lines": await _read(followed.key, followed.last + 1), "ended": await _log_is_over(followed.key)})

    # --- changes of tasks ---

    async def run_changed(self, message: dict[str, Any]) -> None:
        """From the group: what the driver published. The first goes out at once, a burst is gathered."""
        self.quiet = False
        for task in message["tasks"]:
            self.tasks_waiting[task["path"]] = task
        previous = self.pending.get("previous", message.get("previous", message["number"]))
        self.pending = {"number": message["number"], "previous": previous, "run": message["run"]}
        if self.flushing is None or self.flushing.done():
            self.flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self.pending:
            message, tasks = self.pending, self.tasks_waiting
            self._known(message)
            self.pending, self.tasks_waiting = {}, {}
            worded = [{**task, **said(task)} for task in tasks.values()]
            await self.send_json({"type": "changed", "now": timezone.now().isoformat(), **message, "tasks": worded})
            await asyncio.sleep(_BETWEEN)

    # --- a log ---

    async def _follow(self, key: str, first: Any) -> None:
        await self._unfollow()
        run_id, _, name = key.partition("/")
        if run_id != self.run_id or not _ATTEMPT.fullmatch(name) or not isinstance(first, int) or isinstance(first, bool):
            await self.send_json({"type": "log.refused", "log": key})
            return
        self.followed = followed = _Followed(key, max(1, first) - 1)
        await self.channel_layer.group_add(live.log_group(key), self.channel_name)
        followed.sending = asyncio.create_task(self._send_lines(followed))

    async def _unfollow(self) -> None:
        followed, self.followed = self.followed, None
        if followed is None:
            return
        if followed.sending is not None:
            followed.sending.cancel()
        await self.channel_layer.group_discard(live.log_group(followed.key), self.channel_name)

    async def log_lines(self, message: dict[str, Any]) -> None:
        """From the group: lines that were printed. They wait while earlier ones are read from the store."""
        followed = self.followed
        if followed is not None and message["log"] == followed.key:
            self.quiet = False
            followed.take({**message, "lines": [_levelled(LogLine(*line)) for line in message["lines"][-_MOST_LINES:]]})

    async def _send_lines(self, followed: _Followed) -> None:
        """First what the store has after the page's last line, then what comes; a line goes out once, by its number."""
        await self._catch_up(followed)
        while True:
            await followed.wake.wait()
            followed.wake.clear()
            while followed.waiting or followed.ended:
                lines, followed.waiting = followed.waiting, []
                fresh = sorted({line[0]: line for line in lines if line[0] > followed.last}.values())
                if fresh and fresh[-1][0] - followed.last > len(fresh):  # some are missing, before these or between them
                    await self._catch_up(followed)
                    fresh = [line for line in fresh if line[0] > followed.last]
                if fresh or followed.ended:
                    await self._send_block(followed, fresh, ended=followed.ended)
                followed.ended = False
                await asyncio.sleep(_BETWEEN_LINES)

    async def _catch_up(self, followed: _Followed) -> None:
        """What the store has beyond the last line sent; of very much only the end."""
        count = await _count(followed.key)
        if count - followed.last > _MOST_MISSING:
            followed.last = count - _MOST_LINES
        while True:
            lines = await _read(followed.key, followed.last + 1)
            await self._send_block(followed, lines)
            if len(lines) < _READ_AT_ONCE:
                return

    async def _send_block(self, followed: _Followed, lines: list[list[Any]], *, ended: bool = False) -> None:
        if lines:
            followed.last = lines[-1][0]
        elif not ended:
            return
        content = {"type": "log.lines", "log": followed.key, "lines": lines[-_MOST_LINES:], "count": followed.last, "ended": ended}
        await self.send_json(content)


class _Followed:
    """A log that a page follows: the last line that was sent, and what waits."""

    def __init__(self, key: str, last: int) -> None:
        self.key = key
        self.last = last
        self.waiting: list[list[Any]] = []
        self.ended = self.over = False  # whether the end is still to be told, and whether it came
        self.wake = asyncio.Event()
        self.sending: asyncio.Task[None] | None = None

    def take(self, message: dict[str, Any]) -> None:
        """Keeps lines to be sent; of a flood only the last, the others are in the store."""
        self.waiting += message["lines"]
        if len(self.waiting) > 2 * _MOST_LINES:
            del self.waiting[:-_MOST_LINES]
        self.ended = self.ended or bool(message.get("ended"))
        self.over = self.over or self.ended
        self.wake.set()


class _Looks:
    """The pages of runs of this process: one statement asks for all to which nothing came, however many they are."""

    def __init__(self) -> None:
        self.open: WeakSet[RunConsumer] = WeakSet()
        self._task = asyncio.create_task(self._look_for_ever())

    async def _look_for_ever(self) -> None:
        told = False
        while True:
            await asyncio.sleep(_LOOK_AFTER)
            quiet = [page for page in self.open if page.waits()]
            for page in self.open:
                page.quiet = True
            try:
                numbers = await _read_numbers({page.run_id for page in quiet}) if quiet else {}
                told = False
            except DatabaseError as error:
                if not told:
                    log.warning("It cannot be seen whether pages missed something (%s); it is looked at again.", error)
                told = True
                continue
            for page in quiet:
                try:
                    await page.look(numbers.get(page.run_id, 0))
                except Exception as error:  # whatever became of that page: the others are still looked at
                    log.debug("A page could not be told what it missed: %s", error)


_looks_of: WeakKeyDictionary[asyncio.AbstractEventLoop, _Looks] = WeakKeyDictionary()


def _looks() -> _Looks:
    """Those of the loop at hand."""
    loop = asyncio.get_running_loop()
    if loop not in _looks_of:
        _looks_of[loop] = _Looks()
    return _looks_of[loop]


class RunsConsumer(JsonConsumer):
    """A list of runs: `{"type": "runs.changed", "runs": [ids]}`, gathered to at most four messages a second."""

    page = "runs"

    async def connect(self) -> None:
        self.changed: dict[str, None] = {}
        self.flushing: asyncio.Task[None] | None = None
        await self.channel_layer.group_add(live.RUNS, self.channel_name)
        await self.accept()
        await self.send_json({"type": "hello"})

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(live.RUNS, self.channel_name)
        if self.flushing is not None:
            self.flushing.cancel()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if isinstance(content, dict) and content.get("type") == "ping":
            await self.send_json({"type": "pong"})

    async def runs_changed(self, message: dict[str, Any]) -> None:
        """From the group."""
        self.changed |= dict.fromkeys(message["runs"])
        if self.flushing is None or self.flushing.done():
            self.flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self.changed:
            runs, self.changed = list(self.changed), {}
            await self.send_json({"type": "runs.changed", "runs": runs})
            await asyncio.sleep(_BETWEEN)


def _levelled(line: LogLine) -> list[Any]:
    level = "sys" if line.stream == "k" else logstore.level_of(line)
    return [line.number, line.at, line.stream, level, line.text]


@database_sync_to_async
def _read_snapshot(run_id: str) -> dict[str, Any] | None:
    """The run and all its tasks. The run is read first: what changes in between comes again, and does no harm."""
    run = models.Run.objects.filter(pk=run_id).only(*_RUN_COLUMNS).first()
    if run is None:
        return None
    return snapshot(run, read_steps(run))


@database_sync_to_async
def _read_numbers(run_ids: Iterable[str]) -> dict[str, int]:
    """The numbers of the runs' last events; those that are gone are left out."""
    rows = models.Run.objects.filter(pk__in=run_ids).values_list("pk", "event_number")
    return {str(key): number for key, number in rows}


@database_sync_to_async
def _log_is_over(key: str) -> bool:
    """Whether the attempt whose log this is has ended."""
    run_id, _, name = key.partition("/")
    return models.Attempt.objects.filter(run_id=run_id, name=name, phase=engine.Phase.ENDED).exists()


@database_sync_to_async
def _count(key: str) -> int:
    with contextlib.suppress(OSError):
        return logs.count(key)
    return 0


@database_sync_to_async
def _read(key: str, first: int) -> list[list[Any]]:
    lines: Iterable[LogLine] = ()
    with contextlib.suppress(OSError):
        lines = logs.read(key, first=first, limit=_READ_AT_ONCE)
    return [_levelled(line) for line in lines]
