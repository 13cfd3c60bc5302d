"""A database as two busy years leave it: `python -m tests.bench.million postgresql://user@host/name [--runs N] [--seed N]`.

The same seed gives the same rows but for the ids of what is uploaded, their times counted back from now. The database is
migrated first and must hold no runs.
Pipelines and versions are uploaded as a user would; the rest goes in by COPY while constraints and indexes are away, so that
a million runs with what belongs to them take minutes. Steps, attempts, events and orders are those of the newest runs alone.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

RUNS, SEED = 1_000_000, 7
PIPELINES, EXPERIMENTS, PEOPLE = 200, 300, 40
SPAN = timedelta(days=730)
STEPS = ("load", "train", "report")
WITH_TASKS, WITH_EVENTS, WITH_ARTIFACTS, WITH_CACHE = 0.2, 0.05, 0.5, 0.2  # of the runs, the newest
NEEDLES = (7, 3, 2)  # the run with that place from the beginning, and those at a third and a half, have the tag needle=yes
_ROWS_AT_ONCE = 5000
_STATES, _WEIGHTS = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"), (84, 12, 3, 1)
_ACTIVE = 200  # of the newest runs


def fill(*, runs: int = RUNS, seed: int = SEED, say: Callable[[str], object] = print) -> None:
    """Fills the database of the settings at hand, a PostgreSQL server's. Raises SystemExit where it holds runs already."""
    from django.db import connection  # noqa: PLC0415  # the settings come from the command line

    from runs import models  # noqa: PLC0415

    if models.Run.objects.exists():
        sys.exit("The database holds runs already: name one that is empty.")
    began = time.perf_counter()
    chance = random.Random(seed)
    versions = _upload(chance)
    experiments = _experiments(chance)
    seconds = time.perf_counter() - began
    say(f"{len(set(versions))} versions of {PIPELINES} pipelines, {len(set(experiments))} experiments: {seconds:.0f} s")
    rows = _Rows(chance, runs, versions, experiments)
    tables = [
        (models.Run, rows.runs),
        (models.Task, rows.tasks),
        (models.Attempt, rows.attempts),
        (models.RunEvent, rows.events),
        (models.Order, rows.orders),
        (models.Artifact, rows.artifacts),
        (models.ArtifactUse, rows.uses),
        (models.CacheEntry, rows.cache_entries),
    ]
    with connection.cursor() as cursor, _bare(cursor, [model._meta.db_table for model, _ in tables], say):
        for model, source in tables:
            at = time.perf_counter()
            count = _copy(cursor, model, source())
            say(f"{model._meta.db_table}: {count:,} rows, {time.perf_counter() - at:.0f} s")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO runs_namespacecounter (namespace, last_number) VALUES ('', %s)", [runs])
        cursor.execute(
            "UPDATE runs_experiment AS e SET last_run_created_at = n.at FROM "
            "(SELECT experiment_key, max(created_at) AS at FROM runs_run GROUP BY 1) AS n WHERE n.experiment_key = e.id"
        )
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("SELECT pg_database_size(current_database())")
        size = cursor.fetchone()[0]
    say(f"{runs:,} runs with seed {seed}: {time.perf_counter() - began:.0f} s, {size / 2**30:.2f} GiB")


# --- what is uploaded -------------------------------------------------------------------------------------------------


def _upload(chance: random.Random) -> list[Any]:
    """The versions, the more used ones often: what one picks from it is spread as uses are."""
    from pipelines import services  # noqa: PLC0415
    from tests.bench.pipelines import scripts  # noqa: PLC0415

    found: list[Any] = []
    for number in range(PIPELINES):
        name = f"{chance.choice(('churn', 'fraud', 'forecast', 'images', 'ranking'))}-{number}"
        document = scripts(dict.fromkeys(STEPS, "true"), dict(itertools.pairwise(reversed(STEPS))))
        document["pipelineInfo"]["name"] = name
        data = json.dumps(document).encode()
        pipeline, version = services.upload_pipeline(data=data, file_name="p.json", name=name, tags={"team": "abcde"[number % 5]})
        found.append(version)
        for more in range(chance.randrange(4)):
            named = chance.choice(("nightly", "fix", "larger", "try")) + f"-{more + 2}"
            found.append(services.upload_version(pipeline=pipeline, data=data, file_name="p.json", name=named))
    return [version for version in found for _ in range(1 + int(chance.paretovariate(1.2)))]


