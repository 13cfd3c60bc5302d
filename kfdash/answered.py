"""What was answered: requests are counted by the names of their addresses, and each is a line in a log of JSON.

Neither query strings, bodies nor headers are told: there may be secrets in them.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from kfdash import logcontext, metrics, rights

log = logging.getLogger("kfdash.requests")

_OWN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))


class AnsweredMiddleware:
    """Around all others. A request has an id (`X-Request-ID`, kept where a proxy gave one) that every line about it has, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        number = given if _OWN_ID.fullmatch(given) else uuid.uuid4().hex[:16]
        began = time.perf_counter()
        with logcontext.about(request=number):
            response = self.get_response(request)
            seconds = time.perf_counter() - began
            view, method = _view(request), request.method if request.method in _METHODS else "other"
            metrics.REQUESTS.labels(view, method, f"{response.status_code // 100}xx").inc()
            metrics.REQUEST_TIMES.labels(view).observe(seconds)
            if log.isEnabledFor(logging.INFO):
                _tell(request, response, view, seconds)
        response.headers.setdefault("X-Request-ID", number)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        """Django's hook: now it is known who asks."""
        if log.isEnabledFor(logging.INFO) and (user := rights.by(request)):
            logcontext.add(user=user)


def _view(request: HttpRequest) -> str:
    """The name of its address, of which there are few; `none` where there is no such page."""
    match = request.resolver_match
    if match is None:
        return "static" if request.path.startswith("/static/") else "none"
    return match.url_name or type(match.func).__name__


def _tell(request: HttpRequest, response: HttpResponse, view: str, seconds: float) -> None:
    told = {"method": request.method, "path": request.path, "view": view, "status": response.status_code}
    facts = {**told, "ms": round(seconds * 1000, 1)}
    log.info("%s %s %s", request.method, request.path, response.status_code, extra={"facts": facts})
