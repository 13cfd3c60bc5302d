"""Lists of a million rows on PostgreSQL: counters by triggers, an index for each order that is offered, parts of texts.

Each part may be made again where a later one failed, and runs are written meanwhile. Where an index ends with INCLUDE,
counting reads it alone.
"""

from dataclasses import dataclass

from django.db import migrations

from kfdash.migrating import IndexConcurrently, Statements, Trigrams


@dataclass(frozen=True)
class Counted:
    """A table, where its rows are counted, by what (`of` → columns), and what else is summed (column → expression on a row)."""

    table: str
    tally: str
    of: dict[str, tuple[str, ...]]
    sums: dict[str, str]
    summed: tuple[str, ...] = ()  # the columns in those expressions

    @property
    def columns(self):
        return list(dict.fromkeys(column for columns in self.of.values() for column in columns))

    def insert(self, signs):
        """Adds what a statement changed; `signs` has a sign for each of the tables of old and new rows."""
        names = ", ".join(["count", *self.sums])
        summed = ", ".join(f"sum({name})" for name in ["count", *self.sums])
        having = " OR ".join(f"sum({name}) <> 0" for name in ["count", *self.sums])
        rows = " UNION ALL ".join(
            f"SELECT namespace, {', '.join(self.columns)}, {sign}1 AS count"
            + "".join(f", {sign}({expression}) AS {name}" for name, expression in self.sums.items())
            + f" FROM {source}"
            for source, sign in signs.items()
        )
        return "\n".join(
            f"INSERT INTO {self.tally} (of, namespace, {', '.join(self.columns)}, {names}) "
            f"SELECT '{of}', namespace, {', '.join(self._value(column, columns) for column in self.columns)}, {summed} "
            f"FROM ({rows}) AS changed GROUP BY namespace, {', '.join(columns)} HAVING {having};"
            for of, columns in self.of.items()
        )

    def _value(self, column, told_apart):
        return column if column in told_apart else "NULL::uuid" if column.endswith("_key") else "''"

    def made(self):
        """The functions and the triggers that call them; what is there already is counted while nobody writes."""
        name = f"{self.table}_count"
        changed = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in [*self.columns, *self.summed])
        return f"""
LOCK TABLE {self.table} IN SHARE ROW EXCLUSIVE MODE;
{self.without()}
DELETE FROM {self.tally};
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    {self.insert({"new_rows": ""})}
  ELSIF TG_OP = 'DELETE' THEN
    {self.insert({"old_rows": "-"})}
  ELSE
    DELETE FROM {self.tally};
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION {name}_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  {self.insert({"(SELECT NEW.*) AS new_row": "", "(SELECT OLD.*) AS old_row": "-"})}
  RETURN NULL;
END $$;
CREATE TRIGGER {name}_insert AFTER INSERT ON {self.table}
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {name}();
CREATE TRIGGER {name}_delete AFTER DELETE ON {self.table}
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION {name}();
CREATE TRIGGER {name}_truncate AFTER TRUNCATE ON {self.table} FOR EACH STATEMENT EXECUTE FUNCTION {name}();
CREATE TRIGGER {name}_update AFTER UPDATE ON {self.table} FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION {name}_change();
{self.insert({self.table: ""})}
ANALYZE {self.tally};
"""

    def without(self):
        name = f"{self.table}_count"
        triggers = "".join(
            f"DROP TRIGGER IF EXISTS {name}_{when} ON {self.table};" for when in ("insert", "delete", "truncate", "update")
        )
        return f"{triggers} DROP FUNCTION IF EXISTS {name}(); DROP FUNCTION IF EXISTS {name}_change();"


_COUNTED = (
    Counted(
        "runs_run",
        "runs_runtally",
        {
            "experiment": ("experiment_key", "state", "storage_state"),
            "pipeline": ("pipeline_key", "state", "storage_state"),
            "person": ("created_by",),
        },
        {},
    ),
    Counted("runs_artifact", "runs_artifacttally", {"type": ("type",), "name": ("name",)}, {}),
    Counted(
        "runs_cacheentry",
        "runs_cachetally",
        {"pipeline": ("pipeline_name",)},
        {"hits": "hits", "saved": "hits * seconds"},
        ("hits", "seconds"),
    ),
)

_NEVER = "'1970-01-01 00:00:00+00:00'::timestamptz"
_NOBODY = "'00000000-0000-0000-0000-000000000000'::uuid"
_PARTS = "gin_trgm_ops"

