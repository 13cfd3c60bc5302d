"""Logs, outputs and workspaces that belong to no run: of runs that are gone from the database while their files were not.

Looked for where kfdash itself puts them, and nowhere else: `<logs>/<run id>`, `<pipeline root>/<pipeline>/<run id>`, and so on.
"""

from __future__ import annotations

import contextlib
import pathlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import obstore
from django.conf import settings

from runs import models, removal
from runs.execution.locations import STORE
from runs.retention.reading import is_used
from runs.store import NotReadable, explained, open_store
from runs.stores import store_options

SHOWN = 50
_CHUNK = 400  # ids in one IN
_MOST = 500  # that are removed in one go
_DEEPEST = 3  # folders between the root of pipelines and a run's own: a pipeline's name may have slashes


@dataclass(frozen=True)
class Place:
    """A folder, on disk or in the bucket, that is called like a run."""

    run_id: str
    kind: str  # log, outputs, workspace or result
    where: str  # a path or a URI


@dataclass
class Found:
    """What a look found: how many go and stay, with their bytes, what was freed, and the first of them to be shown."""

    going: int = 0
    going_bytes: int = 0
    staying: int = 0
    freed: int = 0
    more: bool = False
    shown: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def look(now: datetime, age: timedelta | None, *, remove: bool, beat: Callable[[], None] = lambda: None) -> Found:
    """Finds what belongs to no run; what was not changed for `age` goes (nothing, without), and is removed with `remove`.

    `beat` is called now and then: a slow disk with many folders takes its time.
    """
    found = Found()
    for place in _orphaned(_places(found), beat):
        try:
            size, changed = _measured(place)
            goes = age is not None and changed is not None and changed <= now - age
            found.shown += _row(place, size, changed, goes) if len(found.shown) < SHOWN else []
            if not goes:
                found.staying += 1
                continue
            if remove:
                found.freed += _remove(place)
        except (removal.NotRemoved, NotReadable, OSError) as error:
            found.problems.append(str(error))
            continue
        found.going += 1
        found.going_bytes += size
        if remove and found.going >= _MOST:
            found.more = True
            break
    return found


def _row(place: Place, size: int, changed: datetime | None, goes: bool) -> list[dict[str, Any]]:
    told = changed.isoformat() if changed else ""
    return [{"what": "orphans", "goes": goes, "kind": place.kind, "where": place.where, "bytes": size, "changed": told}]


def _orphaned(places: Iterable[Place], beat: Callable[[], None]) -> Iterator[Place]:
    """Those whose run is not there, is not being removed, and is of no use to any other."""
    source = iter(places)
    while chunk := list(islice(source, _CHUNK)):
        beat()
        ids = [place.run_id for place in chunk]
        known = {str(pk) for pk in models.Run.objects.filter(pk__in=ids).values_list("pk", flat=True)}
        known |= {str(pk) for pk in models.Leftover.objects.filter(run_id__in=ids).values_list("run_id", flat=True)}
        for place in chunk:
            if place.run_id not in known and not (place.kind == "outputs" and _is_used(place)):
                yield place


def _is_used(place: Place) -> bool:
    uri = place.where if "://" in place.where else f"minio://{pathlib.Path(place.where).relative_to(_base())}"
    taken = models.Artifact.objects.filter(run=None, gone_at=None, uri__startswith=f"{uri}/", uses__isnull=False)
    return is_used(place.run_id) or taken.exists()


# --- where they may be ----------------------------------------------------------------------------------------------


def _base() -> pathlib.Path:
    return pathlib.Path(settings.ARTIFACTS_DIR).resolve()


def _places(found: Found) -> Iterator[Place]:
    yield from _folders(pathlib.Path(settings.LOGS_DIR), "log", 0)
    yield from _folders(pathlib.Path(settings.HOST_DIR) / "workspaces", "workspace", 0)
    root = settings.PIPELINE_ROOT.partition("?")[0].rstrip("/")
    for uri, kind, deepest in ((root, "outputs", _DEEPEST), (settings.RESULTS_ROOT, "result", 0)):
        if uri.startswith(STORE):
            yield from _folders(_base() / uri.removeprefix("minio://"), kind, deepest)
        else:
            try:
                yield from _prefixes(uri, kind, deepest)
            except NotReadable as error:
                found.problems.append(str(error))


def _folders(folder: pathlib.Path, kind: str, deeper: int) -> Iterator[Place]:
    with contextlib.suppress(FileNotFoundError):
        for entry in folder.iterdir():
            if not entry.is_dir() or entry.is_symlink():
                continue
            if is_run_id(entry.name):
                yield Place(entry.name, kind, str(entry))
            elif deeper:
                yield from _folders(entry, kind, deeper - 1)


def _prefixes(uri: str, kind: str, deeper: int) -> Iterator[Place]:
    opened = open_store(uri, store_options(settings.PIPELINE_ROOT))
    with explained(uri):
        below = obstore.list_with_delimiter(opened.store, prefix=f"{opened.key}/" if opened.key else None)["common_prefixes"]
    for prefix in below:
        name = prefix.rstrip("/").rpartition("/")[2]
        if is_run_id(name):
            yield Place(name, kind, f"{uri}/{name}")
        elif deeper:
            yield from _prefixes(f"{uri}/{name}", kind, deeper - 1)


def is_run_id(name: str) -> bool:
    """Whether a folder is called as runs are: a UUID in its usual form."""
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


# --- one of them ----------------------------------------------------------------------------------------------------


def _measured(place: Place) -> tuple[int, datetime | None]:
    """Bytes, and when something in it was last changed. Raises OSError, NotReadable."""
    if "://" not in place.where:
        folder = pathlib.Path(place.where)
        times = [path.lstat().st_mtime for path in (folder, *folder.rglob("*"))]
        return removal.folder_size(folder), datetime.fromtimestamp(max(times), UTC)
    opened = open_store(place.where, store_options(settings.PIPELINE_ROOT))
    with explained(place.where):
        metas = [meta for batch in obstore.list(opened.store, prefix=f"{opened.key}/") for meta in batch]
    return sum(meta["size"] for meta in metas), max((meta["last_modified"] for meta in metas), default=None)


def _remove(place: Place) -> int:
    if models.Run.objects.filter(pk=place.run_id).exists():  # it came back meanwhile, out of a backup
        return 0
    return removal.remove_place(place.where)
