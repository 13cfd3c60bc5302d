"""The command `kfdash`: `up`, single parts, `doctor`, `backup`, `restore` and `manage` (Django's own commands)."""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import socket
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from kfdash import __version__, backup, doctor, podcheck, processes
from kfdash.installation import CannotStart
from kfdash.supervisor import Supervisor

_PARTS = {
    "web": "pages, API and sockets",
    "intake": "what the pods of steps tell and ask (KFDASH_LAUNCHER_BIND)",
    "worker": "advances runs",
    "orders": "starts and stops steps",
    "io": "what may take long: imports, claims, drawings, removing",
    "observer": "sees what becomes of steps, and ticks; of several one leads",
}
_ABOUT_TABLES = {
    "migrate": "bring the tables of the database to this version",
    "wait": "wait until database and Redis answer and the tables are of this version",
    "createadmin": "make the first administrator, KFDASH_ADMIN_USER with KFDASH_ADMIN_PASSWORD, where there is no such account",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code. What a person can mend is said in a sentence, without a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kfdash.settings")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode every start takes several times as long
    sys.dont_write_bytecode = False
    os.environ.setdefault("CELERY_SKIP_CHECKS", "1")  # Django's checks belong to tests, not to each worker's start
    if given[:1] == ["manage"]:
        execute_from_command_line(["kfdash manage", *given[1:]])
        return 0
    options = _parser().parse_args(given)
    _to_environment(options)
    try:
        if options.command is not _restore:  # settings make a key in the data folder, which must be empty for that
            django.setup()
        return int(options.command(options))
    except backup.BackupRefused as error:
        print(f"kfdash: {error}", file=sys.stderr)
        return 1
    except CannotStart as error:
        print(f"kfdash: {error}", file=sys.stderr)
        doctor.leave()
        return 1
    except ImproperlyConfigured as error:
        print(f"kfdash: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kfdash", description="Kubeflow pipelines without Kubeflow.")
    parser.add_argument("--version", action="version", version=f"kfdash {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start everything on this machine and serve the dashboard")
    up.add_argument("--host", default=os.environ.get("KFDASH_HOST", "127.0.0.1"), help="address to serve (%(default)s)")
    up.add_argument("--port", type=int, default=os.environ.get("KFDASH_PORT", "8000"), help="port, 0 for any (%(default)s)")
    up.add_argument("--executor", choices=("local", "kubernetes"), help="where steps run (local)")
    up.add_argument("--demo", action="store_true", help="upload and run the sample pipeline, once")
    up.set_defaults(command=_up)
    look = commands.add_parser("doctor", help="say what is missing and how to get it")
    look.set_defaults(command=lambda options: doctor.main(podcheck.findings))
    save = commands.add_parser("backup", help="copy everything that lasts into one archive, while runs go on")
    save.add_argument("file", type=pathlib.Path, nargs="?", metavar="FILE", help="to make: a tar, compressed where it ends in .gz")
    save.add_argument("--noted", action="store_true", help="make none: note that one was made otherwise, for the page System")
    save.set_defaults(command=_back_up)
    bring_back = commands.add_parser("restore", help="bring a backup back, into an empty folder")
    bring_back.add_argument("file", type=pathlib.Path, metavar="FILE", help="the archive")
    bring_back.set_defaults(command=_restore)
    for command in (up, look, save, bring_back, *_add_parts(commands)):
        command.add_argument("--data-dir", metavar="DIR", help="folder that everything is kept in (./data)")
    commands.add_parser("manage", help="Django's commands: migrate, shell, createsuperuser, …")
    part = commands.add_parser("part")  # one part alone; `up` uses it where it does not fork
    part.add_argument("name")
    part.add_argument("descriptor", nargs="?", type=int, help="of the listening socket, for `web` and `intake`")
    part.set_defaults(command=_part)
    sample = commands.add_parser("sample")
    sample.add_argument("address")
    sample.set_defaults(command=_sample)
    return parser


def _add_parts(commands: Any) -> list[argparse.ArgumentParser]:
    """The commands of an installation whose parts run each by itself, as in a cluster."""
    made = []
    for name, sentence in _PARTS.items():
        made.append(part := commands.add_parser(name, help=f"one part alone: {sentence}"))
        part.set_defaults(command=_alone, part=name)
        if name == "web":
            default = f"{os.environ.get('KFDASH_HOST', '127.0.0.1')}:{os.environ.get('KFDASH_PORT', '8000')}"
            part.add_argument("--bind", default=default, help="address and port to serve (%(default)s)")
    for name, sentence in _ABOUT_TABLES.items():
        made.append(tables := commands.add_parser(name, help=sentence))
        tables.set_defaults(command=_alone, part=name)
    secret = commands.add_parser("make-secrets", help="make a Secret with random values in the cluster that this runs in, once")
    secret.add_argument("name", metavar="SECRET")
    secret.add_argument(
        "items", nargs="+", metavar="KEY[=TEXT]", help="a random value, or a text that may name earlier keys: {KEY}"
    )
    secret.set_defaults(command=_make_secrets)
    return [*made, secret]


def _make_secrets(options: argparse.Namespace) -> int:
    from kfdash import made_secrets  # noqa: PLC0415  # reads the settings when it is imported

    return made_secrets.make(options.name, options.items)


def _to_environment(options: argparse.Namespace) -> None:
    """Options are settings: the processes that we start read them like any others."""
    for name in ("data_dir", "executor", "host"):
        if value := getattr(options, name, None):
            os.environ[f"KFDASH_{name.upper()}"] = value


def _up(options: argparse.Namespace) -> int:
    return Supervisor(options.host, options.port, demo=options.demo).run()


def _back_up(options: argparse.Namespace) -> int:
    if options.noted:
        return _note_backup()
    if options.file is None:
        raise backup.BackupRefused("Say which file to make: kfdash backup FILE. --noted tells of a backup that was made otherwise.")
    if not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        raise backup.BackupRefused(
            "The database is a PostgreSQL server's: back it up with pg_dump, and the data folder beside it. Then "
            "`kfdash backup --noted` tells the page System of it."
        )
    try:
        made = backup.back_up(options.file, settings.DATA_DIR, artifacts=settings.ARTIFACTS_DIR, logs=settings.LOGS_DIR)
    except OSError as error:
        raise backup.BackupRefused(f"The backup {options.file} cannot be made: {error}.") from None
    with contextlib.suppress(OSError):  # the backup is made
        backup.note(settings.LOGS_DIR, datetime.fromisoformat(made["made_at"]))
    print(f"{settings.DATA_DIR} is in {options.file} as it was at {made['made_at']}. It holds the secret key: keep it safe.")
    return 0


def _note_backup() -> int:
    try:
        moment = backup.note(settings.LOGS_DIR)
    except OSError as error:
        raise backup.BackupRefused(f"It cannot be noted in {settings.LOGS_DIR}: {error.strerror or error}.") from None
    print(f"It is noted that everything was backed up at {moment.isoformat(timespec='seconds')}.")
    return 0


def _restore(options: argparse.Namespace) -> int:
    folder = pathlib.Path(os.environ.get("KFDASH_DATA_DIR", "data")).resolve()
    try:
        found = backup.restore(options.file, folder)
    except OSError as error:
        raise backup.BackupRefused(f"The backup {options.file} cannot be restored: {error}.") from None
    print(f"{folder} is as it was at {found['made_at']}. Start it with: kfdash up --data-dir {folder}")
    return 0


def _part(options: argparse.Namespace) -> int:
    from kfdash import parts  # noqa: PLC0415  # reads the settings when it is imported

    processes.call_it(options.name)
    parts.warm_up()
    if options.name in parts.LISTENERS:
        parts.LISTENERS[options.name](socket.socket(fileno=options.descriptor))
    else:
        parts.WORKERS[options.name]()
    return 0


def _alone(options: argparse.Namespace) -> int:
    from kfdash import alone  # noqa: PLC0415  # reads the settings when it is imported

    others = {"wait": alone.wait, "migrate": alone.migrate, "createadmin": alone.create_administrator}
    if options.part in others:
        return others[options.part]()
    return alone.serve(options.part, getattr(options, "bind", ""))


def _sample(options: argparse.Namespace) -> int:
    from kfdash import demo  # noqa: PLC0415  # imports models

    return demo.main(options.address)


if __name__ == "__main__":
    sys.exit(main())
