"""Rows as the engine's values, and back. Loads what is asked for, remembers what changed, writes it in few statements.

This is the hottest path of all: the statements are made once as text, because compiling them through the ORM for each event
takes longer than the database does; and PostgreSQL is sent all that a drive writes before anybody waits for an answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.db.models import QuerySet

from pipelines.spec import paths
from runs import models
from runs.engine.model import Attempt, CacheUse, Event, Kind, Phase, Run, State, Step, Stop, Task, Values

_CHUNK = 400  # paths in one IN
_ORDERS_AT_ONCE = 500  # rows in one INSERT
_RUN_CHANGES = (
    "state",
    "state_history",
    "reason",
    "paused",
    "started_at",
    "finished_at",
    "event_number",
    "stop",
    "stopped_by",
)

Write = tuple[str, list[list[Any]]]  # a statement, and parameters for each time that it is carried out


def _names(value: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(value))


def _read_time(value: Any) -> datetime | None:
    """SQLite has times in UTC without saying so, PostgreSQL says it."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _read_values(value: Any) -> Values | None:
    return Values.from_json(json.loads(value) if isinstance(value, str) else value)


def _write_time(value: datetime | None) -> Any:
    return connection.ops.adapt_datetimefield_value(value) if value is not None else None


def _write_values(value: Values | None) -> str | None:
    return json.dumps(value.to_json(), cls=DjangoJSONEncoder) if value is not None else None


class _Table:
    """The statements on a table whose columns are the fields of an engine value, besides those that say whose it is."""

    def __init__(self, table: str, value: type, keys: Sequence[str], extra: Sequence[str], enums: Mapping[str, type]) -> None:
        self.value = value
        self.names = _names(value)
        types = {field.name: str(field.type) for field in dataclasses.fields(value)}
        self.reads: list[tuple[int, Callable[[Any], Any]]] = []
        self.writes: list[tuple[int, Callable[[Any], Any]]] = []
        for i, name in enumerate(self.names):
            if name in enums:
                self.reads.append((i, enums[name]))
                self.writes.append((i, str))
            elif types[name].startswith("datetime"):
                self.reads.append((i, _read_time))
                self.writes.append((i, _write_time))
            elif types[name].startswith("Values"):
                self.reads.append((i, _read_values))
                self.writes.append((i, _write_values))
            elif types[name] == "bool":
                self.reads.append((i, bool))
        columns = [*extra, *self.names]
        updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in self.names if name not in keys)
        self.select = f"SELECT {', '.join(self.names)} FROM {table} WHERE run_id = %s AND "
        self.upsert = (
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) "
            f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {updates}"
        )

    def load(self, where: str, parameters: Sequence[Any]) -> Iterator[Any]:
        """The values of the rows of a run; the first parameter is the run's id."""
        with connection.cursor() as cursor:
            cursor.execute(self.select + where, parameters)
            rows = cursor.fetchall()
        for row in rows:
            fields = list(row)
            for i, read in self.reads:
                fields[i] = read(fields[i])
            yield self.value(*fields)

    def write(self, values: Iterable[tuple[Sequence[Any], Any]]) -> Write:
        """The statement that writes values, each with the columns that say whose it is."""
        rows = []
        for extra, value in values:
            fields = [getattr(value, name) for name in self.names]
            for i, write in self.writes:
                fields[i] = write(fields[i])
            rows.append([*extra, *fields])
        return self.upsert, rows


_TASKS = _Table("runs_task", Task, ("run_id", "path"), ("run_id", "parent"), {"kind": Kind, "state": State})
_ATTEMPTS = _Table(
    "runs_attempt", Attempt, ("run_id", "path", "number"), ("run_id", "name", "released"), {"state": State, "phase": Phase}
)


