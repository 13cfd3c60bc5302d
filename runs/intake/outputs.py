"""What an attempt leaves in the store: files that come through here, and addresses for those that go to a bucket themselves."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
import socket
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import obstore
from django.conf import settings

from runs.execution.locations import STORE, STORE_FOLDER, UnsafeLocation, safe_segments
from runs.intake import outside
from runs.intake.inputs import here, own_path
from runs.intake.rights import Reach
from runs.intake.threads import with_files
from runs.intake.wire import Refused
from runs.launcher.mail import MOST_IN_ONE
from runs.store import explained, open_store
from runs.stores import store_options

MOST_FILES = 100_000  # of one step
SIGNED_UP_TO = 1024**3  # bytes: larger files go through here in parts, because one PUT is all or nothing
_PART = 8 * 1024 * 1024  # bytes of a part, at least; a bucket takes 10,000 of them
_STAGING = ".uploads"
_LEFT_AFTER = 86400.0  # seconds after which an unfinished file is nobody's
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

Json = Any


def clear_staging() -> None:
    """Removes what an intake that was ended left unfinished: one of this machine at once, else after a day."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(pathlib.Path(settings.ARTIFACTS_DIR, STORE_FOLDER, _STAGING)):
            of_here = entry.name.startswith(f"{socket.gethostname()}.") and not _is_written(entry.path)
            if of_here or time.time() - entry.stat().st_mtime > _LEFT_AFTER:
                os.unlink(entry.path)


def _is_written(path: str) -> bool:
    """Whether a process of this machine writes the file."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Budget:
    """Bytes and files that attempts have left so far, as far as they came through this process."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, dict[int, int]] = OrderedDict()  # attempt → hash of the file's place → bytes

    def room(self, attempt: str, uri: str, name: str) -> int:
        """How many bytes a file may have. Raises Refused where the attempt has too many files."""
        files = self._kept.get(attempt, {})
        place = hash((uri, name))
        if place not in files and len(files) >= MOST_FILES:
            raise Refused(413, f"The step writes more than {MOST_FILES:,} files. Pack them into an archive.")
        return settings.STEP_OUTPUT_MIB * 2**20 - sum(size for other, size in files.items() if other != place)

    def add(self, attempt: str, uri: str, name: str, size: int) -> None:
        """A file was stored."""
        self._kept.setdefault(attempt, {})[hash((uri, name))] = size
        self._kept.move_to_end(attempt)
        while len(self._kept) > 2000:
            self._kept.popitem(last=False)

    def forget(self, attempt: str) -> None:
        """The attempt is over."""
        self._kept.pop(attempt, None)


def too_large() -> str:
    """What a step is told that writes too much."""
    return (
        f"The step's outputs are larger than {settings.STEP_OUTPUT_MIB:,} MiB, the most that it may write (KFDASH_STEP_OUTPUT_MIB)."
    )


def check_place(uri: str, name: str, reach: Reach) -> None:
    """Raises Refused where an attempt may not write."""
    try:
        if name:
            safe_segments(name, name)
    except UnsafeLocation as error:
        raise Refused(400, str(error)) from None
    if name.endswith("/") or not reach.may_write(uri):
        raise Refused(403, f"A step can write below its own outputs only, {reach.root}.")


async def store(uri: str, name: str, pieces: AsyncIterator[bytes], length: int | None, reach: Reach) -> int:
    """Stores a file that comes in pieces; its bytes. Raises Refused, and NotReadable where the store does not take it."""
    if uri.startswith(STORE):
        return await _store_own(uri, name, pieces)
    return await _store_object(uri, name, pieces, length, reach)


async def _store_own(uri: str, name: str, pieces: AsyncIterator[bytes]) -> int:
    try:
        part, descriptor = await with_files(_begin)
        size = 0
        try:
            async for piece in pieces:
                await with_files(_write, descriptor, piece)
                size += len(piece)
            await with_files(_put_in_place, part, uri, name)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        status = 507 if error.errno in _NO_ROOM else 500
        raise Refused(status, f"kfdash's store cannot take {uri}: {error.strerror or error}.") from None
    return size


def _begin() -> tuple[pathlib.Path, int]:
    folder = pathlib.Path(settings.ARTIFACTS_DIR, STORE_FOLDER, _STAGING)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{socket.gethostname()}.{uuid.uuid4().hex}"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with contextlib.suppress(OSError):  # some file systems have no locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return part, descriptor


def _write(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _put_in_place(part: pathlib.Path, uri: str, name: str) -> None:
    path = own_path(uri, name)
    if name and own_path(uri).is_file():
        own_path(uri).unlink()  # it was a file, and is a folder now
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    os.replace(part, path)


async def _store_object(uri: str, name: str, pieces: AsyncIterator[bytes], length: int | None, reach: Reach) -> int:
    opened = await with_files(open_store, uri, store_options(reach.pipeline_root))
    key = f"{opened.key}/{safe_segments(name, name)}" if name else opened.key
    size = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal size
        async for piece in pieces:
            size += len(piece)
            yield piece

    part = max(_PART, (length or settings.STEP_OUTPUT_MIB * 2**20) // 9000)
    with explained(uri):
        await obstore.put_async(opened.store, key, counted(), chunk_size=part, max_concurrency=2)
    return size


def places(files: Sequence[Json], reach: Reach) -> list[str]:
    """For each `{"uri", "name", "size"}` where to send it: an address of its bucket, or a path here. Raises Refused."""
    if len(files) > MOST_FILES:
        raise Refused(413, f"The step writes more than {MOST_FILES:,} files. Pack them into an archive.")
    total = 0
    for file in files:
        if not isinstance(file, dict) or not isinstance(file.get("uri"), str) or not isinstance(file.get("name"), str):
            raise Refused(400, "Each file needs a 'uri', a 'name' and a 'size'.")
        if not isinstance(file.get("size"), int) or file["size"] < 0:
            raise Refused(400, "The 'size' of each file is its number of bytes.")
        check_place(file["uri"], file["name"], reach)
        total += file["size"]
    if total > settings.STEP_OUTPUT_MIB * 2**20:
        raise Refused(413, too_large())
    urls = [here(file["uri"], file["name"]) for file in files]
    largest = SIGNED_UP_TO if settings.PODS_CALL else MOST_IN_ONE
    elsewhere = [i for i, file in enumerate(files) if not file["uri"].startswith(STORE) and file["size"] <= largest]
    keys = [_key(files[i]["uri"], files[i]["name"]) for i in elsewhere]
    found = outside.signed(files[elsewhere[0]]["uri"], reach.pipeline_root, "PUT", keys) if elsewhere else []
    for i, url in zip(elsewhere, found, strict=False):
        urls[i] = url
    return urls


def _key(uri: str, name: str) -> str:
    """The key in its bucket; all outputs of an attempt lie in one."""
    _, _, key = uri.partition("://")[2].partition("/")
    return f"{key}/{name}" if name else key
