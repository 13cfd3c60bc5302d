"""Who asks: from a personal token, or from the session of a browser that is logged in. One statement a request.

`IdentityMiddleware` sets `request.visitor`; `kfdash.rights` decides by it. Credentials that are sent and not good make a
stranger, whatever else came with them.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from access.models import Token
from kfdash.rights import Right, Visitor

TOKEN_BEGINS = "kfdash_"
NOT_GOOD = "The token is not one of this kfdash, has expired, or was revoked. Make another on the page Account."
SWITCHED_OFF = "This account is switched off, or has no right to anything yet. An administrator can change that."
_USED = timedelta(minutes=1)  # how exactly it is known when a token was last used


class IdentityMiddleware(AuthenticationMiddleware):
    """Sets `request.visitor` and `request.user` where people log in; else Django's own user alone."""

    def process_request(self, request: HttpRequest) -> None:
        """Django's hook."""
        super().process_request(request)
        if settings.AUTH:
            user, visitor = identify(request)
            request._cached_user = user  # type: ignore[attr-defined]  # where Django keeps the user that it found
            request.visitor = visitor  # type: ignore[attr-defined]


def identify(request: HttpRequest) -> tuple[Any, Visitor]:
    """The account and the visitor of a request; an anonymous one and a stranger where nobody is known."""
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if header:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            return _stranger("Only tokens are taken (Authorization: Bearer …).")
        return _of_token(text.strip())
    return _of_session(request)


def right_of(user: Any) -> Right | None:
    """What an account may do; None for one that is switched off or was given nothing."""
    person = getattr(user, "person", None)
    if not user.is_active:
        return None
    if person is None:  # made by Django's own command
        return Right.ADMINISTER if user.is_superuser else None
    return Right(person.right) if person.right else None


def digest(text: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(text.encode()).hexdigest()


def _stranger(refusal: str = "") -> tuple[Any, Visitor]:
    return AnonymousUser(), Visitor(refusal=refusal)


def _of_token(text: str) -> tuple[Any, Visitor]:
    if not text.startswith(TOKEN_BEGINS) or len(text) > 200:
        return _stranger(NOT_GOOD)
    now = timezone.now()
    good = Token.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), digest=digest(text), revoked_at=None)
    token = good.select_related("user__person").first()
    if token is None:
        return _stranger(NOT_GOOD)
    right = right_of(token.user)
    if right is None:
        return _stranger(SWITCHED_OFF)
    if token.last_used_at is None or now - token.last_used_at > _USED:
        Token.objects.filter(pk=token.pk).update(last_used_at=now)
    return token.user, Visitor(token.user.get_username(), min(right, Right(token.right)), by_token=True)


def _of_session(request: HttpRequest) -> tuple[Any, Visitor]:
    session: Any = request.session
    key = session.get(SESSION_KEY)
    owner = getattr(session, "owner", None)
    if key is None or owner is None or str(owner.pk) != key:
        return _stranger()
    if not constant_time_compare(session.get(HASH_SESSION_KEY, ""), owner.get_session_auth_hash()):
        session.flush()  # the password was changed elsewhere
        return _stranger()
    right = right_of(owner)
    return (owner, Visitor(owner.get_username(), right)) if right else _stranger(SWITCHED_OFF)
