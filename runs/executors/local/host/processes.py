"""Processes of this machine: who is still the one that was recorded, and ending what was left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator

_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes this process the parent of what its descendants leave behind (Linux only)."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def started(pid: int) -> str:
    """When a process started, as a text that tells two of the same number apart; empty for none."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[19]
    except OSError:
        pass
    except IndexError:
        return ""
    if _LINUX or not (ps := shutil.which("ps")):
        return ""
    return subprocess.run([ps, "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()


def boot() -> str:
    """Names this start of the machine: process numbers of another one mean nothing."""
    try:
        return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def sessions() -> set[int] | None:
    """All sessions that have a process; None where processes cannot be listed."""
    if not os.path.isdir("/proc/self"):
        return None
    found = set()
    for pid in _all():
        with contextlib.suppress(OSError):
            found.add(os.getsid(pid))
    return found


def many_in_sessions(limit: int) -> dict[int, int]:
    """Sessions with more than `limit` processes, with their number. Costs little while the machine has no more than that."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        if int(pathlib.Path("/proc/loadavg").read_text().split()[3].rpartition("/")[2]) <= limit:
            return {}
    found: dict[int, int] = {}
    for pid in _all():
        with contextlib.suppress(OSError):
            session = os.getsid(pid)
            found[session] = found.get(session, 0) + 1
    return {session: count for session, count in found.items() if count > limit}


def kill_session(pid: int) -> None:
    """Ends the group of a process and, where they can be listed, all of its session."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    for other in _all():
        with contextlib.suppress(OSError):
            if os.getsid(other) == pid:
                os.kill(other, signal.SIGKILL)


def kill_marked(variable: str, values: Collection[str]) -> int:
    """Ends all processes whose environment has `variable` with one of the values; returns how many (Linux only)."""
    marks = {f"{variable}={value}".encode() for value in values}
    count = 0
    for pid in _all():
        try:
            environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if marks.intersection(environment.split(b"\0")) and pid != os.getpid():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                count += 1
    return count


def _all() -> Iterator[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())


def out_of_memory_kills() -> int:
    """How often the kernel has ended a process for lack of memory since the machine started; 0 where it does not say."""
    try:
        for line in pathlib.Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
