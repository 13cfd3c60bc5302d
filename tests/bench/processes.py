"""What Linux tells of processes; nothing of those that are gone."""

from __future__ import annotations

import contextlib
import os
import pathlib

_TICKS = os.sysconf("SC_CLK_TCK")
_ESTABLISHED = "01"


def children(pid: int) -> list[int]:
    """The processes that it has begun and that run."""
    found: list[int] = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def processor_time(pid: int) -> float:
    """Seconds of processor time of a process so far."""
    return processor_times(pid)[0]


def processor_times(pid: int) -> tuple[float, float]:
    """Seconds of processor time of a process, and of its children that are gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS, (int(fields[13]) + int(fields[14])) / _TICKS


def resident(pid: int) -> int:
    """The memory of a process, KiB."""
    return _field(f"/proc/{pid}/status", "VmRSS")


def share(pid: int) -> int:
    """The proportional share of memory (PSS) of a process, KiB."""
    return _field(f"/proc/{pid}/smaps_rollup", "Pss")


def _field(path: str, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0


def peers(pid: int) -> list[int]:
    """The other side's port of each TCP connection of a process."""
    inodes = set()
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(link))
    found = []
    for line in pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _ESTABLISHED and f"socket:[{fields[9]}]" in inodes:
            found.append(int(fields[2].rpartition(":")[2], 16))
    return found
