"""What is on disk of attempts: order, process, result. It outlives the host.

`<folder>/attempts/<name>/` holds `order.json`, `process.json` while it runs, `result.json` once it has ended (written beside,
forced to the disk, renamed) and the step's own `work/` until then.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator

from runs.execution.attempt import AttemptOrder
from runs.execution.result import InvalidResult, Result
from runs.executors.local.host import processes


class Taken(Exception):
    """Another host has this folder."""


def lock(folder: pathlib.Path) -> int:
    """Takes the folder for this process's life; returns the descriptor that holds it. Raises Taken, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise Taken(f"Another host (process {other or 'unknown'}) already uses {folder}; end it first.") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def unlock(descriptor: int) -> None:
    """Gives the folder back."""
    os.close(descriptor)


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """The folder of one attempt."""

    folder: pathlib.Path

    @property
    def name(self) -> str:
        """The attempt's."""
        return self.folder.name

    @property
    def work(self) -> pathlib.Path:
        """The step's own folder."""
        return self.folder / "work"

    @property
    def job(self) -> pathlib.Path:
        """What the forked step reads."""
        return self.folder / "job.json"

    def begin(self, order: AttemptOrder) -> None:
        """Keeps the order. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _replace(self.folder / "order.json", json.dumps(dataclasses.asdict(order)).encode(), force=False)

    def running(self, pid: int) -> None:
        """Keeps which process it is. Raises OSError."""
        data = {"pid": pid, "started": processes.started(pid), "boot": processes.boot()}
        _replace(self.folder / "process.json", json.dumps(data).encode(), force=False)

    def finish(self, result: Result) -> None:
        """Keeps the result, on the disk when this returns. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _replace(self.folder / "result.json", result.to_text().encode(errors="surrogatepass"), force=True)

    def order(self) -> AttemptOrder | None:
        """The order, None where it is not there or damaged."""
        try:
            return AttemptOrder.from_json(json.loads((self.folder / "order.json").read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def result(self) -> Result | None:
        """The result, None while there is none (or a damaged one, which counts as none)."""
        try:
            return Result.from_text((self.folder / "result.json").read_bytes())
        except (OSError, InvalidResult):
            return None

    def end_process(self) -> None:
        """Ends what an earlier host left running of it."""
        try:
            data = json.loads((self.folder / "process.json").read_bytes())
        except (OSError, ValueError):
            return
        if data["boot"] != processes.boot():
            return
        # The leader may be gone and its session live on; then its number cannot have been given to another group.
        now = processes.started(data["pid"])
        if now in ("", data["started"]):
            processes.kill_session(data["pid"])

    def tidy(self) -> None:
        """Removes all but order and result."""
        shutil.rmtree(self.work, ignore_errors=True)
        for name in ("job.json", "process.json"):
            (self.folder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def all_records(folder: pathlib.Path) -> Iterator[Record]:
    """Every attempt's, in any order."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield Record(pathlib.Path(entry.path))


def _replace(path: pathlib.Path, data: bytes, *, force: bool) -> None:
    beside = path.with_suffix(".tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if force:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(beside, path)