# --- a drive's rows ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _without_waiting() -> Iterator[None]:
    """What is carried out inside is sent without waiting for answers, where the database takes it so."""
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def locked_run(run_id: str) -> models.Run | None:
    """The row of a run, which nobody else changes until the transaction at hand ends; None where there is none."""
    names, statement, converters = _run_reader(connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(statement, [_run_key(run_id)])
        row = cursor.fetchone()
    if row is None:
        return None
    values = list(row)
    for i, convert, column in converters:
        values[i] = convert(values[i], column, connection)
    return models.Run.from_db(connection.alias, names, values)


@cache
def _run_reader(vendor: str) -> tuple[list[str], str, list[tuple[int, Callable[..., Any], Any]]]:
    """The attributes of a run, the statement that reads and locks its row, and what makes values of columns."""
    fields = models.Run._meta.concrete_fields
    columns = [field.get_col(models.Run._meta.db_table) for field in fields]
    lock = " FOR UPDATE" if connection.features.has_select_for_update else ""
    statement = f"SELECT {', '.join(field.column for field in fields)} FROM runs_run WHERE id = %s{lock}"
    converters = [
        (i, convert, column)
        for i, column in enumerate(columns)
        for convert in (*connection.ops.get_db_converters(column), *column.get_db_converters(connection))
    ]
    return [field.attname for field in fields], statement, converters


def _run_key(run_id: str) -> Any:
    return models.Run._meta.pk.get_db_prep_value(uuid.UUID(run_id), connection)


def run_write(row: models.Run) -> Write:
    """The statement that writes what a drive may change of a run."""
    values = [getattr(row, name) for name in _RUN_CHANGES]
    written = [json.dumps(value) if isinstance(value, list) else value for value in values]
    written = [_write_time(value) if isinstance(value, datetime) else value for value in written]
    return _UPDATE_RUN, [[*written, _run_key(str(row.pk))]]


_UPDATE_RUN = f"UPDATE runs_run SET {', '.join(f'{name} = %s' for name in _RUN_CHANGES)} WHERE id = %s"


def event_write(run_id: str, numbered: Iterable[tuple[int, Event]]) -> Write:
    """The statement that writes events with their numbers."""
    key = _run_key(run_id)
    rows = [
        [key, number, _write_time(event.at), event.kind, event.path, event.attempt, json.dumps(dict(event.data))]
        for number, event in numbered
    ]
    return "INSERT INTO runs_runevent (run_id, number, at, kind, path, attempt, data) VALUES (%s, %s, %s, %s, %s, %s, %s)", rows


_ORDER_COLUMNS = ("run_id", "kind", "path", "attempt", "task_kind", "force", "due", "tries", "answer")
_INSERT_ORDERS = f"INSERT INTO runs_order ({', '.join(_ORDER_COLUMNS)}) VALUES "
_ORDER = f"({', '.join(['%s'] * len(_ORDER_COLUMNS))})"


def carry_out(writes: Iterable[Write], orders: Sequence[models.Order]) -> None:
    """Writes all of it, and orders, which then have their ids."""
    with _without_waiting(), connection.cursor() as cursor:
        for statement, rows in writes:
            if rows:
                cursor.executemany(statement, rows)
        for start in range(0, len(orders), _ORDERS_AT_ONCE):
            _insert_orders(orders[start : start + _ORDERS_AT_ONCE])


def _insert_orders(orders: Sequence[models.Order]) -> None:
    """By a cursor of their own: one that was used before may still be given the answers to that, and take them for these."""
    values = [value for order in orders for value in _order_values(order)]
    with connection.cursor() as cursor:
        cursor.execute(f"{_INSERT_ORDERS}{', '.join([_ORDER] * len(orders))} RETURNING id", values)
        for order, (key,) in zip(orders, cursor.fetchall(), strict=True):
            order.pk = key


def _order_values(order: models.Order) -> list[Any]:
    values = [getattr(order, name) for name in _ORDER_COLUMNS]
    return [_run_key(str(values[0])), *(_write_time(value) if isinstance(value, datetime) else value for value in values[1:])]


# --- values -----------------------------------------------------------------------------------------------------------


def run_value(row: models.Run, *, most_iterations: int) -> Run:
    """A run's row as the engine's value."""
    return Run(
        id=str(row.id),
        name=row.name,
        resource_name=row.resource_name,
        state=State(row.state),
        arguments=row.arguments,
        created_at=row.created_at,
        scheduled_at=row.scheduled_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        pipeline_root=row.pipeline_root,
        cache=CacheUse(row.cache),
        stop=Stop(row.stop),
        stopped_by=row.stopped_by,
        paused=row.paused,
        reason=row.reason,
        most_iterations=most_iterations,
    )


def task_value(fields: Mapping[str, Any]) -> Task:
    """A task's columns as the engine's value."""
    return Task(
        **{
            **fields,
            "kind": Kind(fields["kind"]),
            "state": State(fields["state"]),
            "inputs": Values.from_json(fields["inputs"]),
            "outputs": Values.from_json(fields["outputs"]),
        }
    )


def task_values(queryset: QuerySet[models.Task]) -> Iterator[Task]:
    """The tasks of a queryset as the engine's values."""
    for row in queryset.values(*_TASKS.names):
        yield task_value(row)


class RowTasks:
    """A TaskSource over the rows of one run, with what steps changed laid over them."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.key = _run_key(run_id)
        self.before: dict[str, Task | None] = {}  # as the rows have them; None where there is no row
        self.tasks: dict[str, Task] = {}
        self.attempts: dict[str, Attempt | None] = {}
        self.changed_attempts: dict[tuple[str, int], Attempt] = {}

    # --- TaskSource ---

    def get(self, path: str) -> Task | None:
        if path not in self.before:
            self.prefetch((path,))
        return self.tasks.get(path)

    def prefetch(self, wanted: Iterable[str]) -> None:
        missing = [path for path in dict.fromkeys(wanted) if path not in self.before]
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            self._load(f"path IN ({', '.join(['%s'] * len(chunk))})", chunk)
        for path in missing:
            self.before.setdefault(path, None)

    def children(self, path: str) -> list[Task]:
        found = self._load("parent = %s ORDER BY id", [path])
        found += [child for child, task in self.tasks.items() if self.before[child] is None and paths.parent(child) == path]
        if found and paths.index(found[0]) is not None:
            found.sort(key=lambda child: paths.index(child) or 0)
        return [self.tasks[child] for child in found]

    def unfinished(self) -> list[Task]:
        finals = [state.value for state in State if state.is_final]
        self._load(f"state NOT IN ({', '.join(['%s'] * len(finals))}) ORDER BY id", finals)
        return [task for task in self.tasks.values() if not task.state.is_final]

    def attempt(self, path: str) -> Attempt | None:
        if path not in self.attempts:
            newest = _ATTEMPTS.load("path = %s ORDER BY number DESC LIMIT 1", [self.key, path])
            self.attempts[path] = next(newest, None)
        return self.attempts[path]

    # --- what steps changed ---

    def apply(self, step: Step) -> None:
        """Lays what a step changed over the rows."""
        for path, task in step.tasks.items():
            if path not in self.before:
                self.before[path] = None  # the engine asks before it changes: a path never asked for is new
            self.tasks[path] = task
        for (path, number), attempt in step.attempts.items():
            self.changed_attempts[path, number] = attempt
            known = self.attempts.get(path)
            if known is None or known.number <= number:
                self.attempts[path] = attempt

    def changed(self) -> dict[str, Task]:
        """All tasks that are not as their rows have them, new ones among them."""
        return {path: task for path, task in self.tasks.items() if self.before[path] != task}

    def writes(self, attempt_name: Callable[[str, str, int], str]) -> list[Write]:
        """The statements that write what changed; `attempt_name(run_id, path, number)` names attempts."""
        tasks = (((self.key, paths.parent(path)), task) for path, task in self.changed().items())
        attempts = (
            ((self.key, attempt_name(self.run_id, path, number), False), attempt)
            for (path, number), attempt in self.changed_attempts.items()
        )
        return [_TASKS.write(tasks), _ATTEMPTS.write(attempts)]

    def _load(self, where: str, parameters: Sequence[Any]) -> list[str]:
        found = []
        for task in _TASKS.load(where, [self.key, *parameters]):
            if self.before.get(task.path) is None:
                self.before[task.path] = task
                self.tasks.setdefault(task.path, task)
            found.append(task.path)
        return found
