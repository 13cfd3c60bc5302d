"""Logging in and out, and setting a password by a link."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth import login as log_in
from django.contrib.auth import logout as log_out
from django.contrib.auth.tokens import default_token_generator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlsafe_base64_decode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from access import letters, throttle
from access.forms import ForgotForm, LoginForm, NewPasswordForm
from access.models import Source
from access.services import record, right_of, set_password
from kfdash.rights import by, public, visitor_of

BACKEND = "django.contrib.auth.backends.ModelBackend"
_WRONG = "Name or password is not right."
_NO_RIGHT = "This account is switched off, or has no right to anything yet. An administrator can change that."
_LINK_KEPT = "kfdash.link"  # in the session: what the address had


@public
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """The page to log in; it leads back to where one wanted to go, if that is a page of ours."""
    wanted = own_path(request.POST.get("next") or request.GET.get("next") or "")
    if not settings.AUTH or (request.method == "GET" and visitor_of(request).right):
        return redirect(wanted or "home")
    form = LoginForm(request.POST) if request.method == "POST" else None
    status, problem = 200, ""
    if form is not None and settings.AUTH != "proxy":
        if form.is_valid():
            status, problem, user = _look_at(request, **form.cleaned_data)
            if user is not None:
                return enter(request, user, wanted)
        else:
            problem = " ".join(dict.fromkeys(str(error) for errors in form.errors.values() for error in errors))
    context = {
        "mode": settings.AUTH,
        "provider": settings.OIDC_TITLE,
        "next": wanted,
        "name": request.POST.get("username", "")[:150],
        "problem": problem or visitor_of(request).refusal,
        "can_send": letters.can_send(),
        "nobody": settings.AUTH != "proxy" and not get_user_model().objects.exists(),
    }
    return render(request, "access/login.html", context, status=status)


def _look_at(request: HttpRequest, *, username: str, password: str) -> tuple[int, str, Any]:
    """Status, what is wrong, and the account where name and password are right. Every wrong way costs and says the same."""
    try:
        with throttle.attempt(request, username):
            user = authenticate(request, username=username, password=password)
    except throttle.TooMany as error:
        if error.first:
            record(
                by=username[:60], verb="may not try for now", what="person", name=username[:60], detail=throttle.address_of(request)
            )
        return 429, str(error), None
    if user is None:
        record(by=username[:60], verb="failed to log in", what="person", name=username[:60], detail=throttle.address_of(request))
        return 200, _WRONG, None
    throttle.succeeded(request, username)
    if right_of(user) is None:
        return 200, _NO_RIGHT, None
    return 200, "", user


def enter(request: HttpRequest, user: Any, wanted: str, *, how: str = "") -> HttpResponse:
    """Begins the session of somebody who has shown who they are."""
    name = user.get_username()
    log_in(request, user, backend=BACKEND)
    record(by=name, verb="logged in", what="person", name=name, detail=how or throttle.address_of(request))
    response = HttpResponseRedirect(wanted or reverse("home"))
    throttle.remember(request, response, name)
    return response


@public
@never_cache
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """Ends the session, and within seconds every socket that it opened."""
    name = by(request)
    log_out(request)
    if name:
        record(by=name, verb="logged out", what="person", name=name)
    return redirect("login" if settings.AUTH else "home")


@public
@never_cache
@require_http_methods(["GET", "POST"])
def forgot(request: HttpRequest) -> HttpResponse:
    """Asks for the address that a link is sent to. The answer is the same whether anybody has it."""
    if settings.AUTH in ("", "proxy"):
        return redirect("login")
    form = ForgotForm(request.POST) if request.method == "POST" and letters.can_send() else None
    sent = problem = ""
    if form is not None and form.is_valid():
        try:
            throttle.count_letter(request, form.cleaned_data["email"])
            letters.send_password_link(form.cleaned_data["email"], origin=f"{request.scheme}://{request.get_host()}")
            sent = form.cleaned_data["email"]
        except throttle.TooMany as error:
            problem = str(error)
    elif form is not None:
        problem = " ".join(form.errors["email"])
    return render(request, "access/forgot.html", {"sent": sent, "problem": problem, "can_send": letters.can_send()})


@public
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def password_set(request: HttpRequest, key: str, token: str) -> HttpResponse:
    """Sets a password by a link that is good once. The link leaves the address bar before the page is shown."""
    user = _of_link(key)
    if token != "new":
        if user is None or not default_token_generator.check_token(user, token):
            return render(request, "access/password_set.html", {"over": True}, status=404)
        request.session[_LINK_KEPT] = token
        return redirect("password-set", key, "new")
    if user is None or not default_token_generator.check_token(user, request.session.get(_LINK_KEPT, "")):
        return render(request, "access/password_set.html", {"over": True}, status=404)
    form = NewPasswordForm(user, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        del request.session[_LINK_KEPT]
        set_password(user, form.cleaned_data["new"], by=user.get_username(), how="by a link")
        if right_of(user) is None:
            return redirect("login")
        return enter(request, user, "", how="by a link")
    return render(request, "access/password_set.html", {"person": user.get_username(), "form": form})


def _of_link(key: str) -> Any:
    """The account whose link it is, if it has a password of ours."""
    try:
        pk = int(urlsafe_base64_decode(key).decode())
    except (ValueError, UnicodeDecodeError):
        return None
    user = get_user_model().objects.select_related("person").filter(pk=pk).first() if 0 < pk < 2**31 else None
    person = getattr(user, "person", None)
    return user if person is None or person.source == Source.PASSWORD else None


def own_path(address: str) -> str:
    """The address, if it is a path of this site; else nothing."""
    own = address.startswith("/") and url_has_allowed_host_and_scheme(address, allowed_hosts=None)
    return address if own and len(address) < 2000 else ""


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form whose secret is missing or old: the page was open for very long, or cookies are off."""
    return render(request, "access/stale.html", {"reason": reason}, status=403)
