"""Logging in by OpenID Connect: to the provider and back."""

from __future__ import annotations

import logging

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from access import oidc
from access.services import NotPossible, record, right_of
from access.views.entering import enter, own_path
from kfdash.rights import public

log = logging.getLogger(__name__)

_NEXT = "kfdash.next"  # in the session: where one wanted to go
_NO_RIGHT = "The provider knows you, but you have no right here yet. An administrator can give it on the page Access."


@public
@never_cache
@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    """Sends the browser to the provider.

    By `Refresh`, not by a redirect: our content policy lets forms lead to this site alone, and browsers hold redirects to it.
    """
    _refuse_others()
    request.session[_NEXT] = own_path(request.POST.get("next", ""))
    back = f"{settings.PUBLIC_URL or f'{request.scheme}://{request.get_host()}'}{reverse('oidc-back')}"
    try:
        address = oidc.provider().authorize_redirect(request, back)["Location"]
    except Exception as error:  # whatever the connection or the protocol raises
        log.warning("The provider %s cannot be asked (%s: %s).", settings.OIDC_ISSUER, type(error).__name__, error)
        return _problem(request, "The provider does not answer. Try again in a moment.", 502)
    page = format_html('<!doctype html><title>Log in</title><a href="{}">To {}</a>', address, settings.OIDC_TITLE)
    return HttpResponse(page, headers={"Refresh": f"0; url={address}"})


@public
@never_cache
@require_GET
def back(request: HttpRequest) -> HttpResponse:
    """What the provider sends the browser back with: checked, it begins a session."""
    _refuse_others()
    try:
        claims = oidc.provider().authorize_access_token(request).get("userinfo") or {}
        user = oidc.account_of(claims)
    except NotPossible as error:
        return _problem(request, str(error), 403)
    except Exception as error:  # Authlib's and the connection's
        log.warning("An answer of the provider is not taken (%s: %s).", type(error).__name__, error)
        record(by="OpenID Connect", verb="failed to log in", what="person", name="", detail=type(error).__name__)
        return _problem(request, "The provider's answer was not taken. Log in once more.", 403)
    if right_of(user) is None:
        return _problem(request, _NO_RIGHT, 403)
    return enter(request, user, own_path(request.session.pop(_NEXT, "")), how="by OpenID Connect")


def _refuse_others() -> None:
    if settings.AUTH != "oidc":
        raise Http404("Nobody logs in by OpenID Connect here.")


def _problem(request: HttpRequest, sentence: str, status: int) -> HttpResponse:
    context = {"mode": "oidc", "provider": settings.OIDC_TITLE, "next": "", "name": "", "problem": sentence}
    return render(request, "access/login.html", context, status=status)
