"""What is said when the database or Redis is away, or the disk is full: nothing is broken, and it will be better soon."""

from __future__ import annotations

from collections.abc import Callable

import redis
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string


def sentence(error: Exception) -> str:
    """What is wrong and what to do; empty for an error of another kind."""
    if isinstance(error, redis.RedisError):
        return "Redis does not answer. Try again in a moment."
    if not isinstance(error, OperationalError):
        return ""
    if "disk is full" in str(error) or "No space left" in str(error):
        return "The server's disk is full. Make room there, and try again."
    return "The database does not answer. Try again in a moment."


class OutageMiddleware:
    """Answers with that sentence where a view met such an error."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Django's hook; None leaves the error to others."""
        if not (text := sentence(exception)):
            return None
        return HttpResponse(render_to_string("503.html", {"sentence": text}), status=503, headers={"Retry-After": "5"})
