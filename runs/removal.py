"""Removes what a deleted run left behind: attempts, pods, logs, result documents, and artifacts in kfdash's own store."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Sequence

from django.conf import settings

from runs import results
from runs.executing import executor
from runs.executors.base import AttemptKey, ExecutorUnavailable
from runs.ordering import key_of
from runs.store import NotReadable
from runs.stores import store_options


class NotRemoved(Exception):
    """Something is left of a run, because what holds it did not answer. The message is for people."""


def remove_run(run_id: str, pipeline_root: str, running: Sequence[tuple[str, int]]) -> None:
    """Ends the attempts named by path and number, and deletes the run's logs, workspace and artifacts. Safe to call twice.

    Raises NotRemoved where the executor or the store of results did not answer: then it is to be called again.
    """
    problem = _end_attempts(run_id, [key_of(run_id, path, number) for path, number in running])
    workspace = pathlib.Path(settings.HOST_DIR) / "workspaces" / run_id
    for folder in (pathlib.Path(settings.LOGS_DIR) / run_id, workspace, _own_folder(pipeline_root, run_id)):
        if folder is not None and folder.name == run_id:
            shutil.rmtree(folder, ignore_errors=True)
    if settings.EXECUTOR == "kubernetes":
        try:
            results.remove(settings.RESULTS_ROOT, store_options(), run_id)
        except NotReadable as error:
            problem = problem or str(error)
    if problem:
        raise NotRemoved(f"What the deleted run {run_id} left behind could not be removed: {problem}")


def _end_attempts(run_id: str, keys: Sequence[AttemptKey]) -> str:
    """Ends them and removes what the executor has of the run; why not, where that could not be done and has to be."""
    try:
        executor().stop(keys, grace=0)
        executor().forget(keys)
        executor().clear(run_id)
    except (ExecutorUnavailable, NotReadable) as error:
        return str(error) if keys or settings.EXECUTOR == "kubernetes" else ""
    return ""


def _own_folder(pipeline_root: str, run_id: str) -> pathlib.Path | None:
    """The run's folder in kfdash's own store; None where its artifacts lie in a bucket, which is the user's to clear."""
    scheme, _, rest = pipeline_root.partition("?")[0].partition("://")
    if scheme != "minio":
        return None
    base = pathlib.Path(settings.ARTIFACTS_DIR).resolve()
    folder = (base / rest).resolve()
    return folder if folder.is_relative_to(base) and folder.name == run_id else None
