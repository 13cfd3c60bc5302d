"""Wrong passwords are counted before a password is looked at, so that guessing costs the guesser and not the server.

Three counts, each forgotten after five minutes: by address, by name from browsers that never logged in with it, and by name
from each browser that did (it has a signed cookie). A stranger can use up the second, never the third: nobody is locked out by
others, and one who is waits minutes. Names that are nobody's are counted alike.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.core import signing
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from access import configuration
from access.models import Failures

COOKIE = "kfdash_known"
WINDOW = timedelta(minutes=5)
PER_ADDRESS, PER_NAME = 30, 10
_LETTERS = 3  # to one address
_KNOWN_FOR = 400 * 24 * 3600  # seconds
_SALT = "kfdash.known"
_AT_ONCE = threading.BoundedSemaphore(2)  # hashing a password takes a processor some tenths of a second
_SENTENCE = "Too many wrong passwords. Wait five minutes, then try again, or ask an administrator for a link."
_WAIT = 1.0  # seconds for one's turn: threads that wait answer nobody else


class TooMany(Exception):
    """Too many wrong passwords, or too many at once; the message is for people. `first` of those that are refused."""

    def __init__(self, sentence: str, *, first: bool = False) -> None:
        super().__init__(sentence)
        self.first = first


def address_of(request: HttpRequest) -> str:
    """Where a request comes from; behind the proxy that is believed, what that says."""
    address = str(request.META.get("REMOTE_ADDR") or "")
    if configuration.is_proxy(address):
        for hop in reversed(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            if hop.strip() and not configuration.is_proxy(hop.strip()):
                return hop.strip()[:64]
    return address


@contextmanager
def attempt(request: HttpRequest, name: str) -> Iterator[None]:
    """Around the look at a password. Counts one failure first; `succeeded` takes it back. Raises TooMany."""
    for key, most in _keys(request, name):
        if (count := _count(key)) > most:
            raise TooMany(_SENTENCE, first=count == most + 1)
    if not _AT_ONCE.acquire(timeout=_WAIT):
        raise TooMany("Too many people log in at this moment. Try again in a few seconds.")
    try:
        yield
    finally:
        _AT_ONCE.release()


def succeeded(request: HttpRequest, name: str) -> None:
    """The password was right: what this browser got wrong is forgotten."""
    for key, _ in _keys(request, name):
        Failures.objects.filter(pk=key, count__gt=0).update(count=F("count") - 1)


def count_letter(request: HttpRequest, email: str) -> None:
    """One more letter that is asked for, for an address of ours or not. Raises TooMany."""
    for key, most in ((_key("letters from", address_of(request)), PER_ADDRESS), (_key("letters to", email.lower()), _LETTERS)):
        if _count(key) > most:
            raise TooMany("Too many letters were asked for. Wait five minutes, then try again.")


def remember(request: HttpRequest, response: HttpResponse, name: str) -> None:
    """Marks the browser as one that logged in with this name."""
    mark = signing.dumps([name, _known(request, name) or secrets.token_hex(8)], salt=_SALT)
    response.set_cookie(COOKIE, mark, max_age=_KNOWN_FOR, httponly=True, secure=request.is_secure(), samesite="Lax")


def _known(request: HttpRequest, name: str) -> str:
    try:
        known, mark = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=_KNOWN_FOR)
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(mark) if known == name else ""


def _keys(request: HttpRequest, name: str) -> tuple[tuple[str, int], ...]:
    if known := _known(request, name):
        return ((_key("browser", name, known), PER_NAME),)
    return ((_key("address", address_of(request)), PER_ADDRESS), (_key("name", name), PER_NAME))


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _count(key: str) -> int:
    """One more; how many there are within the window that the first of them began."""
    now = timezone.now()
    Failures.objects.filter(until__lt=now).delete()
    row, made = Failures.objects.get_or_create(pk=key, defaults={"count": 1, "until": now + WINDOW})
    if made:
        return 1
    Failures.objects.filter(pk=key).update(count=F("count") + 1)
    return row.count + 1
