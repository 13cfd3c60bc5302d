"""Single parts as commands: what they wait for, what they refuse, how they end; migrations that are started twice at once."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from tests.running import wait_for

COMMAND = (sys.executable, "-P", "-m", "kfdash.cli")


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database on the PostgreSQL server of tests."""
    server, name = os.environ.get("KFDASH_TEST_DATABASE_URL", ""), f"alone_{uuid.uuid4().hex[:8]}"
    if not server:
        pytest.skip("KFDASH_TEST_DATABASE_URL names no PostgreSQL server.")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{server.rpartition('/')[0]}/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def environment(folder: pathlib.Path, **more: str) -> dict[str, str]:
    """What a part is told, with a Redis that is not there."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("KFDASH_", "DJANGO_"))}
    return {**own, "KFDASH_DATA_DIR": str(folder / "data"), "KFDASH_REDIS_URL": "redis://127.0.0.1:9/0", **more}


@pytest.mark.postgresql
def test_migrations_that_are_started_twice_at_once_are_applied_once(database: str, tmp_path: pathlib.Path) -> None:
    told = environment(tmp_path, KFDASH_DATABASE_URL=database)
    both = [subprocess.Popen([*COMMAND, "migrate"], env=told, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=120)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM django_migrations").fetchone()[0] > 20


@pytest.mark.postgresql
def test_a_migration_that_fails_says_what_to_do_and_is_finished_by_the_next(database: str, tmp_path: pathlib.Path) -> None:
    told = environment(tmp_path, KFDASH_DATABASE_URL=database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE runs_lease (held integer)")
        failed = subprocess.run([*COMMAND, "migrate"], env=told, capture_output=True, text=True, timeout=120)
        assert failed.returncode == 1 and "Traceback" not in failed.stderr
        assert "runs.0005_lease failed" in failed.stderr and "already exists" in failed.stderr and "migrate again" in failed.stderr
        connection.execute("DROP TABLE runs_lease")
    holder = psycopg.connect(database)  # somebody looks at runs, and does not let go
    holder.execute("SELECT count(*) FROM runs_run")
    with (tmp_path / "said").open("w") as output:
        going_on = subprocess.Popen([*COMMAND, "migrate"], env=told, stdout=output, stderr=output)
    said = (tmp_path / "said").read_text
    assert wait_for(lambda: "lock that others hold" in said(), 60), said()
    assert f"pg_terminate_backend({holder.info.backend_pid})" in said()
    holder.close()
    assert going_on.wait(60) == 0, said()
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM django_migrations WHERE app = 'runs'").fetchone()[0] >= 6


def test_a_part_waits_for_its_database_says_so_and_ends_when_it_is_told(tmp_path: pathlib.Path) -> None:
    said = tmp_path / "said"
    told = environment(tmp_path, KFDASH_DATABASE_URL="postgresql://kfdash@127.0.0.1:9/none", KFDASH_EXECUTOR="fake")
    with said.open("wb") as output:
        part = subprocess.Popen([*COMMAND, "worker"], env=told, stdout=output, stderr=output)
    try:
        assert wait_for(lambda: "waiting: The database does not answer" in said.read_text(), 60), said.read_text()
        part.send_signal(signal.SIGTERM)
        assert part.wait(10) == 0
        assert "Traceback" not in said.read_text()
    finally:
        part.kill()


def test_a_part_that_cannot_be_says_why(tmp_path: pathlib.Path) -> None:
    told = environment(tmp_path, KFDASH_EXECUTOR="local")
    done = subprocess.run([*COMMAND, "worker"], env=told, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "kfdash up" in done.stderr and "Traceback" not in done.stderr
