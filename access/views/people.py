"""For administrators: who may do what, everybody's tokens, and what was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from access import services
from access.forms import RIGHTS, PersonForm
from access.models import Entry, Source, Token
from kfdash.rights import Right, by, needs

PAGE = 50
VIEWS = ("people", "tokens", "activity")


@dataclass(frozen=True)
class Row:
    """An account as a line of the list."""

    user: Any
    right: int
    source: str
    has_password: bool
    is_self: bool


@never_cache
@require_GET
@needs(Right.ADMINISTER)
def access(request: HttpRequest) -> HttpResponse:
    """People, tokens or activity, by `view`."""
    return _page(request)


def _page(request: HttpRequest, status: int = 200, **more: Any) -> HttpResponse:
    if not settings.AUTH:
        return render(request, "access/nobody.html", {"title": "Access", "system": True})
    view = request.GET.get("view", "people")
    view = view if view in VIEWS else "people"
    listed = {"people": _people, "tokens": _tokens, "activity": _activity}[view](request)
    context = {
        "view": view,
        "rights": RIGHTS,
        "form": PersonForm(initial={"right": Right.RUN}),
        "now": timezone.now(),
        **listed,
        **more,
    }
    return render(request, "access/access.html", context, status=status)


def _after(request: HttpRequest, rows: QuerySet[Any], order: tuple[str, ...]) -> dict[str, Any]:
    """A page of rows by offset: people and tokens are hundreds at most."""
    text = request.GET.get("from", "0")
    first = min(int(text), 100_000) if text.isascii() and text.isdigit() else 0
    found = list(rows.order_by(*order)[first : first + PAGE + 1])
    return {
        "rows": found[:PAGE],
        "next_from": first + PAGE if len(found) > PAGE else None,
        "words": request.GET.get("q", "").strip(),
    }


def _people(request: HttpRequest) -> dict[str, Any]:
    words = request.GET.get("q", "").strip()
    rows = get_user_model().objects.select_related("person")
    if words:
        rows = rows.filter(Q(username__icontains=words) | Q(email__icontains=words))
    live = Q(tokens__revoked_at=None) & (Q(tokens__expires_at=None) | Q(tokens__expires_at__gt=timezone.now()))
    rows = rows.annotate(
        live_tokens=Count("tokens", filter=live & ~Q(tokens__id=None), distinct=True), session_until=Max("sessions__expire_date")
    )
    found = _after(request, rows, ("-is_active", "username"))
    found["rows"] = [_row(user, request) for user in found["rows"]]
    return found


def _row(user: Any, request: HttpRequest) -> Row:
    person = getattr(user, "person", None)
    right = person.right if person else (Right.ADMINISTER if user.is_superuser else 0)
    source = Source(person.source).label if person else Source.PASSWORD.label
    return Row(user, int(right), source, source == Source.PASSWORD.label, user.pk == request.user.pk)


def _tokens(request: HttpRequest) -> dict[str, Any]:
    words = request.GET.get("q", "").strip()
    rows = Token.objects.select_related("user").filter(revoked_at=None)
    if words:
        rows = rows.filter(Q(name__icontains=words) | Q(user__username__icontains=words))
    return _after(request, rows, ("-created_at", "-id"))


def _activity(request: HttpRequest) -> dict[str, Any]:
    """The log, newest first: by person, verb, words, day; a page begins after an id."""
    query = {key: request.GET.get(key, "").strip()[:300] for key in ("by", "verb", "q", "day")}
    rows = Entry.objects.all()
    if query["by"]:
        rows = rows.filter(by=query["by"])
    if query["verb"]:
        rows = rows.filter(verb=query["verb"])
    if query["q"]:
        rows = rows.filter(Q(name__icontains=query["q"]) | Q(detail__icontains=query["q"]))
    day = _day(query["day"])
    if day:
        begin = datetime.combine(day, time.min, tzinfo=UTC)
        rows = rows.filter(at__gte=begin, at__lt=begin + timedelta(days=1))
    after = request.GET.get("after", "")
    if after.isascii() and after.isdigit() and len(after) < 19:
        rows = rows.filter(pk__lt=int(after))
    found = list(rows.order_by("-id")[: PAGE + 1])
    older = (
        urlencode({"view": "activity", **{key: value for key, value in query.items() if value}, "after": found[PAGE - 1].pk})
        if len(found) > PAGE
        else ""
    )
    verbs = list(Entry.objects.order_by("verb").values_list("verb", flat=True).distinct())
    return {"rows": found[:PAGE], "older": older, "query": query, "verbs": verbs, "filtered": any(query.values())}


def _day(text: str) -> date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


# --- what is done to people ---


@never_cache
@require_POST
@needs(Right.ADMINISTER)
def add_person(request: HttpRequest) -> HttpResponse:
    """Adds an account and shows the link to set its password, this once."""
    form = PersonForm(request.POST)
    if form.is_valid() and settings.AUTH:
        given = form.cleaned_data
        try:
            user = services.add_person(name=given["name"], right=given["right"], email=given["email"], by=by(request))
        except services.NotPossible as error:
            form.add_error("name", str(error))
        else:
            return _with_link(request, user)
    return _page(request, 422, form=form, form_open=True)


@never_cache
@require_POST
@needs(Right.ADMINISTER)
def change_person(request: HttpRequest, user_id: int) -> HttpResponse:
    """What `do` says: `right` (with `right`), `off`, `on`, `leave` (log out everywhere), `link` (to set a password)."""
    user = get_object_or_404(get_user_model().objects.select_related("person"), pk=user_id)
    name, who = user.get_username(), by(request)
    do = request.POST.get("do", "")
    if do == "link":
        if not _row(user, request).has_password:
            messages.error(request, f"{name} logs in elsewhere: there is no password to set.")
            return redirect("access")
        return _with_link(request, user)
    right = _right(request.POST.get("right", ""))
    actions: dict[str, tuple[Callable[[], None], str]] = {
        "right": (
            lambda: services.set_right(user, right, by=who),
            f"{name} may {right.name.lower() if right else 'do nothing'} now.",
        ),
        "off": (lambda: services.switch_off(user, by=who), f"{name} is switched off: logged out everywhere, no token is taken."),
        "on": (lambda: services.switch_on(user, by=who), f"{name} can log in again."),
        "leave": (lambda: services.log_out_everywhere(user, by=who), f"{name} is logged out everywhere."),
    }
    if do not in actions:
        return HttpResponse("do must be right, off, on, leave or link.\n", status=400, content_type="text/plain; charset=utf-8")
    act, done = actions[do]
    try:
        act()
    except services.NotPossible as error:
        messages.error(request, str(error))
    else:
        messages.success(request, done)
    return redirect("access")


@require_POST
@needs(Right.ADMINISTER)
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    """Revokes anybody's token."""
    token = get_object_or_404(Token.objects.select_related("user"), pk=token_id)
    services.revoke_token(token, by=by(request))
    messages.success(request, f"The token {token.name} of {token.user.get_username()} is taken no more.")
    return redirect(f"{reverse('access')}?view=tokens")


def _right(text: str) -> Right | None:
    return Right(int(text)) if text in {str(right.value) for right in Right} else None


def _with_link(request: HttpRequest, user: Any) -> HttpResponse:
    origin = settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
    return _page(request, link=origin + services.password_link(user, by=by(request)), link_of=user.get_username())
