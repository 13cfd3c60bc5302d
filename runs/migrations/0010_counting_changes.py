"""Counting a changed row adds two rows to each counter that it moves between, and asks nothing: many are archived at once."""

from django.db import migrations

from kfdash.migrating import Statements

_RUN_COLUMNS = ("experiment_key", "pipeline_key", "created_by", "state", "storage_state")
_ARTIFACT_COLUMNS = ("type", "name")


def _moved(tally, of, told_apart, columns):
    """Where one of the columns that are told apart has changed: one less of the old values, one more of the new ones."""

    def values(row, count):
        given = (f"{row}.{name}" if name in told_apart else "NULL" if name.endswith("_key") else "''" for name in columns)
        return f"('{of}', {row}.namespace, {', '.join(given)}, {count})"

    old, new = (", ".join(f"{row}.{name}" for name in ("namespace", *told_apart)) for row in ("OLD", "NEW"))
    return f"""
  IF ({old}) IS DISTINCT FROM ({new}) THEN
    INSERT INTO {tally} (of, namespace, {", ".join(columns)}, count) VALUES {values("OLD", -1)}, {values("NEW", 1)};
  END IF;"""


def _function(table, body):
    return f"""
CREATE OR REPLACE FUNCTION {table}_count_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN{body}
  RETURN NULL;
END $$;"""


_RUNS = (
    ("experiment", ("experiment_key", "state", "storage_state")),
    ("pipeline", ("pipeline_key", "state", "storage_state")),
    ("person", ("created_by",)),
)
_CACHE = """
  IF (OLD.namespace, OLD.pipeline_name) IS DISTINCT FROM (NEW.namespace, NEW.pipeline_name) THEN
    INSERT INTO runs_cachetally (of, namespace, pipeline_name, count, hits, saved) VALUES
      ('pipeline', OLD.namespace, OLD.pipeline_name, -1, -OLD.hits, -OLD.hits * OLD.seconds),
      ('pipeline', NEW.namespace, NEW.pipeline_name, 1, NEW.hits, NEW.hits * NEW.seconds);
  ELSE
    INSERT INTO runs_cachetally (of, namespace, pipeline_name, count, hits, saved) VALUES
      ('pipeline', NEW.namespace, NEW.pipeline_name, 0, NEW.hits - OLD.hits, NEW.hits * NEW.seconds - OLD.hits * OLD.seconds);
  END IF;"""


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0009_lists_covered"),
    ]

    operations = [
        Statements(
            _function("runs_run", "".join(_moved("runs_runtally", of, told_apart, _RUN_COLUMNS) for of, told_apart in _RUNS))
            + _function(
                "runs_artifact",
                "".join(_moved("runs_artifacttally", of, (of,), _ARTIFACT_COLUMNS) for of in _ARTIFACT_COLUMNS),
            )
            + _function("runs_cacheentry", _CACHE)
        ),
    ]
