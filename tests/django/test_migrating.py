"""Migrations on PostgreSQL that many rows may meet: there and back, and again after having failed half-way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection

from runs import models, tallying
from tests.django.documents import chain
from tests.django.driving import launched

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sent"),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite gets none of these"),
]


def _migrate(name: str, **options: bool) -> None:
    call_command("migrate", "runs", name, verbosity=0, interactive=False, **options)


def _indexes() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'runs\\_%'")
        return dict(cursor.fetchall())


def _numbers() -> dict[str, int]:
    """Which index is which, by name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, oid FROM pg_class WHERE relkind = 'i' AND relname LIKE 'run\\_%'")
        return dict(cursor.fetchall())


@pytest.fixture
def newest() -> Iterator[str]:
    """The last migration, to which the database is brought back whatever happens."""
    yield "0010"
    call_command("migrate", verbosity=0, interactive=False)


def test_indexes_and_counters_of_lists_go_and_come_back(newest: str) -> None:
    run = launched(chain(1))
    before = _indexes()
    _migrate("0007")
    without = _indexes()
    assert "run_took" not in without and "include" not in without["run_newest"].lower()
    models.Run.objects.filter(pk=run.pk).update(state="FAILED")
    _migrate(newest)
    assert _indexes() == before
    assert tallying.counted_values(models.RunTally, "experiment", "state") == [("FAILED", 1)]


def test_a_migration_that_broke_off_is_carried_out_again(newest: str) -> None:
    launched(chain(1))
    before = _indexes()
    kept = _numbers()["run_newest"]
    with connection.cursor() as cursor:  # what is left where making an index was interrupted
        cursor.execute("CREATE INDEX run_took_new ON runs_run (id)")
        cursor.execute("DROP INDEX run_took")
    _migrate("0007", fake=True)
    _migrate(newest)
    assert _indexes() == before and _numbers()["run_newest"] == kept, "what was made already stays"
    assert [count for _, count in tallying.counted_values(models.RunTally, "person", "created_by") or ()] == [1]


def test_without_the_extension_for_parts_of_texts_the_rest_is_made_and_searches_work(
    newest: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _migrate("0007")
    with connection.cursor() as cursor:
        cursor.execute("DROP EXTENSION pg_trgm CASCADE")
    forbidden = "CREATE EXTENSION IF NOT EXISTS there_is_none"
    execute = type(connection.schema_editor()).execute
    monkeypatch.setattr(
        type(connection.schema_editor()),
        "execute",
        lambda self, sql, *args, **named: execute(self, forbidden if "EXTENSION" in str(sql) else sql, *args, **named),
    )
    _migrate(newest)
    assert "searches in names will be slower" in capsys.readouterr().out
    assert "run_took" in _indexes() and "run_name_parts" not in _indexes()
    run = launched(chain(1), name="Nightly")
    assert models.Run.objects.filter(pk=run.pk, name__icontains="nightly").exists()
    monkeypatch.undo()
    _migrate("0007")
