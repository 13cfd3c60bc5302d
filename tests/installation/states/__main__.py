"""Makes the SQL of a migration state."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

from tests.faults import stack
from tests.installation.states import ENDED, FOLDER, UNDER_WAY, newest_migration
from tests.running import Installation, wait_for


def main() -> None:
    """Lets an installation begin, kills it in the middle of a run, and writes its database down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--back-to", default="", metavar="NAME", help="a migration of runs, such as 0001_initial")
    back_to = parser.parse_args().back_to
    with tempfile.TemporaryDirectory(prefix="kfdash-state-") as folder:
        with Installation(pathlib.Path(folder) / "data") as installation:
            fill(installation)
            stack.kill(installation)
            assert installation.process
            installation.process.wait()
        database = installation.folder / "kfdash.sqlite3"
        if back_to:
            command = [sys.executable, "-m", "kfdash.cli", "manage", "migrate", "runs", back_to, "--verbosity", "0"]
            environment = {**installation.environment, "KFDASH_DATA_DIR": str(installation.folder)}
            subprocess.run(command, check=True, env=environment)
        with contextlib.closing(sqlite3.connect(database)) as connection:
            text = "\n".join(connection.iterdump())
    target = FOLDER / f"{back_to or newest_migration()}.sql"
    target.write_text(text + "\n")
    print(f"{target}: {len(text) // 1024} KiB")


def fill(installation: Installation) -> None:
    """A run that has ended, and one of which one step has ended and the next one runs."""
    ended = launch(installation, ENDED, 0)
    assert stack.end(installation, ended) == "SUCCEEDED"
    under_way = launch(installation, UNDER_WAY, 3)
    assert wait_for(lambda: stack.runs(installation, under_way, "root/two"), 30), installation.said()


def launch(installation: Installation, name: str, seconds: int) -> str:
    """A chain of three, the second of which takes so many seconds."""
    scripts = {"one": "echo one", "two": f"echo two; sleep {seconds}", "three": "echo three"}
    tasks = {"one": stack.task("one"), "two": stack.task("two", ("one",)), "three": stack.task("three", ("two",))}
    body = {"display_name": name, "pipeline_spec": stack.pipeline(tasks, scripts)}
    return str(stack.call(installation, "/apis/v2beta1/runs", body)["run_id"])


if __name__ == "__main__":
    main()
