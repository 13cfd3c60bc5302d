"""Removes what a deleted run left behind: attempts, pods, logs, result documents, and artifacts.

Or a part of it, where a rule of retention says so. Whatever holds it may be away: then it is to be called again.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Sequence

import obstore
from django.conf import settings

from runs import results
from runs.executing import executor
from runs.execution.locations import STORE
from runs.executors.base import AttemptKey, ExecutorUnavailable
from runs.ordering import key_of
from runs.store import NotReadable, explained, open_store
from runs.stores import store_options


class NotRemoved(Exception):
    """Something is left of a run, because what holds it did not answer. The message is for people."""


def remove_run(run_id: str, pipeline_root: str, running: Sequence[tuple[str, int]]) -> None:
    """Ends the attempts named by path and number, and deletes the run's logs, workspace and artifacts. Safe to call twice.

    Artifacts in a bucket stay: they are the user's to clear. Raises NotRemoved where the executor, a disk or the store of
    results did not answer: then it is to be called again.
    """
    remove_whole_run(run_id, pipeline_root, running, buckets=False)


def remove_whole_run(run_id: str, pipeline_root: str, running: Sequence[tuple[str, int]] = (), *, buckets: bool = True) -> int:
    """The same with the artifacts wherever they lie; the bytes that this freed. Raises NotRemoved."""
    problems = [_end_attempts(run_id, [key_of(run_id, path, number) for path, number in running])]
    freed = 0
    for remove in (
        lambda: remove_logs(run_id),
        lambda: _remove_folder(pathlib.Path(settings.HOST_DIR) / "workspaces" / run_id),
        lambda: remove_artifacts(run_id, pipeline_root, buckets=buckets),
        lambda: _remove_results(run_id),
    ):
        try:
            freed += remove()
        except NotRemoved as error:
            problems.append(str(error))
    if problem := next(filter(None, problems), ""):
        raise NotRemoved(f"What the deleted run {run_id} left behind could not be removed: {problem}")
    return freed


def remove_logs(run_id: str) -> int:
    """Deletes the logs of a run; the bytes that this freed. Raises NotRemoved."""
    return _remove_folder(pathlib.Path(settings.LOGS_DIR) / run_id)


def remove_artifacts(run_id: str, pipeline_root: str, *, buckets: bool = True) -> int:
    """Deletes what a run stored below its own folder, on disk or in its bucket; the bytes that this freed. Raises NotRemoved.

    A root whose last part is not the run's id is no folder of its own, and is left alone.
    """
    root = pipeline_root.partition("?")[0].rstrip("/")
    if root.rpartition("/")[2] != run_id:
        return 0
    scheme, _, rest = root.partition("://")
    if scheme == "minio":
        base = pathlib.Path(settings.ARTIFACTS_DIR).resolve()
        folder = (base / rest).resolve()
        if folder.is_relative_to(base) and folder.name == run_id:
            freed = _remove_folder(folder)
            if freed or root.startswith(STORE):
                return freed
    return _remove_objects(root, pipeline_root) if buckets else 0


def remove_place(where: str) -> int:
    """Deletes a folder, or all objects below a URI; the bytes that this freed. Raises NotRemoved."""
    return _remove_objects(where, settings.PIPELINE_ROOT) if "://" in where else _remove_folder(pathlib.Path(where))


def _remove_objects(root: str, pipeline_root: str) -> int:
    freed = 0
    try:
        opened = open_store(root, store_options(pipeline_root))
        with explained(root):
            for batch in obstore.list(opened.store, prefix=f"{opened.key}/"):
                with contextlib.suppress(FileNotFoundError):
                    obstore.delete(opened.store, [meta["path"] for meta in batch])
                freed += sum(meta["size"] for meta in batch)
    except NotReadable as error:
        raise NotRemoved(str(error).replace("cannot be read", "cannot be removed")) from None
    return freed


def _remove_folder(folder: pathlib.Path) -> int:
    """Deletes a folder that is called like a run; the bytes of what was in it. Raises NotRemoved."""
    try:
        freed = folder_size(folder)
        try:
            shutil.rmtree(folder)
        except PermissionError:
            _open_up(folder)
            shutil.rmtree(folder)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise NotRemoved(f"The folder {folder} cannot be removed: {error.strerror or error}.") from None
    return freed


def _open_up(folder: pathlib.Path) -> None:
    """A step may have closed folders of its own to everybody: their owner may open them. Raises OSError."""
    folder.chmod(0o700)
    for inside, folders, _ in os.walk(folder):
        for name in folders:
            path = pathlib.Path(inside, name)
            if not path.is_symlink():
                path.chmod(0o700)


def folder_size(folder: pathlib.Path) -> int:
    """Bytes of the files below a folder, as far as one may look; 0 where there is none. Raises OSError."""
    total = 0
    waiting = [folder]
    while waiting:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            for entry in waiting.pop().iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    waiting.append(entry)
                else:
                    total += entry.lstat().st_size
    return total


def _remove_results(run_id: str) -> int:
    if settings.EXECUTOR != "kubernetes":
        return 0
    try:
        results.remove(settings.RESULTS_ROOT, store_options(), run_id)
    except NotReadable as error:
        raise NotRemoved(str(error)) from None
    return 0


def _end_attempts(run_id: str, keys: Sequence[AttemptKey]) -> str:
    """Ends them and removes what the executor has of the run; why not, where that could not be done and has to be."""
    try:
        executor().stop(keys, grace=0)
        executor().forget(keys)
        executor().clear(run_id)
    except (ExecutorUnavailable, NotReadable) as error:
        return str(error) if keys or settings.EXECUTOR == "kubernetes" else ""
    return ""
