"""Indexes of lists that tell the columns which people filter by, too, on PostgreSQL: rows that do not pass are never read."""

from django.db import migrations

from kfdash.migrating import IndexConcurrently, Statements

_INDEXES = {
    "run_name": ("(namespace, lower(name), id)", "INCLUDE (name, state, storage_state)", "INCLUDE (name)"),
    "run_states": ("(namespace, state, id)", "INCLUDE (storage_state, name)", ""),
    "run_storages": ("(namespace, storage_state, id)", "INCLUDE (state, name)", ""),
    "run_experiments": ("(namespace, experiment_key, id)", "INCLUDE (state, storage_state, name)", ""),
}


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("runs", "0008_lists"),
    ]

    operations = [
        *(
            IndexConcurrently(name, f"runs_run {on} {now}", before=f"runs_run {on} {before}")
            for name, (on, now, before) in _INDEXES.items()
        ),
        Statements(
            "ALTER INDEX run_name ALTER COLUMN 2 SET STATISTICS 1000; ANALYZE runs_run",
            "ALTER INDEX run_name ALTER COLUMN 2 SET STATISTICS 1000; ANALYZE runs_run",
        ),
    ]
