"""The folder that launcher and `entry` share: names, the plan that one writes, and the note that the other leaves."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

SEGMENT_NAME = 16  # characters of `000000000001.log`


class Volume:
    """The folder and what lies in it. Methods raise OSError where the disk does not do its part."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        self.step, self.log, self.out = f"{self.folder}/step", f"{self.folder}/log", f"{self.folder}/out"
        self.packages = f"{self.folder}/python"

    def make(self) -> None:
        """Makes the folders; `entry`, which may run as anybody, writes there too."""
        for folder in (self.step, self.log, self.out):
            os.makedirs(folder, exist_ok=True)
            with contextlib.suppress(PermissionError):  # they are another user's
                os.chmod(folder, 0o777)

    def is_held(self) -> bool:
        """Whether `entry` is still there; also where that cannot be found out."""
        try:
            with open(f"{self.step}/held", "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False

    def write(self, name: str, data: bytes) -> None:
        """A file in `step` that appears whole."""
        beside = f"{self.step}/.{name}.new"
        with open(beside, "wb") as file:
            file.write(data)
        os.replace(beside, f"{self.step}/{name}")

    def read(self, name: str) -> bytes | None:
        """A file in `step`; None where it is not there."""
        try:
            with open(f"{self.step}/{name}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def has(self, name: str) -> bool:
        """Whether the file is in `step`."""
        return os.path.exists(f"{self.step}/{name}")

    def touch(self) -> None:
        """Tells `entry` that the launcher lives."""
        with open(f"{self.step}/alive", "ab"):
            os.utime(f"{self.step}/alive")


@dataclass
class Plan:
    """What `entry` is to do. Paths are those of the step's container."""

    argv: list[str]
    add: dict[str, str] = field(default_factory=dict)  # variables to set
    append: dict[str, str] = field(default_factory=dict)  # … to append to, with a colon
    folders: list[str] = field(default_factory=list)  # to be made
    readable: list[str] = field(default_factory=list)  # to be made readable for all when it has ended
    timeout: float | None = None  # seconds
    grace: float = 30.0  # seconds between SIGTERM and SIGKILL at the time limit
    log_bytes: int = 0
    log_lines: int = 0

    def records(self) -> bytes:
        """As `entry` reads it: a letter and a text each, ended by NUL. Raises ValueError for a text with NUL."""
        found = [f"A{text}" for text in self.argv]
        found += [f"E{name}={value}" for name, value in self.add.items()]
        found += [f"P{name}={value}" for name, value in self.append.items()]
        found += [f"D{path}" for path in self.folders]
        found += [f"R{path}" for path in self.readable]
        found += [f"G{self.grace:g}"]
        found += [f"L{self.timeout:g}"] if self.timeout else []
        found += [f"B{self.log_bytes}"] if self.log_bytes else []
        found += [f"N{self.log_lines}"] if self.log_lines else []
        return records(found)


def opened(path: str, top: str) -> IO[bytes]:
    """A file that the step wrote, to be read: it must truly be `top`, or lie below it. Raises OSError.

    Links are the step's to make, and would be followed among the launcher's own files.
    """
    # Without waiting for somebody to write into a named pipe that was left there.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    true = os.readlink(f"/proc/self/fd/{descriptor}")
    if true != top and not true.startswith(top + os.sep):
        os.close(descriptor)
        raise OSError(errno.ELOOP, "it is a link that leads elsewhere", path)
    return os.fdopen(descriptor, "rb")


def records(texts: list[str]) -> bytes:
    """Texts, each ended by NUL. Raises ValueError for a text that has one itself."""
    if bad := next((text for text in texts if "\0" in text), None):
        raise ValueError(f"A NUL character cannot be handed to the step: {bad[1:60]!r}.")
    return b"".join(text.encode(errors="surrogateescape") + b"\0" for text in texts)


@dataclass(frozen=True)
class Ended:
    """How the command ended. Times are Unix µs, `peak` bytes, `lines` how many lines the log has."""

    exit_code: int | None
    signal: int | None
    running: int
    finished: int
    peak: int
    timed_out: bool
    terminated: bool
    not_found: bool
    error: str
    lines: int

    @classmethod
    def read(cls, text: bytes) -> Ended:
        """From the note. Raises ValueError for one that is none."""
        data = json.loads(text)
        if not isinstance(data, Mapping):
            raise ValueError("The note on the step's end is not an object.")
        return cls(
            exit_code=_number(data.get("exitCode")),
            signal=_number(data.get("signal")),
            running=_number(data.get("running")) or 0,
            finished=_number(data.get("finished")) or 0,
            peak=_number(data.get("peakMemory")) or 0,
            timed_out=data.get("timedOut") is True,
            terminated=data.get("terminated") is True,
            not_found=data.get("notFound") is True,
            error=str(data.get("error") or ""),
            lines=_number(data.get("lines")) or 0,
        )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
