"""The page that stands in for any other while the database or Redis is away, or the disk is full: what System would say.

Where people log in, it is not known then who asks: strangers are told what does not work, and no name, address or path.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

from kfdash import outage, rights, trouble
from kfdash.rights import Right
from kfdash.system import looks, stand
from kfdash.wire.errors import Code, WireError

_AGAIN = {"Retry-After": "5"}
_HEALTH = frozenset(("/apis/v2beta1/healthz", "/apis/v1beta1/healthz"))
_FOR_OPERATORS = frozenset(("/system/", "/metrics"))


class OutageMiddleware:
    """Answers where a view met such an error, and at once where the database is known to answer nobody."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _needs_no_database(request.path) and looks.database.hangs():
            return _refusal(request, outage.sentence(OperationalError()))  # else this thread would hang, too
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Django's hook; None leaves the error to others."""
        return _answer(request, exception)


def broken(request: HttpRequest) -> HttpResponse:
    """Django's handler of errors that nobody caught: of those that came before any view, too."""
    error = sys.exc_info()[1]
    return (_answer(request, error) if isinstance(error, Exception) else None) or server_error(request)


def met(error: Exception) -> None:
    """A view met this: it is counted and told of, and what System knew of it is asked for anew."""
    trouble.met(error)
    outage.let_go()
    (looks.database if outage.of_database(error) else looks.redis_server).outdate()


def _answer(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """503 with what is known of it; None for a mistake of our own."""
    if not (sentence := outage.sentence(error)):
        trouble.met(error, "mistake")
        return None
    met(error)
    return _refusal(request, sentence)


def _refusal(request: HttpRequest, sentence: str) -> HttpResponse:
    """The page loads itself again after some seconds, where it was only asked for."""
    if rights.is_api(request.path):
        body = WireError(Code.UNAVAILABLE, f"Service unavailable: {sentence}").body()
        return HttpResponse(json.dumps(body), status=503, headers=_AGAIN, content_type="application/json")
    operates = rights.visitor_of(request).may(Right.ADMINISTER)
    findings = stand.stand().findings
    more = [found.sentence for found in findings] if operates else stand.general(findings)
    again = request.get_full_path() if request.method in rights.READING else ""
    if not any(line.startswith(sentence.partition(".")[0]) for line in more):
        more.insert(0, sentence)
    context = {"lines": more, "operates": operates, "again": again}
    return HttpResponse(render_to_string("503.html", context), status=503, headers=_AGAIN)


def _needs_no_database(path: str) -> bool:
    """Health checks, and where nobody logs in what operators look at meanwhile."""
    return path in _HEALTH or (not settings.AUTH and path in _FOR_OPERATORS)
