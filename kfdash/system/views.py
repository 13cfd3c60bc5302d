"""The page `/system/`, which people look at when nothing else works: it renders without database and Redis, too."""

from __future__ import annotations

from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from kfdash import __version__, outage, pulse
from kfdash.rights import Right, needs
from kfdash.system import numbers
from kfdash.system.stand import stand
from kfdash.system.unavailable import met

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@require_GET
@needs(Right.VIEW)
def system(request: HttpRequest) -> HttpResponse:
    """Health: every part in words, what is wrong and what to do, queues and figures. For htmx, without its frame."""
    try:
        response = _rendered(request)
    except DatabaseError as error:
        if not outage.of_database(error):
            raise
        met(error)  # it went away since it was last asked
        response = _rendered(request)
    response.headers["Cache-Control"] = "no-store"
    return response


def _rendered(request: HttpRequest) -> HttpResponse:
    found = stand()
    context = {"stand": found, "embedded": settings.EMBEDDED, "version": __version__, "now": pulse.now()}
    context["active_runs"] = sum(found.database.runs.values()) if found.database else 0  # other pages count them in the database
    return render(request, "system/_stand.html" if request.headers.get("HX-Request") else "system/health.html", context)


@require_GET
@needs(Right.VIEW)
def metrics(request: HttpRequest) -> HttpResponse:
    """What Prometheus reads: of this web process, or of all parts of `kfdash up`; and what all share."""
    return HttpResponse(numbers.text(shared=True, everybody=settings.EMBEDDED), content_type=PROMETHEUS)
