"""How the URL of a database is read, and that one whose machine is gone without a word counts as away soon."""

from __future__ import annotations

import pathlib
import socket
import tempfile
import time

import pytest

from kfdash.settings import _database
from tests.servers import NoServer, postgresql

psycopg = pytest.importorskip("psycopg")


def test_what_stands_behind_the_question_mark_are_parameters_and_names_may_be_escaped() -> None:
    found = _database("postgresql://a%40b:x%2Fy@db:5432/kfdash?sslmode=require&connect_timeout=9")
    assert (found["USER"], found["PASSWORD"], found["NAME"]) == ("a@b", "x/y", "kfdash")
    options = found["OPTIONS"]
    assert isinstance(options, dict) and options["sslmode"] == "require" and options["connect_timeout"] == "9"
    assert options["tcp_user_timeout"] <= 30_000


def test_a_server_that_says_nothing_is_not_waited_for_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        found = _database(f"postgresql://kfdash@127.0.0.1:{mute.getsockname()[1]}/kfdash")
        assert isinstance(found["OPTIONS"], dict) and found["OPTIONS"]["connect_timeout"] <= 5
        began = time.monotonic()
        options = {**found["OPTIONS"], "connect_timeout": 2, "options": ""}
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host="127.0.0.1", port=found["PORT"], user="kfdash", dbname="kfdash", **options)
        assert time.monotonic() - began < 10


def test_the_server_lets_go_of_a_client_whose_machine_is_gone_and_so_of_the_run_that_it_had_locked() -> None:
    with tempfile.TemporaryDirectory(prefix="kfdash-test-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # the database's user must be able to enter
        try:
            with postgresql(folder, "fsync=off") as server:
                options = _database(server.url)["OPTIONS"]
                assert isinstance(options, dict)
                with psycopg.connect(server.url, **options) as connection:
                    shown = dict(connection.execute("SELECT name, setting::int FROM pg_settings WHERE name LIKE 'tcp%'").fetchall())
        except NoServer as error:
            pytest.skip(str(error))
    idle = shown["tcp_keepalives_idle"] + shown["tcp_keepalives_interval"] * shown["tcp_keepalives_count"]
    assert idle <= 30, "seconds of a transaction that waits for its next statement"
    assert 10_000 < shown["tcp_user_timeout"] <= 30_000, "milliseconds of an answer that nobody takes"
