"""What a person may do, what a view needs, and that nothing is answered to those who may not.

Three rights, each with all before it. A view says what it needs with `needs(Right.X)` or `public`; one that says nothing needs
VIEW to be read and RUN for the rest. `RightsMiddleware` holds everything to it: a new page is closed until somebody opens it.
Where KFDASH_AUTH is not set, which is on loopback alone, everybody has every right.

A leaf: knows neither app, nor how visitors are told apart (`access.identity` does that before it).
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve, reverse

View = TypeVar("View", bound=Callable[..., Any])

READING = frozenset(("GET", "HEAD", "OPTIONS"))
PUBLIC = 0  # what a view needs that strangers may see
_ADMIN = "admin"  # Django's own pages
_API = "/apis/"
_UNAUTHENTICATED, _PERMISSION_DENIED = 16, 7  # gRPC's codes
_STATUS_TYPE = "type.googleapis.com/google.rpc.Status"


_acting: ContextVar[str] = ContextVar("acting", default="")


class Right(IntEnum):
    """What somebody may do. Each right has those before it."""

    VIEW = 1
    RUN = 2
    ADMINISTER = 3


@dataclass(frozen=True)
class Visitor:
    """Who asks: a name for the records and a right, None for a stranger. `refusal` says why credentials were not taken."""

    name: str = ""
    right: Right | None = None
    refusal: str = ""
    by_token: bool = False  # a program's: it may not change what belongs to the person

    def may(self, needed: int) -> bool:
        """Whether the right reaches that far."""
        return needed == PUBLIC or (self.right is not None and self.right >= needed)


EVERYBODY = Visitor(right=Right.ADMINISTER)  # on loopback, where nobody logs in


def needs(right: Right, *, to_read: Right | None = None) -> Callable[[View], View]:
    """Decorates a view, or a class of views: whoever asks needs this right, whatever the method; `to_read` for reading."""

    def mark(view: View) -> View:
        view.needed = int(right)  # type: ignore[attr-defined]
        if to_read is not None:
            view.needed_to_read = int(to_read)  # type: ignore[attr-defined]
        return view

    return mark


def public(view: View) -> View:
    """Decorates a view, or a class of views, that strangers may see."""
    view.needed = PUBLIC  # type: ignore[attr-defined]
    return view


def needed_for(view: Callable[..., Any], method: str | None) -> int:
    """The right that a resolved view needs for a method; PUBLIC where it needs none."""
    of_class = getattr(view, "view_class", None) or getattr(view, "cls", None)
    found = getattr(view, "needed", getattr(of_class, "needed", None))
    if method in READING:
        found = getattr(view, "needed_to_read", getattr(of_class, "needed_to_read", found))
    if found is not None:
        return int(found)
    return Right.VIEW if method in READING else Right.RUN


def visitor_of(request: Any) -> Visitor:
    """Who asks, as `access.identity` found out; takes Django's requests and the API's."""
    plain = getattr(request, "_request", request)
    if not settings.AUTH:
        return EVERYBODY
    return getattr(plain, "visitor", None) or Visitor()


def by(request: Any) -> str:
    """The name of who asks, as it is recorded; empty where nobody logged in."""
    if settings.AUTH:
        return visitor_of(request).name
    user = getattr(getattr(request, "_request", request), "user", None)
    return user.get_username() if user is not None and user.is_authenticated else ""


def acting() -> str:
    """The name of whose request is carried out at this moment; empty outside of requests, and where nobody logs in."""
    return _acting.get()


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Context of every template: `visitor`, `asks_who` (whether people log in), `can_run`, `can_administer`."""
    visitor = visitor_of(request)
    return {
        "visitor": visitor,
        "asks_who": bool(settings.AUTH),
        "can_run": visitor.may(Right.RUN),
        "can_administer": visitor.may(Right.ADMINISTER),
    }


class RightsMiddleware:
    """Lets through who has the right that the view needs. Strangers are told nothing, not even which addresses there are."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.AUTH and visitor_of(request).right is None and not _is_public(request):
            return refuse_stranger(request)
        mark = _acting.set(visitor_of(request).name)
        try:
            return self.get_response(request)
        finally:
            _acting.reset(mark)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any) -> HttpResponse | None:
        """Django's hook, with the view that is asked for."""
        if not settings.AUTH:
            return None
        match = request.resolver_match
        needed = Right.ADMINISTER if match is not None and _ADMIN in match.app_names else needed_for(view, request.method)
        return None if visitor_of(request).may(needed) else refuse_right(request, Right(needed))


def _is_public(request: HttpRequest) -> bool:
    try:
        match = resolve(request.path_info)
    except Resolver404:
        return False
    return _ADMIN not in match.app_names and needed_for(match.func, request.method) == PUBLIC


def refuse_stranger(request: HttpRequest) -> HttpResponse:
    """To a program 401 as KFP says it; to a person the page to log in, which leads back."""
    reason = visitor_of(request).refusal
    if is_api(request.path):
        sentence = reason or "Log in first: send a token (Authorization: Bearer …), made on the page Account."
        return _status(401, _UNAUTHENTICATED, sentence)
    if reason and "HTTP_AUTHORIZATION" in request.META:
        return HttpResponse(f"{reason}\n", status=401, content_type="text/plain; charset=utf-8")
    back = _own_path(request.META.get("HTTP_HX_CURRENT_URL", "")) if "HTTP_HX_REQUEST" in request.META else ""
    if not back:
        back = request.get_full_path() if request.method in READING else _own_path(request.META.get("HTTP_REFERER", ""))
    address = f"{reverse('login')}?{urlencode({'next': back or '/'})}"
    if "HTTP_HX_REQUEST" in request.META:
        return HttpResponse(status=401, headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)


def refuse_right(request: HttpRequest, needed: Right) -> HttpResponse:
    """403, with what is missing in a sentence."""
    visitor = visitor_of(request)
    if visitor.right is None:
        return refuse_stranger(request)
    sentence = (
        f"This needs the right to {needed.name.lower()}, and {visitor.name or 'you'} may {visitor.right.name.lower()} only. "
        "An administrator can give it on the page Access."
    )
    if is_api(request.path):
        return _status(403, _PERMISSION_DENIED, sentence)
    if "HTTP_HX_REQUEST" in request.META:
        return HttpResponse(f"{sentence}\n", status=403, content_type="text/plain; charset=utf-8")
    return render(request, "403.html", {"sentence": sentence}, status=403)


def is_api(path: str) -> bool:
    """Whether programs ask there, and are answered in JSON."""
    return path.startswith(_API) and path != _API


def _status(http: int, code: int, sentence: str) -> HttpResponse:
    body = {"code": code, "message": sentence, "details": [{"@type": _STATUS_TYPE, "code": code, "message": sentence}]}
    return JsonResponse(body, status=http, headers={"WWW-Authenticate": "Bearer"} if http == 401 else None)


def _own_path(address: str) -> str:
    """Path and query of one of our addresses; of another's they lead nowhere but to a page that is not there."""
    parts = urlsplit(address)
    path = parts.path if parts.path.startswith("/") and not parts.path.startswith("//") else ""
    return f"{path}?{parts.query}" if path and parts.query else path
