"""Who may talk to the server: the checks of `Host` and `Origin`, and the content security policy.

On loopback nobody logs in, so a page of another site must not be able to start anything in the visitor's name. A request
whose `Host` is not ours is refused (a rebound name), and so is every write and every socket that a browser says comes from
another origin. Clients that are no browsers send neither `Origin` nor `Sec-Fetch-Site` and pass.

A leaf: knows neither app.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host

READING = frozenset(("GET", "HEAD", "OPTIONS"))
OWN_SITES = frozenset(("same-origin", "none"))  # `none`: the person typed the address or opened a bookmark

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "media-src 'self'",
        "manifest-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
    )
)


def foreign_host(host: str) -> str:
    """Why this `Host` header is refused, as a sentence; empty when it is one of ours (`KFDASH_ALLOWED_HOSTS`)."""
    domain, _ = split_domain_port(host)
    if domain and validate_host(domain, settings.ALLOWED_HOSTS):
        return ""
    return f"This server does not answer to the name {host!r}. If it should, add the name to KFDASH_ALLOWED_HOSTS."


def foreign_origin(host: str, origin: str | None, site: str | None) -> str:
    """Why a write or a socket is refused, as a sentence; empty when it comes from our pages or from no browser.

    `origin` and `site` are the headers `Origin` and `Sec-Fetch-Site`, None where absent.
    """
    if site is not None and site not in OWN_SITES:
        return "A page of another site may not change anything here."
    if origin is not None and _authority(origin) != _authority(f"//{host}"):
        return "A page of another origin may not change anything here."
    return ""


def _authority(address: str) -> tuple[str, str] | None:
    """Host and port of an address, for comparison; None where there is none (`Origin: null`)."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.hostname, "" if port in (None, 80, 443) else str(port)


class SameSiteMiddleware:
    """Refuses requests to a foreign `Host`, and writes from pages of another origin."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        host = request.META.get("HTTP_HOST", "")
        reason = foreign_host(host)
        if not reason and request.method not in READING:
            reason = foreign_origin(host, request.META.get("HTTP_ORIGIN"), request.META.get("HTTP_SEC_FETCH_SITE"))
        if reason:
            return HttpResponse(reason + "\n", status=403, content_type="text/plain; charset=utf-8")
        return self.get_response(request)


class ContentPolicyMiddleware:
    """Sends the content security policy with every response that has none of its own (sandboxed artifacts have one)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        return response


class SameSiteSockets:
    """The same check for WebSockets, as ASGI middleware: a foreign one is closed before any consumer sees it."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        host = _header(scope["headers"], b"host") or ""
        reason = foreign_host(host) or foreign_origin(
            host, _header(scope["headers"], b"origin"), _header(scope["headers"], b"sec-fetch-site")
        )
        if reason:
            await send({"type": "websocket.close", "code": 4403, "reason": reason})
            return
        await self.app(scope, receive, send)


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)
