"""Amounts as people write them, in the sentences about steps: wherever a step runs, they are worded the same."""

from __future__ import annotations


def size(count: int) -> str:
    """Bytes: `3.2 GiB`, `4 MiB`."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 or value.is_integer() else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def seconds(count: float) -> str:
    """A duration: `90 s`, `5 min`, `2 h`."""
    if count >= 7200 and count % 3600 == 0:
        return f"{count / 3600:.0f} h"
    return f"{count / 60:.0f} min" if count >= 120 and count % 60 == 0 else f"{count:g} s"
