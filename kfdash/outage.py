"""What is said when the database or Redis is away, or the disk is full: nothing is broken, and it will be better soon.

A leaf: knows neither app. `kfdash.system.unavailable` has the page.
"""

from __future__ import annotations

import redis
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connections

READ_ONLY = "read-only transaction"  # in what PostgreSQL says where it takes no changes


def sentence(error: BaseException) -> str:
    """What is wrong and what to do; empty for an error of another kind."""
    if isinstance(error, redis.RedisError):
        return "Redis does not answer. Try again in a moment."
    if not isinstance(error, DatabaseError):
        return ""
    said = str(error)
    if "disk is full" in said or "No space left" in said:
        return "The server's disk is full. Make room there, and try again."
    if READ_ONLY in said:
        return "The database takes no changes now: it is read-only. Try again in a moment."
    if isinstance(error, OperationalError | InterfaceError):
        return "The database does not answer. Try again in a moment."
    return ""


def of_database(error: BaseException) -> bool:
    """Whether the database is away, full or read-only: what was to be done is to be done again, and is no mistake."""
    return isinstance(error, DatabaseError) and bool(sentence(error))


def let_go() -> None:
    """Closes this thread's connections to the database: the next question makes another one, perhaps to another server."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
