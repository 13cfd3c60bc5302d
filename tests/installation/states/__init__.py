"""Databases as each version left them, as SQL, with a run that had ended and one that was under way.

`python -m tests.installation.states` adds that of the present migrations; it is made once for each state that is released, and
stays (`0003_artifacts_looked_for` was made by the program that was released with it). `--back-to NAME` makes that of an earlier
state by taking migrations back, for those from before this was here.
"""

from __future__ import annotations

import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent
ENDED, UNDER_WAY = "had ended", "was under way"  # the names of the runs


def newest_migration() -> str:
    """The name of the last migration of runs, then that of pipelines, once there is more than its first."""
    runs, pipelines = (newest(app) for app in ("runs", "pipelines"))
    return runs if pipelines == "0001_initial" else f"{runs}-{pipelines}"


def newest(app: str) -> str:
    """The name of the last migration of an app."""
    return max(path.stem for path in (FOLDER.parents[2] / app / "migrations").glob("[0-9]*.py"))
