"""What must hold before anything is started: folders, the lock on them, the address, the database's tables."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import ipaddress
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connection, connections
from django.db.migrations.executor import MigrationExecutor

from kfdash import callback, doctor, processes
from kfdash.words import duration

_MIGRATING = 0x6B66646173680001  # the number of PostgreSQL's advisory lock
_LOCKS_WITHIN = 3  # seconds that a statement of a migration waits for a lock: meanwhile whoever comes after it waits, too
_TRY_FOR = 600.0  # seconds for which a migration that does not get its locks is tried again
_PAUSE = 2.0  # seconds that others get in between
_NO_LOCK = "55P03"  # PostgreSQL's code for a lock that was not had in time
_WAIT_FOR_REMAINS = 30.0  # seconds: the host of steps may need fifteen to end them, on a busy machine longer


class CannotStart(Exception):
    """Why the installation cannot be started, as a sentence for people."""


def check() -> None:
    """Raises CannotStart for the first thing that is missing and needed, and prints the other remarks."""
    checks = (
        doctor.data_folder,
        doctor.disk_space,
        doctor.runtime_folder,
        doctor.redis_server,
        doctor.stores,
        doctor.executor,
        doctor.graphviz,
        doctor.uv,
    )
    for found in (one() for one in checks):
        if not found.ok and found.needed:
            raise CannotStart(found.sentence)
        if not found.ok:
            print(f"note: {found.sentence}", flush=True)


def check_address(host: str) -> None:
    """Raises CannotStart for an address that others reach where nobody says who may come in (KFDASH_AUTH)."""
    if settings.AUTH or host == "localhost":
        return
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    raise CannotStart(
        f"{host} can be reached from other machines, and KFDASH_AUTH does not say who may come in. Set it to accounts, oidc or "
        "proxy (docs/access.md), or leave --host out: on loopback nobody logs in."
    )


def listen(host: str, port: int, *, setting: str = "--port") -> socket.socket:
    """A listening socket; `setting` is what chooses the port. Raises CannotStart where it is taken or the address is not ours."""
    if not 0 <= port <= 65535:
        raise CannotStart(f"{port} is no port; ports go from 1 to 65535, and 0 takes any that is free.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sentence = f"Port {port} of {host} is taken by another program. Choose another with {setting} (0 takes any)."
        elif error.errno == errno.EACCES:
            sentence = f"Port {port} may not be opened by this user. Choose one above 1023 with {setting}."
        else:
            sentence = f"{host}:{port} cannot be listened on: {error.strerror}."
        raise CannotStart(sentence) from None
    return listening


def listen_for_launchers() -> socket.socket:
    """The listening socket for what pods tell; from now on KFDASH_LAUNCHER_URL says where they reach it. Raises CannotStart."""
    host, port = launcher_bind()
    listening = listen(host, port, setting="KFDASH_LAUNCHER_BIND")
    port = listening.getsockname()[1]
    if settings.PODS_CALL:
        _tell_launcher_url(host, port)
    elif not settings.INTAKE_URL:
        settings.INTAKE_URL = os.environ["KFDASH_INTAKE_URL"] = f"http://127.0.0.1:{port}"
    return listening


def launcher_bind() -> tuple[str, int]:
    """Address and port of KFDASH_LAUNCHER_BIND; port 0 takes any. Raises CannotStart for what is none."""
    host, colon, port = settings.LAUNCHER_BIND.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise CannotStart(f"KFDASH_LAUNCHER_BIND is {settings.LAUNCHER_BIND!r}; it must be an address and a port: 0.0.0.0:8001.")
    return host.strip("[]") or "0.0.0.0", int(port)


def find_launcher_url() -> bool:
    """Where pods reach the installation that listens already; False where its port is not known. Raises CannotStart."""
    host, port = launcher_bind()
    if port:
        _tell_launcher_url(host, port)
    return bool(settings.LAUNCHER_URL)


def _tell_launcher_url(host: str, port: int) -> None:
    if not settings.LAUNCHER_URL:
        settings.LAUNCHER_URL = os.environ["KFDASH_LAUNCHER_URL"] = _launcher_url(host, port)


def _launcher_url(host: str, port: int) -> str:
    """Where pods reach this machine: what it is bound to, else its address on the way to the cluster."""
    if host in ("0.0.0.0", "::"):
        host = callback.address_towards(callback.api_server(settings.KUBECONFIG, settings.KUBE_CONTEXT))
    if not host:
        raise CannotStart(
            "It is not known at which address pods reach this machine, for it has no route to anywhere. "
            "Say it with KFDASH_LAUNCHER_URL, such as http://192.0.2.7:8001."
        )
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Lock:
    """The lock on a data folder. Whatever holds `descriptor` open, a child that outlives us too, keeps it."""

    def __init__(self) -> None:
        """Takes it, or raises CannotStart with the one who has it."""
        self.path = settings.DATA_DIR / "lock"
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _WAIT_FOR_REMAINS
        while not self._take():
            holder = self._read()
            if processes.lives(holder.get("pid")) or time.monotonic() > deadline:
                raise CannotStart(self._sentence(holder))
            time.sleep(0.05)
        self.tell()

    def tell(self, **more: Any) -> None:
        """Writes down who holds it: our pid, and what else is given (`address`, pids of `parts`)."""
        text = json.dumps({"pid": os.getpid(), **more}).encode()
        os.pwrite(self.descriptor, text.ljust(os.fstat(self.descriptor).st_size), 0)  # at once: whoever reads sees it whole

    def _take(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(os.pread(self.descriptor, 65536, 0)))
        except ValueError:
            return {}

    def _sentence(self, holder: dict[str, Any]) -> str:
        if not processes.lives(holder.get("pid")):
            return f"Parts of a kfdash that was ended are still running on {settings.DATA_DIR}. Try again in a moment."
        where = f" at {holder['address']}" if "address" in holder else ""
        return (
            f"kfdash already runs on {settings.DATA_DIR}{where} (process {holder['pid']}). "
            "Stop that one first, or choose another folder with --data-dir."
        )


def migrate() -> None:
    """Brings the database's tables to this version; costs some milliseconds where they are. Raises CannotStart.

    Where several are started at once, one does it and the others wait.
    """
    told = io.StringIO()
    try:
        if _waiting():
            with _one_at_a_time():
                _apply(told)
    except DatabaseError as error:
        reason = str(error).strip()
        raise CannotStart(_failed(told, reason) or f"The database cannot be used: {reason}") from None
    except Exception as error:
        raise CannotStart(_failed(told, str(error)) or f"The tables cannot be brought up to date: {error!r}") from error
    finally:
        connections.close_all()


def _apply(told: io.StringIO) -> None:
    """Applies what waits. Where others hold locks that it needs it lets them go on, and tries again. Raises DatabaseError."""
    until = time.monotonic() + _TRY_FOR
    while _waiting():
        if connection.vendor == "postgresql":
            _ask(f"SET lock_timeout = '{_LOCKS_WITHIN}s'")
        try:
            call_command("migrate", interactive=False, verbosity=1, no_color=True, stdout=told)
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != _NO_LOCK or time.monotonic() > until:
                raise
            print(
                f"waiting: {_last_told(told) or 'A migration'} needs a lock that others hold{_oldest_transaction()}.",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(_PAUSE)


def _oldest_transaction() -> str:
    """Whose it probably is, and how it is ended."""
    found = _ask(
        "SELECT pid, extract(epoch FROM clock_timestamp() - xact_start) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1"
    )
    if not found:
        return ""
    pid, seconds = found[0]
    return f"; the oldest transaction is {duration(float(seconds))} old: SELECT pg_terminate_backend({pid}) ends it"


def _ask(statement: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def _waiting() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keeps others from migrating the same database. SQLite's data folder belongs to one installation anyway."""
    if connection.vendor != "postgresql":
        yield
        return
    while not _locked():  # not waited for in a statement: that would keep indexes from being made beside what goes on
        time.sleep(0.5)
    yield  # it is let go of with the connection


def _locked() -> bool:
    return bool(_ask(f"SELECT pg_try_advisory_lock({_MIGRATING})")[0][0])


def _last_told(told: io.StringIO) -> str:
    """The migration that was begun last, by what Django told; empty where none was."""
    last = told.getvalue().strip().rpartition("\n")[2].strip()
    return "" if not last.startswith("Applying ") or last.endswith("OK") else f"The migration {last.split()[1].rstrip('.')}"


def _failed(told: io.StringIO, reason: str) -> str:
    """What is said of a migration that failed; empty where it failed before the first."""
    if not (name := _last_told(told)):
        return ""
    return (
        f"{name} failed: {' '.join(reason.split()).rstrip('.')}. Those before it stay, and kfdash of the version before goes on "
        "with them. When the reason is mended, migrate again."
    )
