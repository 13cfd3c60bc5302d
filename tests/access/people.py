"""People of tests: with each right, by the session of a browser or a token, and those who are not let in."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from access.models import Token
from access.services import add_person, make_token, revoke_token
from kfdash.rights import Right

HOST = {"host": "localhost"}
PASSWORD = "a long password 17"


def person(right: Right, name: str = ""):
    """An account that may do this."""
    return add_person(name=name or right.name.lower(), right=right, password=PASSWORD, by="tests")


def browser(right: Right, user=None) -> Client:
    """A browser that is logged in."""
    client = Client(raise_request_exception=False, headers=HOST)
    client.force_login(user or person(right))
    return client


def program(text: str) -> Client:
    """A client that sends a token."""
    return Client(raise_request_exception=False, headers={**HOST, "authorization": f"Bearer {text}"})


def token(right: Right, *, expired: bool = False, revoked: bool = False) -> str:
    """A token of an administrator's that may do this, and is perhaps good no more."""
    user = get_user_model().objects.filter(username="owner").first() or person(Right.ADMINISTER, "owner")
    expires = timezone.now() - timedelta(seconds=1) if expired else None
    text = make_token(user, name="a token", right=right, expires_at=expires, by="owner")
    if revoked:
        revoke_token(Token.objects.latest("pk"), by="owner")
    return text
