"""What administrators have not set up yet: one line on the home page, until it is done or they leave it so."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from kfdash import backup
from kfdash.rights import Right, needs, visitor_of
from runs.models import RetentionRule

_LEFT_SO = "kfdash_left_so"  # the cookie of a browser whose user wants to hear no more of it
_A_YEAR = 365 * 24 * 3600
_OLD_BACKUP = timedelta(days=31)


def undone(request: HttpRequest) -> str:
    """The line; empty for those who can do nothing about it, where nobody logs in, and where nothing is left to do."""
    if not settings.AUTH or not visitor_of(request).may(Right.ADMINISTER) or _LEFT_SO in request.COOKIES:
        return ""
    found = []
    last = backup.last(settings.LOGS_DIR)
    if last is None or timezone.now() - last > _OLD_BACKUP:
        found.append("no backup is known of" if last is None else "the last backup is more than a month old")
    if not RetentionRule.objects.filter(enabled=True).exists():
        found.append("no rule says when runs are removed")
    return f"Not set up yet: {' and '.join(found)}." if found else ""


@require_POST
@needs(Right.ADMINISTER)
def leave_it_so(request: HttpRequest) -> HttpResponse:
    """This browser is not told of it any more."""
    response = HttpResponseRedirect(reverse("home"))
    response.set_cookie(_LEFT_SO, "1", max_age=_A_YEAR, httponly=True, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE)
    return response
