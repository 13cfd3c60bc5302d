"""The application: which call does what. Every refusal is a status and a sentence; our own mistakes are told to the log alone."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import functools
import json
import logging
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.conf import settings

from kfdash import logcontext, metrics, trouble
from runs.engine.model import AttemptFailed
from runs.execution.result import RESULT_LIMIT
from runs.intake import inputs, outputs, telling
from runs.intake.logbook import BLOCK_LIMIT, Logbook
from runs.intake.rights import Reach, claims_of, living, reaches, row_of
from runs.intake.threads import with_files, with_rows
from runs.intake.wire import Gone, Receive, Refused, Request, Send
from runs.launcher.tokens import Claims
from runs.store import NotReadable

log = logging.getLogger(__name__)

_SMALL = 64 * 1024  # bytes of a JSON body
_LIST = 32 * 1024 * 1024  # bytes of a list of files
_UNUSUAL = 1024 * 1024  # bytes: few bodies that are larger are in memory at a time

_CONNECTIONS = 16384
_LOG_CHECK, _MOST_LOGS = 2.0, 10_000  # seconds between two looks; attempts remembered
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # glibc's names for mallopt

Json = Any


class Intake:
    """The calls, and what this process remembers between them."""

    def __init__(self) -> None:
        self.logbook = Logbook()
        self.budget = outputs.Budget()
        self._large = asyncio.Semaphore(2)
        self._taken_until: dict[str, float] = {}  # attempt → until when its log is taken without another look
        self.calls: dict[tuple[str, str], Callable[[Request, Claims], Awaitable[None]]] = {
            ("GET", "/v1/order"): self.order,
            ("GET", "/v1/artifact"): self.fetch,
            ("PUT", "/v1/artifact"): self.store,
            ("POST", "/v1/uploads"): self.uploads,
            ("POST", "/v1/log"): self.log,
            ("POST", "/v1/progress"): self.progress,
            ("POST", "/v1/result"): self.result,
        }

    async def handle(self, request: Request) -> None:
        """One request. Raises Refused and Gone."""
        if (request.method, request.path) == ("GET", "/healthz"):
            await request.answer(200, {"ok": True})
            return
        claims = claims_of(request.headers.get("authorization", ""))
        call = self.calls.get((request.method, request.path))
        if call is None:
            raise Refused(404, f"There is no {request.method} {request.path} here.")
        with logcontext.about(run=claims.run_id, task=claims.path, attempt=claims.number):
            await call(request, claims)

    async def order(self, request: Request, claims: Claims) -> None:
        """GET /v1/order; with ?begun=1 from a launcher that was started again, with ?again=1 for one that was told already."""
        begun, again = (request.query.get(word) == "1" for word in ("begun", "again"))

        def look() -> Json:
            order = inputs.order_of(living(claims))
            if isinstance(order, AttemptFailed):
                telling.hand_over(claims, order)
                raise Refused(410, order.reason)
            return inputs.answer(order, reaches().of(claims), begun=begun, again=again)

        await request.answer(200, await with_rows(look))

    async def fetch(self, request: Request, claims: Claims) -> None:
        """GET /v1/artifact."""
        uri, name = _place(request)
        reach = await self._allowed(claims)
        pieces, size = await inputs.opened(uri, name, reach)
        await request.stream(pieces, size)

    async def store(self, request: Request, claims: Claims) -> None:
        """PUT /v1/artifact."""
        uri, name = _place(request)
        reach = await self._allowed(claims)
        outputs.check_place(uri, name, reach)
        room = self.budget.room(claims.attempt, uri, name)
        size = await outputs.store(uri, name, request.chunks(room, outputs.too_large()), request.length, reach)
        self.budget.add(claims.attempt, uri, name, size)
        await request.answer(204)

    async def uploads(self, request: Request, claims: Claims) -> None:
        """POST /v1/uploads."""
        data = await self._json(request, _LIST, "The list of files is too long.")
        reach = await self._allowed(claims)
        files = data.get("files") if isinstance(data, dict) else None
        if not isinstance(files, list):
            raise Refused(400, "The list of files is missing: {'files': [{'uri', 'name', 'size'}]}.")
        await request.answer(200, {"urls": await with_files(outputs.places, files, reach)})

    async def log(self, request: Request, claims: Claims) -> None:
        """POST /v1/log."""
        first = request.query.get("first", "")
        if not first.isdecimal() or len(first) > 12:
            raise Refused(400, "The log needs the number of its first line (?first=N).")
        await self._check_log(claims, first == "1")
        block = await request.body(BLOCK_LIMIT, f"A block of a log may have {BLOCK_LIMIT // 2**20} MiB.")
        ended = request.query.get("ended") == "1"
        key = f"{claims.run_id}/{claims.attempt}"
        try:
            following = await with_files(self.logbook.append, key, block, int(first), ended=ended)
        except OSError as error:
            status = 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 500
            raise Refused(status, f"The log cannot be stored: {error.strerror or error}.") from None
        await request.answer(200, {"next": following})

    async def _check_log(self, claims: Claims, begins: bool) -> None:
        """Whether the log is still taken, asked of the rows now and then only: a log that has begun makes many calls."""
        now = time.monotonic()
        if begins or self._taken_until.get(claims.attempt, 0.0) < now:
            self._taken_until.pop(claims.attempt, None)
            await with_rows(living, claims, for_log=True)
            if len(self._taken_until) > _MOST_LOGS:
                self._taken_until.clear()
            self._taken_until[claims.attempt] = now + _LOG_CHECK

    async def progress(self, request: Request, claims: Claims) -> None:
        """POST /v1/progress."""
        data = await self._json(request, _SMALL, "The progress is too long.")

        def tell() -> None:
            living(claims)
            telling.progressed(claims, data)

        await with_rows(tell)
        await request.answer(204)

    async def result(self, request: Request, claims: Claims) -> None:
        """POST /v1/result."""
        too_large = f"The result document is larger than {RESULT_LIMIT // 2**20} MiB."
        if (request.length if request.length is not None else RESULT_LIMIT) <= _UNUSUAL:
            await self._result(request, claims, await request.body(_UNUSUAL, too_large))
            return
        async with self._large:
            text: bytes | None
            try:
                text = await request.body(RESULT_LIMIT, too_large)
            except Refused as refusal:
                if refusal.status != 413:
                    raise
                text = None
            await self._result(request, claims, text)

    async def _result(self, request: Request, claims: Claims, text: bytes | None) -> None:
        def tell() -> None:
            row = row_of(claims)
            telling.ended(claims, reaches().of(claims), row, text)

        await with_rows(tell)
        self.budget.forget(claims.attempt)
        await request.answer(204)

    async def _allowed(self, claims: Claims) -> Reach:
        def look() -> Reach:
            living(claims)
            return reaches().of(claims)

        return await with_rows(look)

    @staticmethod
    async def _json(request: Request, limit: int, too_large: str) -> Json:
        try:
            return json.loads(await request.body(limit, too_large))
        except (ValueError, RecursionError):
            raise Refused(400, "The body is no JSON.") from None


def _place(request: Request) -> tuple[str, str]:
    uri = request.query.get("uri", "")
    if not uri:
        raise Refused(400, "Which artifact? (?uri=…&name=…)")
    return uri.rstrip("/"), request.query.get("name", "")


@functools.cache
def _intake() -> Intake:
    return Intake()


async def application(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        return
    request = Request(scope, receive, send)
    began = time.perf_counter()
    try:
        with contextlib.suppress(Gone):
            await _answered(request)
    finally:
        _count(request, time.perf_counter() - began)


def _count(request: Request, seconds: float) -> None:
    name = request.path.removeprefix("/v1/")
    if (request.method, request.path) not in _intake().calls:
        name = "other"
    elif name == "artifact":
        name = "fetch" if request.method == "GET" else "store"
    metrics.CALLS.labels(name, str(request.status or "gone")).inc()
    metrics.CALL_TIMES.labels(name).observe(seconds)
    if request.received:
        metrics.RECEIVED.labels(name).inc(request.received)


async def _answered(request: Request) -> None:
    try:
        await _intake().handle(request)
    except Refused as refusal:
        await _refuse(request, refusal)
    except NotReadable as error:
        await _refuse(request, Refused(502, str(error)))
    except (Gone, asyncio.CancelledError):
        raise
    except Exception as error:
        trouble.met(error)
        log.exception("A call of a pod failed: %s %s", request.method, request.path)
        await _refuse(request, Refused(500, "kfdash made a mistake with this request; its log says which."))


async def _refuse(request: Request, refusal: Refused) -> None:
    """The sentence; where an answer has begun already, its connection breaks off, which its reader notices by the length."""
    if request.answered:
        raise Gone
    await request.drain(stranger=refusal.status == 401)
    await request.answer(refusal.status, {"error": refusal.sentence, **refusal.more})


def prepare() -> None:
    """What is done once when the part starts."""
    outputs.clear_staging()
    _allow_connections()
    _give_memory_back()
    log.info("Pods are listened to at %s.", settings.LAUNCHER_BIND)


def _allow_connections() -> None:
    """As many open files as may be: 200 pods have a handful of connections each, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS if hard == resource.RLIM_INFINITY else min(_CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _give_memory_back() -> None:
    """Has glibc return the buffers of bodies: by itself it keeps them for each thread (363 instead of 160 MiB after 200 pods)."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_ARENA_MAX, 2)
            mallopt(_MMAP_THRESHOLD, 128 * 1024)
