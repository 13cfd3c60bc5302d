"""Clients that look for a name and then create it, at the same moment.

KFP's Python client makes an experiment in two calls: it lists those of that name, and creates one where there is none. Two
threads of one script then both find none, and the second creation would be refused although its script did nothing wrong.
So a look-up that found nothing is remembered for some seconds, and each lets one creation of that name find the experiment
that another one has just made. A second creation without a look-up is refused, as in KFP.
"""

from __future__ import annotations

import hashlib

from django.core.cache import cache

from kfdash.wire.filters import Predicate

_SECONDS = 10


def _key(name: str) -> str:
    return "looked-up:" + hashlib.sha256(name.encode()).hexdigest()


def asked_name(predicates: tuple[Predicate, ...]) -> str:
    """The name that a filter asks for, where it asks for just that; else empty."""
    if len(predicates) == 1 and predicates[0].key in ("display_name", "name") and predicates[0].operation == "EQUALS":
        return str(predicates[0].value)
    return ""


def found_nothing(name: str) -> None:
    """A client was told that there is no experiment of this name."""
    cache.add(_key(name), 0, _SECONDS)
    cache.incr(_key(name))


def was_told(name: str) -> bool:
    """Whether a client that creates this name was told that there is none; each telling counts once."""
    try:
        if cache.get(_key(name), 0) > 0:
            cache.decr(_key(name))
            return True
    except ValueError:
        pass  # it was remembered for long enough between the two calls
    return False
