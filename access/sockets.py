"""Sockets for those who may view, and their end when that is over: a log-out, a revoked token, an account switched off.

One look every few seconds asks for all open sockets of a process at once, however many they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http.cookies import CookieError
from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, parse_cookie

from access.identity import Identity, identify, still_good
from kfdash.rights import Right

log = logging.getLogger(__name__)

LOOK_EVERY = 3.0  # seconds
NOT_LET_IN, OVER = 4401, 4401  # how sockets are closed

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class RightsSockets:
    """ASGI middleware around the consumers."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app
        self.open: dict[_Watched, Identity] = {}
        self.looking: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if not settings.AUTH:
            await self.app(scope, receive, send)
            return
        identity = await _identify(scope)
        if not identity.visitor.may(Right.VIEW):
            await send({"type": "websocket.close", "code": NOT_LET_IN, "reason": "Log in first."})
            return
        watched = _Watched(receive, send)
        self.open[watched] = identity
        if self.looking is None or self.looking.done():
            self.looking = asyncio.create_task(self._look())
        try:
            await self.app({**scope, "visitor": identity.visitor}, watched.receive, watched.send)
        finally:
            del self.open[watched]
            watched.leave()

    async def _look(self) -> None:
        while self.open:
            await asyncio.sleep(LOOK_EVERY)
            try:
                good = await _still_good(list(self.open.values()))
            except DatabaseError as error:  # nobody can be told apart; the next look does it
                log.warning("It cannot be seen who may still watch: %s", error)
                continue
            for watched, identity in list(self.open.items()):
                if (identity.kind, identity.key) not in good:
                    await watched.end()


class _Watched:
    """A socket that can be ended from outside: its consumer then sees it disconnect."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._over = asyncio.Event()
        self._asking: asyncio.Task[dict[str, Any]] | None = None

    async def receive(self) -> dict[str, Any]:
        """The next message; a disconnect when the socket was ended here."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._receive())  # type: ignore[arg-type]
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait((self._asking, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        if self._over.is_set():
            return {"type": "websocket.disconnect", "code": OVER}
        asked, self._asking = self._asking, None
        return asked.result()

    async def send(self, message: dict[str, Any]) -> None:
        """Passes on what the consumer sends, while the socket is open."""
        if not self._over.is_set():
            await self._send(message)

    async def end(self) -> None:
        """Closes it."""
        if not self._over.is_set():
            self._over.set()
            try:
                await self._send({"type": "websocket.close", "code": OVER, "reason": "Log in again."})
            except Exception as error:  # whatever the server raises for one that is gone; the others are still looked at
                log.debug("A socket was gone before it was ended: %s", error)

    def leave(self) -> None:
        """What is still asked for is not waited for any more."""
        if self._asking is not None:
            self._asking.cancel()


@database_sync_to_async
def _identify(scope: dict[str, Any]) -> Identity:
    return identify(_as_request(scope))


@database_sync_to_async
def _still_good(identities: list[Identity]) -> set[tuple[str, Any]]:
    return still_good(identities)


def _as_request(scope: dict[str, Any]) -> HttpRequest:
    """What tells who asks, as Django has it. Names with underscores are left out: they could pass for others."""
    request = HttpRequest()
    request.META["REMOTE_ADDR"] = (scope.get("client") or ("", 0))[0]
    for name, value in scope["headers"]:
        if b"_" not in name:
            key = f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"
            text = value.decode("latin-1")
            request.META[key] = f"{request.META[key]},{text}" if key in request.META else text
    try:
        request.COOKIES = parse_cookie(request.META.get("HTTP_COOKIE", ""))
    except CookieError:
        request.COOKIES = {}
    store = import_module(settings.SESSION_ENGINE).SessionStore
    request.session = store(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    return request
