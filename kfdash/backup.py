"""`kfdash backup` and `kfdash restore`: everything that lasts of an embedded installation in one archive, while runs go on.

What is copied first may be older than what comes after it, never the other way round: results of steps, then the database, then
results once more (those that came meanwhile), then artifacts and logs, which only grow. A step that was running is started again
after a restore, as after a crash; its order is not copied, so that a restored host ends nothing of the installation it came from.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import pathlib
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import IO, Any

from kfdash import __version__

FORMAT = 1  # of the archive; greater where an older kfdash could not restore it
_MANIFEST = "manifest.json"
_DATABASE, _KEY = "kfdash.sqlite3", "secret-key"
_RESULTS, _WORKSPACES = "host/attempts", "host/workspaces"
_FOLDERS = ("artifacts", "logs", _RESULTS, _WORKSPACES)
_LAST = ".last-backup"  # in the folder of logs, which all parts share: when everything was backed up
_IN_MEMORY = 16 * 1024 * 1024  # bytes of a file that are held in memory until its size is known
_APPS = ("pipelines", "runs")


class BackupRefused(Exception):
    """Why a backup cannot be made or restored, as a sentence for people."""


def back_up(file: pathlib.Path, data: pathlib.Path, *, artifacts: pathlib.Path, logs: pathlib.Path) -> dict[str, Any]:
    """Writes the archive of an installation, which may be running; its manifest. Raises BackupRefused, OSError."""
    if not (data / _DATABASE).is_file():
        raise BackupRefused(f"There is nothing to back up: {data} has no {_DATABASE}. Say which folder with --data-dir.")
    if file.exists():
        raise BackupRefused(f"{file} is there already. Choose another name, or remove it.")
    beside = file.with_name(f"{file.name}.part")
    manifest = {
        "format": FORMAT,
        "kfdash": __version__,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "migrations": known_migrations(),
    }
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
            mode: Any = "w|gz" if file.suffix in (".gz", ".tgz") else "w|"
            with tarfile.open(fileobj=target, mode=mode, format=tarfile.PAX_FORMAT) as archive:
                _add(archive, _MANIFEST, io.BytesIO(json.dumps(manifest, indent=2).encode()))
                _add_all(archive, data, artifacts, logs)
            target.flush()
            os.fsync(target.fileno())
        beside.rename(file)
    except sqlite3.Error as error:
        raise BackupRefused(f"The database {data / _DATABASE} cannot be copied: {error}.") from None
    finally:
        beside.unlink(missing_ok=True)
    return manifest


def note(logs: pathlib.Path, at: datetime | None = None) -> datetime:
    """Writes down that everything was backed up at a moment (now); that moment. Raises OSError."""
    moment = at or datetime.now(UTC)
    logs.mkdir(parents=True, exist_ok=True)
    beside = logs / f"{_LAST}.{os.getpid()}"
    beside.write_text(moment.isoformat(timespec="seconds"))
    beside.replace(logs / _LAST)
    return moment


def last(logs: pathlib.Path) -> datetime | None:
    """When everything was backed up last, as far as somebody noted it."""
    with contextlib.suppress(OSError, ValueError):
        return datetime.fromisoformat((logs / _LAST).read_text())
    return None


def restore(file: pathlib.Path, data: pathlib.Path) -> dict[str, Any]:
    """Puts what is in the archive into an empty folder; its manifest. Raises BackupRefused, OSError.

    A restore that fails leaves the folder as it was. The database comes to its place last.
    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise BackupRefused(f"{data} is not empty. Restore into a new folder: --data-dir DIR.")
    made = not data.exists()
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file, "r|*") as archive:
            manifest = _take_out(archive, file, data)
        _check_database(data / f"{_DATABASE}.new", file)
        (data / f"{_DATABASE}.new").rename(data / _DATABASE)
    except BaseException as error:
        _empty(data, also_itself=made)
        if isinstance(error, tarfile.TarError | EOFError | ValueError):
            raise BackupRefused(f"{file} is no whole backup of kfdash: {error}.") from None
        raise
    return manifest


def known_migrations() -> list[str]:
    """The migrations of this version, as `app.name`."""
    found = []
    for app in _APPS:
        spec = importlib.util.find_spec(f"{app}.migrations")
        for folder in (spec.submodule_search_locations or []) if spec else []:
            found += [f"{app}.{path.stem}" for path in pathlib.Path(folder).glob("[0-9]*.py")]
    return sorted(found)


