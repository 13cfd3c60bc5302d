"""What could not be done because something else is away or full: counted, and told on the page System for some seconds.

A leaf: knows neither app.
"""

from __future__ import annotations

import errno

import redis
from django.db import Error as DatabaseError

from kfdash import metrics, pulse

_UNAVAILABLE = "ExecutorUnavailable"  # of runs.executors.base, which a leaf does not import
_NOT_HANDED_OVER = "NotHandedOver"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def kind_of(error: BaseException) -> str:
    """`database`, `redis`, `disk`, `executor`, or `mistake` for what is none of these."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, DatabaseError):
        return "disk" if "disk is full" in str(error) or "No space left" in str(error) else "database"
    if isinstance(error, redis.RedisError) or _NOT_HANDED_OVER in names:
        return "redis"
    if isinstance(error, OSError):
        return "disk" if error.errno in _FULL else "network"
    return "executor" if _UNAVAILABLE in names else "mistake"


def met(error: BaseException, kind: str = "") -> None:
    """Counts it; unless it is a mistake of our own, which the log explains, this process tells of it."""
    kind = kind or kind_of(error)
    metrics.error(kind)
    if kind != "mistake":
        pulse.trouble(kind, " ".join(str(error).split())[:300])
