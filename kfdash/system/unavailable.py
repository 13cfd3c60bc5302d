"""The page that stands in for any other while the database or Redis is away, or the disk is full: what System would say.

Where people log in, it is not known then who asks: strangers are told what does not work, and no name, address or path.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error

from kfdash import outage, rights, trouble
from kfdash.rights import Right
from kfdash.system import looks, stand
from kfdash.wire.errors import Code, WireError

_AGAIN = {"Retry-After": "5"}


class OutageMiddleware:
    """Answers where a view met such an error."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
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
    if rights.is_api(request.path):
        body = WireError(Code.UNAVAILABLE, f"Service unavailable: {sentence}").body()
        return HttpResponse(json.dumps(body), status=503, headers=_AGAIN, content_type="application/json")
    context = {"sentence": sentence, "more": _more(request, sentence)}
    return HttpResponse(render_to_string("503.html", context), status=503, headers=_AGAIN)


def _more(request: HttpRequest, sentence: str) -> list[str]:
    findings = stand.stand().findings
    if rights.visitor_of(request).may(Right.ADMINISTER):
        return [found.sentence for found in findings]
    return [line for line in stand.general(findings) if line not in sentence]
