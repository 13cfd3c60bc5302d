"""A PostgreSQL and a Redis that tests take away, bring back and fill, and an installation on them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
from collections.abc import Iterator

import psycopg
import pytest
import redis

from tests.faults.disk import NoDisk, mounted
from tests.running import Installation, born, wait_for
from tests.servers import NoServer, Server, postgresql, redis_server

ROOM = 150  # MiB of the disk that the database is on; its write-ahead log is elsewhere
DATABASE = "kfdash"


class Database:
    """The server as an operator has it in hand. Its database lies on a small disk of its own where one can be mounted."""

    def __init__(self, server: Server, disk: pathlib.Path | None) -> None:
        self.server, self.disk = server, disk
        self._command = pathlib.Path(f"/proc/{server.pid}/cmdline").read_text().split("\0")[:-1]
        self._folder = pathlib.Path(self._command[self._command.index("-D") + 1])
        place = ""
        if disk is not None:
            os.chown(disk, self._folder.stat().st_uid, self._folder.stat().st_gid)
            self.tell(f"CREATE TABLESPACE small LOCATION '{disk}'")
            place = "TABLESPACE small"
        self.tell(f"CREATE DATABASE {DATABASE} {place}")
        self.url = f"{server.url.rpartition('/')[0]}/{DATABASE}"

    def tell(self, statement: str) -> None:
        """One statement, to the server's own database."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def read_only(self, whether: bool) -> None:
        """From now on nobody may change anything, as in a server that is not (or no more) the first of several."""
        self.tell(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if whether else 'off'}")
        self.tell("SELECT pg_reload_conf()")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends it and all connections: SIGINT in order, SIGQUIT at once."""
        pid = int((self._folder / "postmaster.pid").read_text().split()[0])
        os.kill(pid, how)
        assert wait_for(lambda: not born(pid), 20)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """All its processes stand still meanwhile: it takes connections and answers nobody."""
        first = int((self._folder / "postmaster.pid").read_text().split()[0])
        text = pathlib.Path(f"/proc/{first}/task/{first}/children").read_text()
        stopped = [first, *map(int, text.split())]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def start(self) -> None:
        """Starts it again as it was, and waits until it answers."""
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        log = (self._folder.parent / "log").open("ab")
        subprocess.Popen([*as_postgres, *self._command], stdout=log, stderr=log, cwd=self._folder, start_new_session=True)
        log.close()
        assert wait_for(self._listens, 30), (self._folder.parent / "log").read_text()

    def be_there(self) -> None:
        """Starts it where a test left it away."""
        if not self._listens():
            self.start()

    def _listens(self) -> bool:
        with contextlib.suppress(psycopg.Error), psycopg.connect(self.server.url, connect_timeout=2):
            return True
        return False


class Broker:
    """The Redis, as an operator has it in hand; it keeps nothing on disk."""

    def __init__(self, server: Server) -> None:
        self.url = server.url
        self._pid = server.pid
        self._command = pathlib.Path(f"/proc/{server.pid}/cmdline").read_text()
        self._again: list[subprocess.Popen[bytes]] = []
        self._port = server.url.rpartition(":")[2].partition("/")[0]

    def kill(self) -> None:
        """Ends it with all that it holds."""
        if self._again:
            self._again[-1].kill()
            self._again.pop().wait()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def start(self) -> None:
        """Starts it again, empty."""
        command = ["redis-server", "--port", self._port, "--bind", "127.0.0.1", "--save", ""]
        self._again.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

        def answers() -> bool:
            with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(self.url) as probe:
                return bool(probe.ping())
            return False

        assert wait_for(answers, 10)


class Standing:
    """An installation, and what it stands on."""

    def __init__(self, installation: Installation, database: Database, broker: Broker) -> None:
        self.installation, self.database, self.broker = installation, database, broker


@contextlib.contextmanager
def standing(**environment: str) -> Iterator[Standing]:
    """`kfdash up` on servers that it did not start. Skips where there are none."""
    with (
        tempfile.TemporaryDirectory(prefix="kfdash-test-", ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as all_of_it,
    ):
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # the database's user must be able to enter
        try:
            server = all_of_it.enter_context(postgresql(folder, "fsync=off"))
            redis_there = all_of_it.enter_context(redis_server(folder))
        except NoServer as error:
            pytest.skip(str(error))
        disk = None
        with contextlib.suppress(NoDisk):
            disk = all_of_it.enter_context(mounted(folder / "disk", ROOM))
        database, broker = Database(server, disk), Broker(redis_there)
        all_of_it.callback(broker.kill)
        all_of_it.callback(database.be_there)
        told = {"KFDASH_DATABASE_URL": database.url, "KFDASH_REDIS_URL": broker.url, "KFDASH_STOP_GRACE": "1", **environment}
        installation = all_of_it.enter_context(Installation(folder / "data", **told))
        yield Standing(installation, database, broker)
