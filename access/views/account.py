"""One's own account: password, tokens, where one is logged in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from access import services, throttle
from access.forms import NewPasswordForm, TokenForm
from access.models import Session, Token
from kfdash.rights import Right, by, needs, visitor_of

_PERSONS_ONLY = "This belongs to a person, not to a program: log in with a browser."


@never_cache
@require_GET
@needs(Right.VIEW)
def account(request: HttpRequest) -> HttpResponse:
    """The page."""
    return _page(request)


def _page(request: HttpRequest, status: int = 200, **more: Any) -> HttpResponse:
    if not settings.AUTH:
        return render(request, "access/nobody.html", {"title": "Account"})
    user = request.user
    if not user.is_authenticated:  # a pod
        return HttpResponse(f"{_PERSONS_ONLY}\n", status=403, content_type="text/plain; charset=utf-8")
    right = visitor_of(request).right or Right.VIEW
    context = {
        "tokens": Token.objects.filter(user=user, revoked_at=None).order_by("-created_at")[:200],
        "sessions": Session.objects.filter(user=user, expire_date__gt=timezone.now()).count(),
        "has_password": user.has_usable_password(),
        "right": right.name.lower(),
        "token_form": TokenForm(right, initial={"right": min(right, Right.RUN), "days": 90}),
        "now": timezone.now(),
        **more,
    }
    return render(request, "access/account.html", context, status=status)


@never_cache
@require_POST
@needs(Right.VIEW)
def make_token(request: HttpRequest) -> HttpResponse:
    """Makes a token and shows it, this once."""
    visitor = visitor_of(request)
    if refused := _refuse_program(request):
        return refused
    form = TokenForm(visitor.right or Right.VIEW, request.POST)
    if not form.is_valid():
        return _page(request, 422, token_form=form, token_open=True)
    given = form.cleaned_data
    made = services.make_token(
        request.user, name=given["name"], right=given["right"], expires_at=form.expires_at(), by=visitor.name
    )
    return _page(
        request, made=made, made_name=given["name"], host=settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
    )


@require_POST
@needs(Right.VIEW)
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    """Revokes one of one's own."""
    if refused := _refuse_program(request):
        return refused
    token = get_object_or_404(Token, pk=token_id, user=request.user)
    services.revoke_token(token, by=by(request))
    messages.success(request, f"The token {token.name} is taken no more.")
    return redirect("account")


@never_cache
@sensitive_post_parameters()
@require_POST
@needs(Right.VIEW)
def change_password(request: HttpRequest) -> HttpResponse:
    """Changes one's own password; other browsers are logged out by that."""
    if refused := _refuse_program(request):
        return refused
    user: Any = request.user
    form = NewPasswordForm(user, request.POST)
    if form.is_valid():
        try:
            with throttle.attempt(request, user.get_username()):
                if not user.check_password(form.cleaned_data["old"]):
                    form.add_error("old", "This is not the password so far.")
        except throttle.TooMany as error:
            form.add_error("old", str(error))
    if form.errors:
        return _page(request, 422, password_form=form)
    throttle.succeeded(request, user.get_username())
    services.set_password(user, form.cleaned_data["new"], by=by(request))
    update_session_auth_hash(request, user)
    messages.success(request, "The password is changed. Other browsers are logged out.")
    return redirect("account")


@require_POST
@needs(Right.VIEW)
def leave_everywhere(request: HttpRequest) -> HttpResponse:
    """Ends all of one's sessions, this one too."""
    if refused := _refuse_program(request):
        return refused
    services.log_out_everywhere(request.user, by=by(request))  # type: ignore[arg-type]
    return redirect("login")


def _refuse_program(request: HttpRequest) -> HttpResponse | None:
    if settings.AUTH and request.user.is_authenticated and not visitor_of(request).by_token:
        return None
    return HttpResponse(f"{_PERSONS_ONLY}\n", status=403, content_type="text/plain; charset=utf-8")
