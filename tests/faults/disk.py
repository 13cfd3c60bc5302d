"""A small disk of a test's own, and how it becomes full."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator


class NoDisk(Exception):
    """None can be mounted here; the message says why."""


@contextlib.contextmanager
def mounted(folder: pathlib.Path, room: int) -> Iterator[pathlib.Path]:
    """A disk of `room` MiB at a folder that is made for it. Raises NoDisk."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}m", "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise NoDisk(f"No disk for this test can be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: pathlib.Path) -> pathlib.Path:
    """Leaves no room; returns the file to delete."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    assert os.statvfs(disk).f_bavail == 0
    return filler
