"""`kfdash web`, `worker`, `observer` and the others: one part of an installation by itself, as a container or a service runs it.

A part that starts waits for the database and Redis, and says so. It does not serve with tables older than itself: those are
brought up to date by `kfdash migrate` alone, which waits for its turn where several are started. SIGTERM ends each in order.
"""

from __future__ import annotations

import getpass
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import redis
from django.conf import settings
from django.db import DatabaseError, connection, connections
from django.db.migrations.executor import MigrationExecutor

from access.services import NotPossible, ensure_administrator
from kfdash import doctor, installation, parts, processes
from kfdash.installation import CannotStart
from runs import executing
from runs.executors.base import ExecutorUnavailable

_LOOK_EVERY = 1.0  # seconds
_TELL_EVERY = 15.0
_CLOSE_WITHIN = 25  # seconds that open requests get in the end; a container gets thirty and what it waits before
_NAMES = {"worker": "drive"}  # of commands whose part is called otherwise inside
_ASK_THE_CLUSTER = ("web", "orders", "io", "observer")
_MAKE_PODS = ("orders", "io", "observer")


def serve(command: str, bind: str = "") -> int:
    """Serves until SIGTERM; the exit code. `bind` is `address:port` for the web. Raises CannotStart."""
    name = _NAMES.get(command, command)
    processes.call_it(name)
    signal.signal(signal.SIGTERM, _end)  # the first process of a container ignores what it does not handle
    _check(command)
    serving = _serving(name, bind)
    parts.warm_up()
    if command in _ASK_THE_CLUSTER:
        _find_own_image()
    wait(tables=False)
    if found := missing_migrations():
        raise CannotStart(f"{found} `kfdash migrate` applies them; then start this again.")
    connections.close_all()
    print(f"{command} begins.", flush=True)
    serving()
    return 0


def _serving(name: str, bind: str) -> Callable[[], None]:
    """What serves, its port opened: an address that cannot be is told of at once."""
    if name == "web":
        pages = _listen(bind)
        return lambda: parts.serve_web(pages, close_within=_CLOSE_WITHIN)
    if name == "intake":
        calls = installation.listen_for_launchers()
        return lambda: parts.serve_intake(calls, close_within=_CLOSE_WITHIN)
    return parts.WORKERS[name]


def _find_own_image() -> None:
    """In a pod, the launcher's image is that of the pod itself, unless KFDASH_IMAGE says otherwise."""
    if settings.EXECUTOR != "kubernetes" or "KFDASH_IMAGE" in os.environ or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return
    from runs.executors.kubernetes.own import image  # noqa: PLC0415  # needs the optional package

    try:
        settings.IMAGE = os.environ["KFDASH_IMAGE"] = image(executing.kubernetes_config(), socket.gethostname())
    except ExecutorUnavailable as error:
        raise CannotStart(f"The image of the launcher is not known: {error} Set KFDASH_IMAGE, or start this again.") from None


def wait(*, tables: bool = True, server: bool = True) -> int:
    """Waits until the database and (with `server`) Redis answer and, with `tables`, all migrations are applied; 0 then."""
    signal.signal(signal.SIGTERM, _end)
    last, told = "", 0.0
    while reason := _away(tables=tables, server=server):
        now = time.monotonic()
        if reason != last or now - told > _TELL_EVERY:
            print(f"waiting: {reason}", file=sys.stderr, flush=True)
            last, told = reason, now
        time.sleep(_LOOK_EVERY)
    return 0


def migrate() -> int:
    """Brings the tables of the database to this version, one at a time wherever it is started; 0. Raises CannotStart."""
    wait(tables=False, server=False)
    found = missing_migrations()
    installation.migrate()
    print(f"{found} They are applied now." if found else "The tables of the database are of this version.", flush=True)
    return 0


def create_administrator() -> int:
    """Makes the account of KFDASH_ADMIN_USER, once; asks for what is not set where somebody sits there. 0. Raises CannotStart."""
    if settings.AUTH == "proxy":
        print("A proxy says here who somebody is (KFDASH_AUTH): no administrator is made.", flush=True)
        return 0
    name, password = os.environ.get("KFDASH_ADMIN_USER", ""), os.environ.get("KFDASH_ADMIN_PASSWORD", "")
    if not (name and password) and sys.stdin.isatty():
        name = name or input("Name of the administrator: ").strip()
        password = password or getpass.getpass("Password (at least 10 characters): ")
    if not name or not password:
        raise CannotStart("Who administers is not known: set KFDASH_ADMIN_USER and KFDASH_ADMIN_PASSWORD.")
    if found := missing_migrations():
        if connection.vendor != "sqlite":
            raise CannotStart(f"{found} `kfdash migrate` applies them; then do this again.")
        installation.migrate()
    try:
        made = ensure_administrator(name=name, password=password)
    except NotPossible as error:
        raise CannotStart(f"The account {name!r} cannot be made. {error}") from None
    print(f"The account {name!r} is made; it may administer." if made else f"The account {name!r} is there.", flush=True)
    if not settings.AUTH:
        print("Nobody logs in before KFDASH_AUTH=accounts is set.", flush=True)
    return 0


def missing_migrations() -> str:
    """Which migrations the database lacks, as a sentence; empty where it has all. Raises DatabaseError."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    names = [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"The database is of an older version: it lacks {len(names)} migrations ({shown})."


def _away(*, tables: bool, server: bool) -> str:
    """What does not answer yet, as a sentence; empty where all do."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if tables and (found := missing_migrations()):
            return f"{found} `kfdash migrate` applies them."
    except DatabaseError as error:
        return f"The database does not answer ({' '.join(str(error).split())})."
    finally:
        connection.close()
    if server:
        try:
            redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=3, socket_timeout=3).ping()
        except (redis.RedisError, OSError) as error:
            return f"Redis does not answer ({error})."
    return ""


def _check(command: str) -> None:
    """Raises CannotStart for what no waiting mends."""
    if doctor.own_redis():
        raise CannotStart("A part by itself needs a Redis that all parts share: set KFDASH_REDIS_URL, or use `kfdash up`.")
    if settings.EXECUTOR == "local" and not (settings.RUNTIME_DIR / "host.sock").exists():
        raise CannotStart("The local executor belongs to `kfdash up`. Parts by themselves need KFDASH_EXECUTOR=kubernetes.")
    checks = [doctor.data_folder, doctor.disk_space, *([doctor.executor] if command in _MAKE_PODS else [])]
    for found in (one() for one in checks):
        if not found.ok and found.needed:
            raise CannotStart(found.sentence)
        if not found.ok:
            print(f"note: {found.sentence}", file=sys.stderr, flush=True)


def _listen(bind: str) -> socket.socket:
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdecimal():
        raise CannotStart(f"--bind is {bind!r}; it must be an address and a port, such as 0.0.0.0:8000.")
    host = host.strip("[]") or "0.0.0.0"
    installation.check_address(host)
    return installation.listen(host, int(port), setting="--bind")


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
