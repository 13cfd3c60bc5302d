"""What is said when the database or Redis is away, or the disk is full: nothing is broken, and it will be better soon.

A leaf: knows neither app. `kfdash.system.unavailable` has the page.
"""

from __future__ import annotations

import redis
from django.db import InterfaceError, OperationalError


def sentence(error: Exception) -> str:
    """What is wrong and what to do; empty for an error of another kind."""
    if isinstance(error, redis.RedisError):
        return "Redis does not answer. Try again in a moment."
    if not isinstance(error, OperationalError | InterfaceError):
        return ""
    if "disk is full" in str(error) or "No space left" in str(error):
        return "The server's disk is full. Make room there, and try again."
    return "The database does not answer. Try again in a moment."