_RUNS = {
    "run_finished": f"(namespace, COALESCE(finished_at, {_NEVER}), id) INCLUDE (finished_at)",
    "run_scheduled": f"(namespace, COALESCE(scheduled_at, {_NEVER}), id) INCLUDE (scheduled_at)",
    "run_states": "(namespace, state, id)",
    "run_storages": "(namespace, storage_state, id)",
    "run_experiments": "(namespace, experiment_key, id)",
    "run_pipelines": f"(namespace, COALESCE(pipeline_key, {_NOBODY}), id) INCLUDE (pipeline_key)",
    "run_origins": f"(namespace, COALESCE(origin_id, {_NOBODY}), id) INCLUDE (origin_id)",
    "run_descriptions": '(namespace, lower("left"(description, 200)), id)',
    "run_person_newest": "(namespace, created_by, created_at DESC, id DESC)",
    "run_took": "((EXTRACT(EPOCH FROM (finished_at - started_at))))",
}
_ARTIFACTS = {
    "artifact_runs": f"(namespace, COALESCE(run_id, {_NOBODY}), id) INCLUDE (run_id)",
    "artifact_names": '(namespace, lower("left"(name, 200)), id)',
    "artifact_types": "(namespace, lower(type), id) INCLUDE (type)",
    "artifact_paths": '(namespace, lower("left"(path, 200)), id)',
    "artifact_uris": '(namespace, lower("left"(uri, 200)), id)',
}
_CACHE = {
    "cache_pipelines": "(namespace, lower(pipeline_name), id) INCLUDE (pipeline_name)",
    "cache_fingerprints": "(namespace, lower(fingerprint), id) INCLUDE (fingerprint)",
    "cache_runs": "(namespace, run_id, id)",
    "cache_paths": '(namespace, lower("left"(path, 200)), id)',
    "cache_hits": "(namespace, hits, id)",
    "cache_last_hits": f"(namespace, COALESCE(last_hit_at, {_NEVER}), id) INCLUDE (last_hit_at)",
}
_GIN = {
    "run_tags": "runs_run USING gin (tags) WITH (fastupdate = off)",
}
_TRIGRAMS = {
    "run_name_parts": f"runs_run USING gin (lower(name) {_PARTS}) WITH (fastupdate = off)",
    "run_description_parts": f"runs_run USING gin (lower(description) {_PARTS}) WHERE description <> ''",
    "artifact_parts": f"runs_artifact USING gin (lower(name) {_PARTS}, lower(path) {_PARTS}, lower(uri) {_PARTS})",
    "cache_parts": f"runs_cacheentry USING gin (lower(pipeline_name) {_PARTS}, lower(path) {_PARTS})",
}
_TABLES = {"runs_run": _RUNS, "runs_artifact": _ARTIFACTS, "runs_cacheentry": _CACHE}


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("runs", "0007_tallies"),
    ]

    operations = [
        *(Statements(counted.made(), counted.without()) for counted in _COUNTED),
        Trigrams(),
        IndexConcurrently(
            "run_name",
            "runs_run (namespace, lower(name), id) INCLUDE (name)",
            before="runs_run (namespace, lower(name), id)",
        ),
        IndexConcurrently(  # what filters look at: the newest, or oldest, that pass are found in it alone
            "run_newest",
            "runs_run (namespace, created_at DESC, id DESC) INCLUDE "
            "(state, storage_state, finished_at, scheduled_at, number, experiment_key, pipeline_key, name)",
            before="runs_run (namespace, created_at DESC, id DESC)",
        ),
        IndexConcurrently(
            "run_storage_newest",
            "runs_run (namespace, storage_state, created_at DESC, id DESC) INCLUDE (state)",
            before="runs_run (namespace, storage_state, created_at DESC, id DESC)",
        ),
        *(IndexConcurrently(name, f"{table} {on}") for table, indexes in _TABLES.items() for name, on in indexes.items()),
        *(IndexConcurrently(name, on) for name, on in _GIN.items()),
        *(IndexConcurrently(name, on, trigrams=True) for name, on in _TRIGRAMS.items()),
        Statements("ALTER INDEX run_name ALTER COLUMN 2 SET STATISTICS 1000"),  # how many names have a part is guessed from them
        # Counting by an index alone wants pages that are known to be visible to all: they are looked over more often.
        *(
            Statements(
                f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02)",
                f"ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor)",
            )
            for table in _TABLES
        ),
        *(Statements(f"ANALYZE {table}") for table in _TABLES),
    ]
