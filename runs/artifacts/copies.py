"""Artifacts in buckets, for people to look at: small ones are copied to a folder here, of which the newest are kept.

Only stores that somebody set up are asked: a page must not wait for a bucket that nobody here has to do with.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import shutil
import time
from collections.abc import Iterator

import obstore
from django.conf import settings

from runs import storesettings
from runs.models import Artifact
from runs.store import Entry, NothingThere, NotReadable, StoreOptions, entries, explained, fetch, open_store
from runs.stores import store_options

MOST = 64 * 1024 * 1024  # bytes of an artifact that is copied
_KEPT = 1024 * 1024 * 1024  # bytes of all copies together
_FRESH = 3600.0  # seconds
_SILENT = 30.0  # seconds for which a store that did not answer is not asked again
_CHUNK = 1024 * 1024
_failed: dict[str, tuple[float, str]] = {}  # bucket → when, why


class TooLarge(NotReadable):
    """An artifact that is not copied for a look."""


def options_for(artifact: Artifact) -> StoreOptions | None:
    """How its bucket is reached; None for one that nobody set up."""
    scheme, _, rest = artifact.uri.partition("://")
    if scheme not in ("s3", "gs", "az", "minio"):
        return None
    root = artifact.run.pipeline_root if artifact.run is not None else ""
    options = store_options(root if artifact.uri.startswith(root.partition("?")[0] or " ") else "")
    bucket = f"{scheme}://{rest.partition('/')[0]}"
    known = storesettings.best(options.stores, artifact.uri) or options.buckets.get(scheme)
    return options if known or f"{settings.PIPELINE_ROOT}/".startswith(f"{bucket}/") else None


def listing(artifact: Artifact, options: StoreOptions) -> list[Entry]:
    """The files of an artifact; one with an empty name where it is a file itself. Raises NotReadable."""
    with _patience(artifact.uri):
        return entries(artifact.uri, options)


def path_of(artifact: Artifact, options: StoreOptions, file: str = "", *, ask: bool = True) -> pathlib.Path:
    """The copy of an artifact that is a file, or of one file of it, made where there is none (with `ask`).

    Raises NotReadable, TooLarge and OSError.
    """
    folder = settings.DATA_DIR / "copies"
    path: pathlib.Path = folder / hashlib.sha256(f"{artifact.uri}\0{file}".encode()).hexdigest()[:32]
    copy = path / ((file or artifact.uri).rpartition("/")[2] or "content")  # programs look at the ending
    with contextlib.suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime < _FRESH and copy.is_file():
            return copy
    if not ask:
        raise NotReadable(f"It lies at {artifact.uri}. Open it to have it fetched.")
    found = _entry(artifact, options, file)
    if found.size > MOST:
        raise TooLarge(f"It lies at {artifact.uri} and has {found.size:,} bytes: too much to be fetched for a look. Download it.")
    with _patience(artifact.uri):
        path.mkdir(parents=True, exist_ok=True)
        fetch(f"{artifact.uri.rstrip('/')}/{file}" if file else artifact.uri, copy, options, limit=MOST)
    os.utime(path)
    _forget_oldest(folder, path)
    return copy


def stream(artifact: Artifact, options: StoreOptions, file: str) -> tuple[int, Iterator[bytes]]:
    """Size and bytes of an artifact that is a file, or of one file of it, straight from the bucket. Raises NotReadable."""
    found = _entry(artifact, options, file)
    with _patience(artifact.uri), explained(artifact.uri):
        answer = obstore.get(open_store(artifact.uri, options).store, found.key)
    return found.size, (bytes(chunk) for chunk in answer.stream(min_chunk_size=_CHUNK))


def _entry(artifact: Artifact, options: StoreOptions, file: str) -> Entry:
    """The file itself, without a list of what lies beside it."""
    uri = f"{artifact.uri.rstrip('/')}/{file}" if file else artifact.uri
    try:
        with _patience(artifact.uri):
            found = next((entry for entry in entries(uri, options) if not entry.name), None)
    except NothingThere:
        if not file:
            raise
        found = None
    if found is None:
        raise NotReadable(f"The folder has no file {file!r}." if file else "It is a folder: choose a file of it.")
    return found


@contextlib.contextmanager
def _patience(uri: str) -> Iterator[None]:
    """A store that did not answer a moment ago is not waited for again: pages would stand still one after the other."""
    bucket = "/".join(uri.split("/", 3)[:3])
    at, why = _failed.get(bucket, (0.0, ""))
    if time.monotonic() - at < _SILENT and why:
        raise NotReadable(why)
    began = time.monotonic()
    try:
        yield
    except NotReadable as error:
        if time.monotonic() - began > 1 and not isinstance(error, TooLarge):
            _failed[bucket] = (time.monotonic(), str(error))
        raise


def _forget_oldest(folder: pathlib.Path, mine: pathlib.Path) -> None:
    copies = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            copies.append((path.stat().st_mtime, path, sum(file.stat().st_size for file in path.rglob("*") if file.is_file())))
    total = sum(size for _, _, size in copies)
    for _, path, size in sorted(copies):
        if total <= _KEPT:
            return
        if path != mine:
            shutil.rmtree(path, ignore_errors=True)
            total -= size
