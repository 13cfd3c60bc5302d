"""How states, times, durations and sizes are said on pages. A leaf: plain Python, knows neither app."""

from __future__ import annotations

from datetime import UTC, datetime

STATE_WORDS = {
    "PENDING": "Pending",
    "RUNNING": "Running",
    "SUCCEEDED": "Succeeded",
    "SKIPPED": "Skipped",
    "FAILED": "Failed",
    "CANCELING": "Stopping",
    "CANCELED": "Stopped",
}
UNKNOWN = "–"

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def state_word(state: str, *, attention: bool = False, cached: bool = False, starting: bool = False) -> str:
    """The word for a state: `Waiting` for a pending thing that needs attention, `Cached` for a success out of the cache,
    `Starting` for a pending step whose attempt is being prepared."""
    if state == "PENDING" and attention:
        return "Waiting"
    if state == "PENDING" and starting:
        return "Starting"
    if state == "SUCCEEDED" and cached:
        return "Cached"
    return STATE_WORDS.get(state, state.capitalize())


def state_mark(state: str, *, attention: bool = False, cached: bool = False, starting: bool = False) -> str:
    """The id of the symbol in the sprite, without `st-`."""
    if state == "PENDING" and attention:
        return "WAITING"
    if state == "PENDING" and starting:
        return "STARTING"
    if state == "SUCCEEDED" and cached:
        return "CACHED"
    return state


def duration(seconds: float | None) -> str:
    """`40 ms`, `4.2 s`, `38 s`, `2 m 21 s`, `1 h 11 m`, `3 d 4 h`; a dash where unknown."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.095:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} m {whole % _MINUTE:02} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} m"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def ago(at: datetime, now: datetime) -> str:
    """`just now`, `14 min ago`, `3 h ago`, `yesterday`, `8 days ago`; beyond 30 days the date. `in 4 h` for what is to come."""
    seconds = (now - at).total_seconds()
    if seconds < -5:
        return f"in {_rough(-seconds)}"
    if seconds < 5:
        return "just now"
    if seconds < _DAY:
        return f"{_rough(seconds)} ago"
    days = (now.date() - at.date()).days
    if days <= 1:
        return "yesterday"
    return f"{days} days ago" if days <= 30 else date(at)


def _rough(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h"
    return f"{seconds // _DAY:.0f} days" if seconds >= 2 * _DAY else "1 day"


def date(at: datetime) -> str:
    """`5 Mar 2026`."""
    return f"{at.day} {at:%b %Y}"


def absolute(at: datetime) -> str:
    """The whole time with its zone, for titles: `2026-03-05 14:02:11 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def size(count: float | None) -> str:
    """Bytes in decimal units, as file managers say them: `182 kB`, `4.0 MB`; a dash where unknown."""
    if count is None:
        return UNKNOWN
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.1f} {unit}" if count < 9.95 else f"{count:.0f} {unit}"
    return f"{count:,.0f} TB"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 step`, `12 steps`, `1,204 steps`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
