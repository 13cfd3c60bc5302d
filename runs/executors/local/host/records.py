"""What is on disk of attempts: order, process, result. It outlives the host.

`<folder>/attempts/<name>/` holds `order.json`, `result.json` once it has ended (written beside, then renamed) and the step's own
`work/` until then. As with the rows in SQLite, what is written outlives every process but is not forced to the disk: that would
cost each step 3 ms, and one whose result goes in a power cut is started again.
`<folder>/processes` has a line for every process that was started.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import pathlib
import queue
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runs.execution.attempt import AttemptOrder
from runs.execution.result import InvalidResult, Result
from runs.executors.local.host import processes

Json = Any
_ENOUGH = 100 * 1024 * 1024  # bytes
_ROOM_AGAIN = 0.5  # seconds until a result that found no room is tried again
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


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

    def begin(self, order: Mapping[str, Json]) -> None:
        """Keeps the order. Raises OSError."""
        os.makedirs(self.folder, exist_ok=True)
        _replace(f"{self.folder}/order.json", json.dumps(order).encode())

    def finish(self, result: Result) -> None:
        """Keeps the result: it outlives this process when this returns. Raises OSError."""
        os.makedirs(self.folder, exist_ok=True)
        _replace(f"{self.folder}/result.json", result.to_text().encode(errors="surrogatepass"))

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

    @property
    def home(self) -> pathlib.Path:
        """The step's working folder."""
        return self.work / "home"

    def tidy(self, *, keep_home: bool = False) -> None:
        """Removes all but order and result; `keep_home` leaves the working folder for a further attempt, where there is room."""
        keep_home = keep_home and _room(self.folder)
        if not keep_home:
            shutil.rmtree(self.work, ignore_errors=True)
            return
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.work):
                if entry.name != self.home.name:
                    shutil.rmtree(entry.path, ignore_errors=True)

    def take_home(self, earlier: Record) -> None:
        """Goes on in the working folder of an earlier attempt, where that is still there."""
        self.work.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            os.rename(earlier.home, self.home)

    def remove(self) -> None:
        """Removes everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def set_aside(self, folder: pathlib.Path) -> Record:
        """Moves it to where what is forgotten waits for its removal: a host that is killed before that is not told again."""
        try:
            return Record(self.folder.rename(folder / self.name))
        except OSError:  # there already, or not there at all
            return self


def all_records(folder: pathlib.Path) -> Iterator[Record]:
    """Every attempt's, in any order."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # steps have what their components set as environment, which may be secret
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield Record(pathlib.Path(entry.path))


class Processes:
    """The file of processes that were started: what a host that was killed left is found by it."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._boot = processes.boot()
        self._file = -1

    def end_left(self) -> None:
        """Ends what an earlier host left running, and begins the file anew. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            alive = processes.sessions()
            for line in self._path.read_text().splitlines():
                pid, _, rest = line.partition(" ")
                began, _, boot = rest.partition(" ")
                # Its leader may be gone while the session lives on; then its number cannot have been given away.
                if boot != self._boot or not pid.isdigit() or (alive is not None and int(pid) not in alive):
                    continue
                if processes.started(int(pid)) in ("", began):
                    processes.kill_session(int(pid))
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def clear(self) -> None:
        """Nothing is left running."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)

    def add(self, pid: int) -> None:
        """A process was started."""
        if self._file >= 0:
            with contextlib.suppress(OSError):  # a full disk: it is found by its environment
                os.write(self._file, f"{pid} {processes.started(pid)} {self._boot}\n".encode())


class Keeper:
    """Does what takes the disk's time in a thread of its own, in order: results first come, first kept."""

    def __init__(self) -> None:
        self._closing = threading.Event()
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._chores: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=[which], name=name, daemon=True)
            for which, name in ((self._queue, "results"), (self._chores, "chores"))
        ]
        for thread in self._threads:
            thread.start()

    def keep(self, record: Record, result: Result, done: Callable[[Exception | None], object]) -> None:
        """Keeps a result, which waits where there is no room; then calls `done`, in the thread.

        A result that found no room until the end is not told of: the next host finds that its attempt was lost.
        """

        def work() -> None:
            try:
                if self._keep(record, result):
                    done(None)
            except (OSError, UnicodeError) as error:
                done(error)

        self._queue.put(work)

    def _keep(self, record: Record, result: Result) -> bool:
        """Whether it is kept, False where the host ends before there is room. Raises OSError for other faults of the disk."""
        told = False
        while True:
            try:
                record.finish(result)
                return True
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                if not told:  # the disk may be full of what the step left
                    told = True
                    record.tidy()
                    print(f"kfdash host: {record.name} has ended; its result is stored once there is room.", file=sys.stderr)
                elif self._closing.wait(_ROOM_AGAIN):
                    return False

    def later(self, chore: Callable[[], None]) -> None:
        """Something that nobody waits for."""
        self._chores.put(chore)

    def close(self) -> None:
        """Returns when all has been done that there is room for, or after some seconds."""
        self._closing.set()
        for which in (self._queue, self._chores):
            which.put(None)
        for thread in self._threads:
            thread.join(5)

    @staticmethod
    def _work(which: queue.SimpleQueue[Callable[[], None] | None]) -> None:
        while work := which.get():
            with contextlib.suppress(OSError):
                work()


def _room(folder: pathlib.Path) -> bool:
    """Whether the disk has enough left for what nobody may need any more."""
    try:
        return shutil.disk_usage(folder).free > _ENOUGH
    except OSError:
        return False


def _replace(path: str, data: bytes) -> None:
    beside = f"{path}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
    os.rename(beside, path)
