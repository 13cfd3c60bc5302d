"""What an attempt is given: its order, the files of its inputs, and their bytes."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlencode

import obstore
from django.conf import settings
from obstore import exceptions

from runs import models, web
from runs.engine.model import AttemptFailed
from runs.execution.attempt import AttemptOrder
from runs.execution.locations import STORE, UnsafeLocation, local_path, safe_segments
from runs.intake import outside
from runs.intake.rights import OVER, Reach
from runs.intake.threads import with_files
from runs.intake.wire import Refused
from runs.ordering import complete_orders
from runs.store import NothingThere, NotReadable, entries, explained, open_store
from runs.stores import store_options

LOG_LINES = 2_000_000  # of one step
_PIECE = 128 * 1024  # bytes
_FETCHED = ("minio://", "s3://", "gs://", "az://", "http://", "https://")

Json = Any


def order_of(row: models.Attempt) -> AttemptOrder | AttemptFailed:
    """The complete order of an attempt, or why it has failed: it could be made when its pod was. Raises Refused (410)."""
    run = models.Run.objects.get(pk=row.run_id)
    (built,) = complete_orders(run, [(row.path, row.number)])
    if isinstance(built, AttemptOrder | AttemptFailed):
        return built
    raise Refused(410, OVER)


def answer(order: AttemptOrder, reach: Reach, *, begun: bool = False, again: bool = False) -> dict[str, Json]:
    """The answer to a launcher that asks for its order: looks at the stores of all inputs, clears the outputs' places.

    Where the step has `begun` it has its inputs, and what lies at the outputs' places may be its own; so it may be where it is
    told `again`.
    """
    if order.number > 1 and not begun and not again:
        _clear_outputs(order, reach)
    inputs: dict[str, list[dict[str, Json]]] = {}
    problems: dict[str, str] = {}
    for uri in [] if begun else _input_uris(order):
        if not uri.startswith(_FETCHED):
            continue  # a model image, a path in the workspace: not fetched
        try:
            inputs[uri] = _files(uri, reach)
        except NotReadable as error:
            problems[uri] = str(error)
    return {
        "order": dataclasses.asdict(order),
        "inputs": inputs,
        "problems": problems,
        "limits": {
            "log_bytes": settings.STEP_LOG_MIB * 2**20,
            "log_lines": LOG_LINES,
            "output_bytes": settings.STEP_OUTPUT_MIB * 2**20,
        },
        "grace": settings.STOP_GRACE,
        "packages": settings.KFP_OVERLAY,
    }


def _input_uris(order: AttemptOrder) -> list[str]:
    listed = order.executor_input.get("inputs", {}).get("artifacts", {}).values()
    return list(dict.fromkeys(artifact.get("uri", "") for members in listed for artifact in members.get("artifacts", [])))


def _files(uri: str, reach: Reach) -> list[dict[str, Json]]:
    """Name, size and address of each file of an input. Nothing in kfdash's own store is an artifact without a file."""
    if uri.startswith(STORE):
        return [{"name": name, "size": size, "url": here(uri, name)} for name, size in own_files(uri)]
    if uri.startswith(("http://", "https://")):
        return [{"name": "", "size": -1, "url": here(uri, "")}]
    root = outside.root_of(uri, reach)
    found = entries(uri, store_options(root))
    signed = outside.signed(uri, root, "GET", [entry.key for entry in found])
    addresses = signed or [here(uri, entry.name) for entry in found]
    return [{"name": entry.name, "size": entry.size, "url": url} for entry, url in zip(found, addresses, strict=True)]


def here(uri: str, name: str) -> str:
    """Where this intake gives or takes a file."""
    return f"/v1/artifact?{urlencode({'uri': uri, 'name': name})}"


def own_files(uri: str) -> Iterator[tuple[str, int]]:
    """Name and bytes of each file of an artifact in kfdash's own store; links are left out. Raises NotReadable."""
    path = own_path(uri)
    if path.is_file():
        yield "", path.stat().st_size
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = pathlib.Path(folder, name)
            if file.is_file() and not file.is_symlink():
                yield file.relative_to(path).as_posix(), file.stat().st_size


