"""Operations of migrations for tables that may be large, on PostgreSQL, while others work on them. A leaf.

Each may be carried out again where the migration failed later on. SQLite, whose installations are small and which has one
writer, gets none of them: it counts and sorts what it has.
"""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.db.migrations.operations.base import Operation
from django.db.utils import DatabaseError


class _OnPostgreSQL(Operation, ABC):
    """Does nothing on other databases, and changes nothing of what models are."""

    reduces_to_sql = False
    reversible = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Models stay as they are."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            self.forwards(schema_editor)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            self.backwards(schema_editor)

    @abstractmethod
    def forwards(self, schema_editor: Any) -> None:
        """What it does on the way there."""

    @abstractmethod
    def backwards(self, schema_editor: Any) -> None:
        """What it does on the way back."""


class IndexConcurrently(_OnPostgreSQL):
    """Makes an index while rows are written; in a migration that is not atomic.

    `on` is what follows `CREATE INDEX … ON`. It takes the place of one of the same name; what an interrupted migration left
    half-made is made anew, and what it had made stays: a comment at the index says from what it was made. With `trigrams` it
    needs the extension pg_trgm and is left out where that is not there. `before` is what follows ON in the index whose place
    it takes, made again on the way back.
    """

    def __init__(self, name: str, on: str, *, trigrams: bool = False, before: str = "") -> None:
        self.name, self.on, self.trigrams, self.before = name, on, trigrams, before

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.name, self.on], {"trigrams": self.trigrams, "before": self.before}

    def describe(self) -> str:
        return f"Index {self.name} on PostgreSQL"

    def forwards(self, schema_editor: Any) -> None:
        if not self.trigrams or _has_trigrams(schema_editor.connection):
            self._make(schema_editor, self.on)

    def backwards(self, schema_editor: Any) -> None:
        if self.before:
            self._make(schema_editor, self.before)
        else:
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.name}")

    def _make(self, schema_editor: Any, on: str) -> None:
        new, made = f"{self.name}_new", f"made {hashlib.sha256(on.encode()).hexdigest()[:16]}"
        if _comment(schema_editor.connection, self.name) == made:
            return
        with _without_hurry(schema_editor.connection):
            self._replace(schema_editor, new, on, made)

    def _replace(self, schema_editor: Any, new: str, on: str, made: str) -> None:
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {new}")
        schema_editor.execute(f"CREATE INDEX CONCURRENTLY {new} ON {on}")
        schema_editor.execute(f"COMMENT ON INDEX {new} IS '{made}'")
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {self.name}")
        schema_editor.execute(f"ALTER INDEX {new} RENAME TO {self.name}")


class Trigrams(_OnPostgreSQL):
    """Makes the extension pg_trgm, with which parts of names are found by an index.

    Since PostgreSQL 13 whoever may create something in the database may make it. Where that is not allowed, or it is not
    installed, searches read whole tables: slower, and else the same.
    """

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [], {}

    def describe(self) -> str:
        return "The extension pg_trgm of PostgreSQL"

    def forwards(self, schema_editor: Any) -> None:
        if not _has_trigrams(schema_editor.connection):
            try:
                schema_editor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            except DatabaseError as error:
                reason = str(error).strip().splitlines()[0]
                print(f"note: The extension pg_trgm cannot be made ({reason}); searches in names will be slower.")

    def backwards(self, schema_editor: Any) -> None:
        """The extension stays: others may use it."""


class Statements(_OnPostgreSQL):
    """SQL, there and back, each in one transaction."""

    def __init__(self, forwards: str, backwards: str = "") -> None:
        self.there, self.back = forwards, backwards

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.there, self.back], {}

    def describe(self) -> str:
        return "SQL on PostgreSQL"

    def forwards(self, schema_editor: Any) -> None:
        with transaction.atomic(using=schema_editor.connection.alias):
            schema_editor.execute(self.there, params=None)

    def backwards(self, schema_editor: Any) -> None:
        if self.back:
            with transaction.atomic(using=schema_editor.connection.alias):
                schema_editor.execute(self.back, params=None)


@contextlib.contextmanager
def _without_hurry(connection: Any) -> Iterator[None]:
    """Locks are waited for as long as it takes: nobody waits behind an index that is made concurrently."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        before = cursor.fetchone()[0]
        cursor.execute("SET lock_timeout = 0")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [before])


def _comment(connection: Any, index: str) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", [index])
        found: str | None = cursor.fetchone()[0]
        return found


def _has_trigrams(connection: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
        return cursor.fetchone() is not None
