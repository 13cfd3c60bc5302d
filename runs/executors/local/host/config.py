"""What the host is told when it starts."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass


def default_places() -> int:
    """How many steps run at once: many wait for something, few compute."""
    return max(4, 4 * (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class Config:
    """Folders and limits. Sizes in bytes, times in seconds."""

    folder: pathlib.Path  # attempts, environments, workspaces
    socket: pathlib.Path
    artifacts: pathlib.Path
    logs: pathlib.Path
    places: int = 0  # steps at once; 0: by the number of cores
    log_bytes: int = 200 * 1024 * 1024  # of one step's log
    log_lines: int = 2_000_000
    output_bytes: int = 20 * 1024**3  # what one step may write into its folders
    most_processes: int = 4096  # of one step
    grace: float = 10.0  # between SIGTERM and SIGKILL when a time limit is reached or the host ends
    idle: float = 300.0  # until a warm process that is not used ends
    pass_on: tuple[str, ...] = ()  # names of environment variables that steps get from the host's

    @property
    def attempts(self) -> pathlib.Path:
        """Where records are."""
        return self.folder / "attempts"

    @property
    def forgotten(self) -> pathlib.Path:
        """Where records wait to be removed."""
        return self.folder / "forgotten"

    @property
    def environments(self) -> pathlib.Path:
        """Where environments are."""
        return self.folder / "environments"

    @property
    def workspaces(self) -> pathlib.Path:
        """Where runs have their workspaces."""
        return self.folder / "workspaces"
