"""Removes what a deleted run left behind: attempts that still run, logs, artifacts in kfdash's own store."""

from __future__ import annotations

import logging
import pathlib
import shutil
from collections.abc import Sequence

from django.conf import settings

from runs.dispatch import key_of
from runs.executing import executor
from runs.executors.base import ExecutorUnavailable

log = logging.getLogger(__name__)


def remove_run(run_id: str, pipeline_root: str, running: Sequence[tuple[str, int]]) -> None:
    """Ends the attempts named by path and number, and deletes the run's logs, workspace and artifacts. Safe to call twice."""
    keys = [key_of(run_id, path, number) for path, number in running]
    try:
        executor().stop(keys, grace=0)
        executor().forget(keys)
        executor().clear(run_id)
    except ExecutorUnavailable as error:
        if keys or settings.EXECUTOR == "kubernetes":
            log.warning("Attempts of the deleted run %s could not be ended: %s", run_id, error)
    workspace = pathlib.Path(settings.HOST_DIR) / "workspaces" / run_id
    for folder in (pathlib.Path(settings.LOGS_DIR) / run_id, workspace, _own_folder(pipeline_root, run_id)):
        if folder is not None and folder.name == run_id:
            shutil.rmtree(folder, ignore_errors=True)


def _own_folder(pipeline_root: str, run_id: str) -> pathlib.Path | None:
    """The run's folder in kfdash's own store; None where its artifacts lie in a bucket, which is the user's to clear."""
    scheme, _, rest = pipeline_root.partition("?")[0].partition("://")
    if scheme != "minio":
        return None
    base = pathlib.Path(settings.ARTIFACTS_DIR).resolve()
    folder = (base / rest).resolve()
    return folder if folder.is_relative_to(base) and folder.name == run_id else None