def _experiments(chance: random.Random) -> list[Any]:
    from runs import models, services  # noqa: PLC0415

    first = datetime.now(UTC) - SPAN
    rows = [
        models.Experiment(
            id=_uuid(chance),
            name=f"exp-{number}",
            created_at=first + SPAN * (number / EXPERIMENTS),
            description="Try." * (number % 2),
        )
        for number in range(EXPERIMENTS - 1)
    ]
    models.Experiment.objects.bulk_create(rows)
    return [*([services.default_experiment()] * 60), *(row for row in rows for _ in range(1 + int(chance.paretovariate(1.0))))]


def _uuid(chance: random.Random) -> uuid.UUID:
    return uuid.UUID(int=chance.getrandbits(128), version=4)


# --- rows -------------------------------------------------------------------------------------------------------------


class _Rows:
    """The rows of every table as columns → values; what belongs to runs is made from a few facts that are kept of each."""

    def __init__(self, chance: random.Random, count: int, versions: Sequence[Any], experiments: Sequence[Any]) -> None:
        self.chance, self.count = chance, count
        self.versions, self.experiments = versions, experiments
        self.until = datetime.now(UTC).replace(microsecond=0)
        self.made: list[tuple[uuid.UUID, str, datetime, datetime | None, str]] = []  # id, state, begin, end, pipeline
        self.people = [f"{name}{number}" for number, name in zip(range(PEOPLE), itertools.cycle(("ada", "grace", "linus", "")))]

    def newest(self, share: float) -> list[tuple[uuid.UUID, str, datetime, datetime | None, str]]:
        return self.made[round(self.count * (1 - share)) :]

    def runs(self) -> Iterator[dict[str, Any]]:
        chance, needles = self.chance, {self.count // place if place < 7 else place for place in NEEDLES}
        for number in range(1, self.count + 1):
            at = self.until - SPAN + SPAN * (number / self.count) ** 0.5 - timedelta(seconds=chance.random() * 60)
            version, experiment = chance.choice(self.versions), chance.choice(self.experiments)
            inline, key = chance.random() < 0.15, _uuid(chance)
            state, end = self._end(number, at)
            name = version.pipeline.name
            tags = {"team": chance.choice("abcde"), "owner": chance.choice(self.people[:10])} if chance.random() < 0.6 else {}
            self.made.append((key, state, at, end, name))
            yield {
                "id": key,
                "number": number,
                "name": _name(chance, number, name, at),
                "resource_name": f"{name}-{chance.getrandbits(20):05x}",
                "description": f"What {name} says of week {at:%V}" if chance.random() < 0.2 else "",
                "experiment_id": experiment.pk,
                "experiment_key": experiment.pk,
                "specification_id": version.specification_id,
                "version_id": None if inline else version.pk,
                "version_key": None if inline else version.pk,
                "pipeline_key": None if inline else version.pipeline_id,
                "origin_id": chance.choice(self.made)[0] if self.made and chance.random() < 0.03 else None,
                "parameters": json.dumps({"rate": round(chance.random(), 3), "rows": chance.randrange(10**6)}),
                "arguments": '{"rate":0.1,"rows":1000}',
                "pipeline_root": f"minio://kfdash/v2/artifacts/{name}/{key}",
                "tags": json.dumps(tags | ({"needle": "yes"} if number in needles else {})),
                "storage_state": "ARCHIVED" if chance.random() < 0.1 and end else "AVAILABLE",
                "state": state,
                "state_history": json.dumps(
                    [
                        {"update_time": at.isoformat(), "state": "PENDING"},
                        {"update_time": at.isoformat(), "state": "RUNNING"},
                        *([{"update_time": end.isoformat(), "state": state}] if end else []),
                    ]
                ),
                "reason": "train failed: exit code 1" if state == "FAILED" else "",
                "event_number": 12,
                "created_at": at,
                "created_by": chance.choice(self.people),
                "scheduled_at": at,
                "started_at": at + timedelta(seconds=0.4),
                "finished_at": end,
            }

    def _end(self, number: int, at: datetime) -> tuple[str, datetime | None]:
        if number > self.count - _ACTIVE:
            return "RUNNING", None
        return self.chance.choices(_STATES, _WEIGHTS)[0], at + timedelta(seconds=1 + self.chance.expovariate(1 / 600))

    def _steps(self, share: float) -> Iterator[tuple[uuid.UUID, str, str, datetime, datetime | None]]:
        """Run, step, its state, its begin and end."""
        for key, state, at, end, _ in self.newest(share):
            piece = (end - at) / len(STEPS) if end else timedelta(minutes=1)
            for place, step in enumerate(STEPS):
                mine = {"FAILED": ("SUCCEEDED", "FAILED", "SKIPPED"), "RUNNING": ("SUCCEEDED", "RUNNING", "PENDING")}.get(
                    state, (state,) * 3
                )[place]
                yield key, step, mine, at + piece * place, at + piece * (place + 1) if mine not in ("RUNNING", "PENDING") else None

    def tasks(self) -> Iterator[dict[str, Any]]:
        for key, state, at, end, _ in self.newest(WITH_TASKS):
            yield {
                "run_id": key,
                "path": "root",
                "parent": "",
                "kind": "dag",
                "state": state,
                "children": 3,
                "ended": 3 if end else 1,
                "succeeded": 3 if state == "SUCCEEDED" else 1,
                "created_at": at,
                "ready_at": at,
                "started_at": at,
                "finished_at": end,
                "failed": int(state == "FAILED"),
                "attempt": 0,
            }
        for key, step, state, at, end in self._steps(WITH_TASKS):
            yield {
                "run_id": key,
                "path": f"root/{step}",
                "parent": "root",
                "kind": "container",
                "state": state,
                "attempt": 1,
                "inputs": '{"parameters":{},"artifacts":{}}',
                "outputs": '{"parameters":{"Output":1},"artifacts":{}}',
                "under_way": state == "RUNNING",
                "created_at": at,
                "ready_at": at,
                "started_at": at,
                "finished_at": end,
                "reason": "exit code 1" if state == "FAILED" else "",
                "fingerprint": hashlib.sha256(key.bytes).hexdigest(),
            }

    def attempts(self) -> Iterator[dict[str, Any]]:
        for key, step, state, at, end in self._steps(WITH_TASKS):
            if state not in ("PENDING", "SKIPPED"):
                yield {
                    "run_id": key,
                    "path": f"root/{step}",
                    "number": 1,
                    "name": f"{step}-{key.hex[:16]}-1",
                    "state": state,
                    "phase": "ended" if end else "running",
                    "queued_at": at,
                    "starting_at": at,
                    "running_at": at,
                    "finished_at": end,
                    "released": bool(end),
                    "exit_code": int(state == "FAILED") if end else None,
                }

    def events(self) -> Iterator[dict[str, Any]]:
        for key, state, at, end, _ in self.newest(WITH_EVENTS):
            yield {"run_id": key, "number": 1, "at": at, "kind": "run.running", "path": "root"}
            yield {"run_id": key, "number": 11, "at": end or at, "kind": f"run.{state.lower()}", "path": "root"}
        for place, (key, step, state, at, end) in enumerate(self._steps(WITH_EVENTS)):
            for more, kind in enumerate(("task.ready", "attempt.running", f"task.{state.lower()}")):
                number = 2 + (place % 3) * 3 + more
                yield {"run_id": key, "number": number, "at": end or at, "kind": kind, "path": f"root/{step}", "attempt": 1}

    def orders(self) -> Iterator[dict[str, Any]]:
        for key, step, state, at, _ in self._steps(WITH_EVENTS):
            if state not in ("PENDING", "SKIPPED"):
                yield {
                    "run_id": key,
                    "kind": "start",
                    "path": f"root/{step}",
                    "attempt": 1,
                    "task_kind": "container",
                    "due": at,
                    "tries": 1,
                    "carried_out_at": at,
                }

    def artifacts(self) -> Iterator[dict[str, Any]]:
        """Two of a run; their ids count from 1."""
        for key, _, at, end, name in self.newest(WITH_ARTIFACTS):
            for step, output, type_ in (("load", "dataset", "system.Dataset"), ("train", "model", "system.Model")):
                yield {
                    "run_id": key,
                    "path": f"root/{step}",
                    "name": output,
                    "type": type_,
                    "created_at": end or at,
                    "uri": f"minio://kfdash/v2/artifacts/{name}/{key}/{step}/{output}",
                    "metadata": '{"accuracy":0.9}' if step == "train" else "{}",
                    "looked_at": self.until,
                    "size": self.chance.randrange(10**7) if self.chance.random() < 0.9 else None,
                }

    def uses(self) -> Iterator[dict[str, Any]]:
        for place, (key, *_) in enumerate(self.newest(WITH_ARTIFACTS)):
            yield {"artifact_id": 2 * place + 1, "run_id": key, "path": "root/train", "name": "dataset"}

    def cache_entries(self) -> Iterator[dict[str, Any]]:
        first = len(self.newest(WITH_ARTIFACTS)) - len(self.newest(WITH_CACHE))
        for place, (key, state, _, end, name) in enumerate(self.newest(WITH_CACHE), first):
            for step, output, identifier in (("load", "dataset", 2 * place + 1), ("train", "model", 2 * place + 2)):
                if end and state == "SUCCEEDED":
                    hits = int(self.chance.paretovariate(1.0)) - 1
                    yield {
                        "pipeline_name": name,
                        "fingerprint": f"{self.chance.getrandbits(256):064x}",
                        "run_id": key,
                        "path": f"root/{step}",
                        "seconds": self.chance.expovariate(1 / 100),
                        "created_at": end,
                        "outputs": json.dumps({"parameters": {}, "artifacts": {output: [{"id": identifier}]}}),
                        "hits": hits,
                        "last_hit_at": end + timedelta(hours=hits) if hits else None,
                    }


def _name(chance: random.Random, number: int, pipeline: str, at: datetime) -> str:
    return (
        f"nightly-{number}",
        f"{pipeline} {at:%Y-%m-%d %H-%M-%S}",
        f"Train on day {at:%j}",
        f"Run of {pipeline} ({chance.getrandbits(20):05x})",
    )[chance.choices(range(4), (30, 25, 15, 30))[0]]


# --- COPY -------------------------------------------------------------------------------------------------------------


def _copy(cursor: Any, model: Any, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows, with the model's defaults in the columns that they leave out; how many there were."""
    fields = [field for field in model._meta.concrete_fields if field.get_internal_type() != "BigAutoField"]
    statement = f"COPY {model._meta.db_table} ({', '.join(field.column for field in fields)}) FROM STDIN"
    lines: dict[tuple[str, ...], str] = {}  # columns that a row gives → its line with places for them
    count, batch = 0, iter(rows)
    with cursor.connection.cursor() as raw, raw.copy(statement) as copy:
        while some := list(itertools.islice(batch, _ROWS_AT_ONCE)):
            for row in some:
                if tuple(row) not in lines:
                    lines[tuple(row)] = _line(fields, row)
            copy.write("".join([lines[tuple(row)] % {name: _text(value) for name, value in row.items()} for row in some]))
            count += len(some)
    return count


def _line(fields: Sequence[Any], row: Mapping[str, Any]) -> str:
    """A line of COPY with places for what a row gives, and defaults for the rest."""
    given = (f"%({field.column})s" if field.column in row else _text(_default(field)).replace("%", "%%") for field in fields)
    return "\t".join(given) + "\n"


def _default(field: Any) -> Any:
    value = field.get_default()
    return json.dumps(value) if field.get_internal_type() == "JSONField" and value is not None else value


def _text(value: Any) -> str:
    """A value as COPY reads it; none of ours has a character that it would read otherwise."""
    return value if value.__class__ is str else r"\N" if value is None else str(value)


@contextlib.contextmanager
def _bare(cursor: Any, tables: Sequence[str], say: Callable[[str], object]) -> Iterator[None]:
    """Takes foreign keys and indexes of tables away meanwhile, but for primary keys."""
    cursor.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid::regclass::text = ANY(%s) AND contype IN ('f', 'u') ORDER BY contype = 'f', conname",
        [list(tables)],
    )
    constraints = cursor.fetchall()
    cursor.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indrelid::regclass::text = ANY(%s) AND NOT indisprimary AND NOT EXISTS "
        "(SELECT FROM pg_constraint WHERE conindid = indexrelid)",
        [list(tables)],
    )
    indexes = cursor.fetchall()
    for table, name, _ in reversed(constraints):
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for name, _ in indexes:
        cursor.execute(f"DROP INDEX {name}")
    yield
    at = time.perf_counter()
    cursor.execute("SET maintenance_work_mem = '512MB'")
    for _, definition in indexes:
        cursor.execute(definition)
    for table, name, definition in constraints:
        cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    say(f"{len(indexes)} indexes and {len(constraints)} constraints: {time.perf_counter() - at:.0f} s")


def main() -> None:
    """Reads the command line, sets Django up with the database that it names, migrates and fills it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.million", description=__doc__)
    parser.add_argument("database", help="postgresql://user@host:port/name")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kfdash-million-") as folder:
        os.environ.update(
            KFDASH_DATABASE_URL=options.database,
            KFDASH_DATA_DIR=folder,
            KFDASH_SECRET_KEY="bench",
            DJANGO_SETTINGS_MODULE="kfdash.settings",
        )
        import django  # noqa: PLC0415  # reads the settings from the environment above

        django.setup()
        from unittest import mock  # noqa: PLC0415

        from django.core.management import call_command  # noqa: PLC0415

        from kfdash import outbox  # noqa: PLC0415

        call_command("migrate", verbosity=0, interactive=False)
        with mock.patch.object(outbox, "enqueue"):
            fill(runs=options.runs, seed=options.seed, say=lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