def own_path(uri: str, name: str = "") -> pathlib.Path:
    """The path of a file of an artifact in kfdash's own store, whether it is there or not. Raises NotReadable."""
    try:
        path = pathlib.Path(local_path(uri, str(settings.ARTIFACTS_DIR)))
        path = path / safe_segments(name, name) if name else path
    except UnsafeLocation as error:
        raise NotReadable(str(error)) from None
    base = pathlib.Path(settings.ARTIFACTS_DIR).resolve()
    if not path.resolve().is_relative_to(base):
        raise NotReadable(f"{uri} leads out of the store.")
    return path


def _clear_outputs(order: AttemptOrder, reach: Reach) -> None:
    """Removes what an earlier attempt left where this one's outputs will lie. Raises Refused where that fails."""
    for listed in order.executor_input.get("outputs", {}).get("artifacts", {}).values():
        for artifact in listed.get("artifacts", []):
            uri = artifact.get("uri", "")
            if not reach.may_write(uri):
                continue
            try:
                _clear(uri, reach)
            except (NotReadable, OSError) as error:
                raise Refused(503, f"What an earlier attempt left at {uri} cannot be removed: {error}") from None


def _clear(uri: str, reach: Reach) -> None:
    if uri.startswith(STORE):
        path = own_path(uri)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    options = store_options(reach.pipeline_root)
    try:
        found = entries(uri, options)
    except NothingThere:
        return
    opened = open_store(uri, options)
    with explained(uri):
        obstore.delete(opened.store, [entry.key for entry in found])


# --- bytes ----------------------------------------------------------------------------------------------------------


async def opened(uri: str, name: str, reach: Reach) -> tuple[AsyncIterator[bytes], int | None]:
    """The bytes of a file of an input, in pieces, and how many there are. Raises Refused, NotReadable."""
    if uri.rstrip("/") not in reach.inputs:
        raise Refused(403, "Only inputs of this step can be read with its token.")
    if uri.startswith(STORE):
        return await with_files(_open_own, uri, name)
    if uri.startswith(("http://", "https://")):
        return await _open_web(uri)
    return await _open_object(uri, name, reach)


def _open_own(uri: str, name: str) -> tuple[AsyncIterator[bytes], int | None]:
    try:
        descriptor = os.open(own_path(uri, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise Refused(404, f"There is no file {name!r} in {uri}." if name else f"There is nothing at {uri}.") from None
    except OSError as error:
        raise Refused(404, f"{uri} cannot be read: {error.strerror}.") from None
    there = os.fstat(descriptor)
    if not stat.S_ISREG(there.st_mode):
        os.close(descriptor)
        raise Refused(404, f"{uri} is a folder there: ask for a file of it." if not name else f"{name!r} is no file of {uri}.")

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while piece := await with_files(os.read, descriptor, _PIECE):
                yield piece
        finally:
            os.close(descriptor)

    return pieces(), there.st_size


async def _open_web(uri: str) -> tuple[AsyncIterator[bytes], int | None]:
    context = web.opened(uri, allow_private=store_options().allow_private)
    try:
        response = await with_files(context.__enter__)
    except web.NotFetched as error:
        raise NotReadable(str(error)) from None
    chunks = response.chunks()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while piece := await with_files(next, chunks, b""):
                yield piece
        finally:
            await with_files(context.__exit__, None, None, None)

    return pieces(), response.size


async def _open_object(uri: str, name: str, reach: Reach) -> tuple[AsyncIterator[bytes], int | None]:
    options = store_options(await outside.root_by_rows(uri, reach))
    store, key = await with_files(open_store, uri, options)
    try:
        key = f"{key}/{safe_segments(name, name)}" if name else key
        with explained(uri):
            found = await obstore.get_async(store, key)
    except UnsafeLocation as error:
        raise NotReadable(str(error)) from None
    size: int = found.meta["size"]

    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for piece in found.stream(min_chunk_size=_PIECE):
                yield bytes(piece)
        except exceptions.BaseError as error:
            raise NotReadable(f"{uri} cannot be read to its end: {str(error)[:200]}") from None

    return pieces(), size
