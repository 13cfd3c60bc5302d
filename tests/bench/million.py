"""A database as two busy years leave it: `python -m tests.bench.million postgresql://user@host/name [--runs N] [--seed N]`.

The same seed gives the same rows but for the ids of what is uploaded, their times counted back from now. The database is
migrated first and must hold no runs.
Pipelines and versions are uploaded as a user would; the rest goes in by COPY while constraints and indexes are away, so that
a million runs with what belongs to them take minutes. Steps, attempts, events and orders are those of the newest runs alone.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.bench.million_rows import SPAN, STEPS, Rows, random_id

RUNS, SEED = 1_000_000, 7
PIPELINES, EXPERIMENTS = 200, 300
_ROWS_AT_ONCE = 5000


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
    rows = Rows(chance, runs, versions, experiments)
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
            id=random_id(chance),
            name=f"exp-{number}",
            created_at=first + SPAN * (number / EXPERIMENTS),
            description="Try." * (number % 2),
        )
        for number in range(EXPERIMENTS - 1)
    ]
    models.Experiment.objects.bulk_create(rows)
    return [*([services.default_experiment()] * 60), *(row for row in rows for _ in range(1 + int(chance.paretovariate(1.0))))]


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
