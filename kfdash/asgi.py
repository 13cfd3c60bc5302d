"""The ASGI application: pages and APIs by Django in threads, sockets by Channels.

Django's views and middleware are synchronous. Its own ASGI handler gives each request a new thread, and so a new connection
to the database, and hops between thread and loop at every middleware (2.0 ms of CPU for a health check, 4.2 for a list of
the API). As WSGI in a pool of threads that keep their connections it takes 0.5 and 1.4 ms.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from a2wsgi import WSGIMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kfdash.settings")
threaded: Callable[..., Awaitable[None]] = WSGIMiddleware(get_wsgi_application(), workers=8)  # sets Django up

from access.sockets import RightsSockets  # noqa: E402
from kfdash.access import SameSiteSockets  # noqa: E402  # consumers import models: after Django is set up
from runs import routing  # noqa: E402


async def pages(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Answers a request. Django reads as many bytes as are announced: a body that comes in chunks is gathered first.

    Headers with underscores in their names go no further: for Django `X_User` would be `X-User`, which a proxy vouches for.
    """
    if any(b"_" in name for name, _ in scope["headers"]):
        scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if b"_" not in name]}
    if any(name == b"transfer-encoding" for name, _ in scope["headers"]):
        body = await _gather(receive)
        if body is None:
            await _refuse(send)
            return
        kept = [(name, value) for name, value in scope["headers"] if name not in (b"transfer-encoding", b"content-length")]
        scope = {**scope, "headers": [*kept, (b"content-length", str(len(body)).encode())]}
        receive = _once(body, receive)
    await threaded(scope, receive, send)


async def _gather(receive: Callable[..., Any]) -> bytes | None:
    """The whole body; None where it is larger than any that is taken, or its sender is gone."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _once(body: bytes, receive: Callable[..., Any]) -> Callable[..., Any]:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return messages.pop() if messages else await receive()

    return again


async def _refuse(send: Callable[..., Any]) -> None:
    text = f"The body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes.\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": text})


sockets = SameSiteSockets(RightsSockets(URLRouter(routing.websocket_urlpatterns)))
application = ProtocolTypeRouter({"http": pages, "websocket": sockets})
