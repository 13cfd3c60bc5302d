"""Where an artifact's bytes are. kfdash's own store is a folder; of buckets that were set up small things are copied for a look."""

from __future__ import annotations

import contextlib
import mimetypes
import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings

from runs.artifacts import copies
from runs.execution.locations import STORE
from runs.models import Artifact
from runs.removed import removed_artifact
from runs.store import NotReadable, StoreOptions

_OWN_SCHEME = "minio://"
_MOST_ENTRIES = 1000  # of a folder that is listed


class NotHere(Exception):
    """The bytes cannot be shown: the message says why and where they are."""


class Removed(NotHere):
    """A rule of retention removed the bytes: the message says when and which."""


@dataclass(frozen=True)
class Entry:
    """A file of an artifact that is a folder: its path in it, and its size in bytes."""

    path: str
    size: int


def local_path(artifact: Artifact) -> pathlib.Path:
    """The file or folder of an artifact in kfdash's own store. Raises NotHere."""
    if not artifact.uri.startswith(STORE):
        raise NotHere(f"It lies at {artifact.uri} and is fetched by the steps that use it; kfdash keeps no copy.")
    base = pathlib.Path(settings.ARTIFACTS_DIR).resolve()
    path = (base / artifact.uri.removeprefix(_OWN_SCHEME).partition("?")[0]).resolve()
    if not path.is_relative_to(base) or path == base:
        raise NotHere(f"Its address {artifact.uri} leads out of the store.")
    if not path.exists():
        raise NotHere("The step wrote nothing there, or it was removed from the store.")
    return path


def folder(artifact: Artifact, *, ask: bool = True) -> list[Entry] | None:
    """The files of an artifact that is a folder, at most 1,000; None for one that is a file.

    Without `ask` no bucket is asked: there an artifact counts as a file. Raises NotHere.
    """
    with _explained(artifact):
        if options := _bucket(artifact):
            listed = copies.listing(artifact, options) if ask else []
            found = sorted((Entry(entry.name, entry.size) for entry in listed), key=lambda entry: entry.path)
            return found[:_MOST_ENTRIES] if [entry.path for entry in found] not in ([], [""]) else None
    path = local_path(artifact)
    return entries(path) if path.is_dir() else None


def file_in(artifact: Artifact, name: str = "", *, ask: bool = True) -> pathlib.Path:
    """One file of an artifact: itself, or the one called `name` where it is a folder. Raises NotHere.

    Of a bucket that was set up it is a copy; without `ask` only one that is there already.
    """
    with _explained(artifact):
        if options := _bucket(artifact):
            return copies.path_of(artifact, options, name, ask=ask)
    path = local_path(artifact)
    if path.is_dir():
        wanted = (path / name).resolve()
        if not name or not wanted.is_relative_to(path) or not wanted.is_file():
            raise NotHere(f"The folder has no file {name!r}." if name else "It is a folder: choose a file of it.")
        return wanted
    return path


def download(artifact: Artifact, name: str = "") -> tuple[str, int, Iterator[bytes]]:
    """File name, size and bytes of an artifact that is a file, or of one file of it, wherever it lies. Raises NotHere."""
    with _explained(artifact):
        if options := _bucket(artifact):
            size, pieces = copies.stream(artifact, options, name)
            return (name or artifact.uri).rpartition("/")[2], size, pieces
    path = file_in(artifact, name)
    return path.name, path.stat().st_size, chunks(path)


def _bucket(artifact: Artifact) -> StoreOptions | None:
    return None if artifact.uri.startswith(STORE) else copies.options_for(artifact)


@contextlib.contextmanager
def _explained(artifact: Artifact) -> Iterator[None]:
    """What a bucket does not give, and a full disk, as NotHere; nobody is asked for what a rule removed."""
    if said := removed_artifact(artifact):
        raise Removed(said)
    try:
        yield
    except NotReadable as error:
        raise NotHere(str(error)) from None
    except OSError as error:
        raise NotHere(f"It lies at {artifact.uri}, and there is no room here for a copy: {error.strerror or error}.") from None


def entries(path: pathlib.Path) -> list[Entry]:
    """The files below a folder in order of their paths, at most 1,000."""
    found: list[Entry] = []
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            file = pathlib.Path(folder) / name
            if file.is_file() and not file.is_symlink():
                found.append(Entry(file.relative_to(path).as_posix(), file.stat().st_size))
        if len(found) >= _MOST_ENTRIES:
            break
    return sorted(found[:_MOST_ENTRIES], key=lambda entry: entry.path)


def size(path: pathlib.Path) -> int:
    """Bytes of a file, or of all files below a folder (as far as `entries` lists them)."""
    return sum(entry.size for entry in entries(path)) if path.is_dir() else path.stat().st_size


def chunks(path: pathlib.Path, length: int = 1 << 18) -> Iterator[bytes]:
    """A file's bytes in pieces."""
    with path.open("rb") as file:
        while piece := file.read(length):
            yield piece


def media_type(name: str) -> str:
    """The media type by the name's ending; `application/octet-stream` where it says nothing."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