# --- out ------------------------------------------------------------------------------------------------------------


def _add_all(archive: tarfile.TarFile, data: pathlib.Path, artifacts: pathlib.Path, logs: pathlib.Path) -> None:
    early = list(_results(data / _RESULTS, ()))
    for name, content in early:
        _add(archive, f"{_RESULTS}/{name}/result.json", io.BytesIO(content))
    with tempfile.TemporaryDirectory(prefix="kfdash-backup-", dir=data) as folder:
        copy = pathlib.Path(folder) / _DATABASE
        _copy_database(data / _DATABASE, copy)
        with copy.open("rb") as source:
            _add(archive, _DATABASE, source)
    for name, content in _results(data / _RESULTS, {name for name, _ in early}):
        _add(archive, f"{_RESULTS}/{name}/result.json", io.BytesIO(content))
    with contextlib.suppress(FileNotFoundError), (data / _KEY).open("rb") as source:
        _add(archive, _KEY, source)
    for name, root in (("artifacts", artifacts), ("logs", logs), (_WORKSPACES, data / _WORKSPACES)):
        for path in _files(root):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as source:  # else it was deleted meanwhile
                _add(archive, f"{name}/{path.relative_to(root)}", source, mode=path.stat().st_mode & 0o777)


def _copy_database(source: pathlib.Path, target: pathlib.Path) -> None:
    """One moment of it, by SQLite's own means: nobody who writes waits for it."""
    with contextlib.closing(sqlite3.connect(source, timeout=20)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode=DELETE")


def _results(folder: pathlib.Path, known: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Attempt → how it ended, of those that have ended."""
    known = set(known)
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(folder.iterdir()):
            if entry.name not in known:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    yield entry.name, (entry / "result.json").read_bytes()


def _files(root: pathlib.Path) -> Iterator[pathlib.Path]:
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = pathlib.Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _add(archive: tarfile.TarFile, name: str, source: IO[bytes], *, mode: int = 0o600) -> None:
    """A file as it is now: it may grow, or get shorter, while it is read."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as now:
        shutil.copyfileobj(source, now, 1 << 20)
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = now.tell(), mode, datetime.now().timestamp()
        now.seek(0)
        archive.addfile(member, now)


# --- in -------------------------------------------------------------------------------------------------------------


def _take_out(archive: tarfile.TarFile, file: pathlib.Path, data: pathlib.Path) -> dict[str, Any]:
    manifest: dict[str, Any] | None = None
    for member in archive:
        content = archive.extractfile(member)
        if content is None:
            raise ValueError(f"it holds {member.name!r}, which is no file")
        if manifest is None:
            if member.name != _MANIFEST:
                raise ValueError(f"it begins with {member.name!r}")
            manifest = dict(json.load(content))
            _check_manifest(manifest, file)
            continue
        target = data / _safe(member.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            shutil.copyfileobj(content, new, 1 << 20)
            os.fchmod(new.fileno(), member.mode & 0o777)
    if manifest is None:
        raise ValueError("it is empty")
    return manifest


def _safe(name: str) -> str:
    parts = pathlib.PurePosixPath(name).parts
    if name == _DATABASE:
        return f"{_DATABASE}.new"
    if name == _KEY:
        return name
    if ".." in parts or not any(name.startswith(f"{folder}/") for folder in _FOLDERS):
        raise ValueError(f"it holds {name!r}, which does not belong there")
    return name


def _check_manifest(manifest: dict[str, Any], file: pathlib.Path) -> None:
    newer = sorted(set(manifest.get("migrations", ())) - set(known_migrations()))
    if manifest.get("format", 0) > FORMAT or newer:
        made = manifest.get("kfdash", "?")
        raise BackupRefused(f"{file} was made by kfdash {made}, newer than this one ({__version__}). Restore it with that.")


def _check_database(path: pathlib.Path, file: pathlib.Path) -> None:
    if not path.exists():
        raise BackupRefused(f"{file} is no whole backup of kfdash: it holds no database.")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            found = connection.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.Error as error:
            found = str(error)
    if found != "ok":
        raise BackupRefused(f"The database in {file} is damaged: {found}.")


def _empty(folder: pathlib.Path, *, also_itself: bool) -> None:
    if also_itself:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
