"""How everything stands: the parts, database, Redis, disks, store and clocks, and all that is wrong, in sentences."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from kfdash import backup, processes, pulse
from kfdash.doctor import Finding
from kfdash.pulse import Heard, Process
from kfdash.system import looks, parts
from kfdash.system.asking import Look
from kfdash.words import duration

_CLOCKS_DIFFER = 5.0  # seconds, beyond which it is spoken of
_MARKED_FOR = 60.0  # seconds for which the mark beside "System" is good without a look
GENERAL = {  # what strangers and people without rights are told while it cannot be asked who they are
    "database": "The database does not answer or takes no changes. Runs wait for it and go on by themselves; nothing is lost.",
    "redis": "Redis does not answer. Jobs wait for it and pages stand still; nothing is lost.",
    "disk space": "The server's disk is full, or nearly so. Runs wait until there is room; nothing is lost.",
    "data folder": "The server cannot write where its data are kept. Runs wait until it can.",
}


@dataclass(frozen=True)
class Stand:
    """What was found. What cannot be known now is None; `findings` has the worst first."""

    rows: tuple[parts.Row, ...]
    findings: tuple[Finding, ...]
    database: looks.DatabaseSeen | None
    redis: looks.RedisSeen | None
    rooms: tuple[looks.Room, ...]
    store: str
    executor: str
    clocks: float | None
    resynced: datetime | None
    leader: Process | None
    backed_up: datetime | None

    @property
    def mark(self) -> str:
        """`bad` where something does not work, `warn` where something is to be looked at, else empty."""
        return mark_of(self.findings)


def mark_of(findings: Sequence[Finding]) -> str:
    """`bad`, `warn` or empty."""
    if any(not found.ok and found.needed for found in findings):
        return "bad"
    return "warn" if any(not found.ok for found in findings) else ""


def stand() -> Stand:
    """Looks at everything, at the same time; takes a moment, and some seconds where something does not answer."""
    asked = _looks()
    for look in asked:
        look.last()
    seen = {look.what: look.seen() for look in asked}
    database, redis_seen = seen["database"].value, seen["redis"].value
    rows = _rows(redis_seen.heard if redis_seen else None)
    found = [one for what in seen.values() for one in what.findings]
    found += _told(redis_seen.heard if redis_seen else None)
    gone = {row.part.name for row in rows if row.state == parts.GONE}
    found = [one for one in found if one.what not in gone]  # what is gone explains what waits for it
    found += parts.findings(rows, _known(found))
    found += _clocks(database, redis_seen)
    observers = redis_seen.heard.living("observer") if redis_seen else []
    leader = next((one for one in observers if one.more.get("leads")), None)
    return Stand(
        rows=tuple(rows),
        findings=tuple(sorted(found, key=lambda one: not one.needed)),
        database=database,
        redis=redis_seen,
        rooms=seen["disk space"].value or (),
        store=seen["store"].value or "",
        executor=_executor(leader),
        clocks=max(_differences(database, redis_seen).values(), key=abs, default=None),
        resynced=_moment(leader.more.get("resynced")) if leader else None,
        leader=leader,
        backed_up=backup.last(settings.LOGS_DIR),
    )


def _known(found: Sequence[Finding]) -> set[str]:
    """Kinds of trouble of which these findings tell already."""
    kinds = {"database": "database", "redis": "redis", "disk space": "disk", "data folder": "disk", "executor": "executor"}
    known = {kinds[one.what] for one in found if one.what in kinds and one.needed}
    return known | {"database"} if "disk" in known else known


def mark() -> str:
    """The mark beside "System" on every page, out of what is known; only after a while without pages it waits for a look."""
    if looks.redis_server.older(_MARKED_FOR):
        looks.redis_server.seen()
    redis_seen, database, disk = looks.redis_server.last(), looks.database.last(), looks.disk.last()
    rows = _rows(redis_seen.value.heard if redis_seen and redis_seen.value else None)
    found = [one for seen in (redis_seen, database, disk) if seen for one in seen.findings]
    return mark_of([*found, *parts.findings(rows, _known(found))])


def general(findings: Sequence[Finding]) -> list[str]:
    """The same without names, addresses and paths."""
    return list(dict.fromkeys(_general(found.what) for found in findings if found.needed and not found.ok))


def expected() -> list[str]:
    """The parts that an installation with these settings has."""
    with_pods = settings.EXECUTOR == "kubernetes"
    names = ["web", *(["intake"] if with_pods else []), "drive", "orders", "io", "observer"]
    return [*names, "host"] if settings.EXECUTOR == "local" and settings.EMBEDDED else names


def _looks() -> list[Look[Any]]:
    asked: list[Look[Any]] = [looks.database, looks.redis_server, looks.disk, looks.store]
    return [*asked, looks.host] if "host" in expected() else asked


def _rows(heard: Heard | None) -> list[parts.Row]:
    kept = _kept() if settings.EMBEDDED else None
    lives = {pid: processes.lives(pid) for pid in kept.parts.values()} if kept else {}
    return parts.rows(expected(), heard, kept, lives=lives, now=pulse.now())


def _kept() -> parts.Kept | None:
    """What `kfdash up` keeps in its lock."""
    with contextlib.suppress(OSError, ValueError):
        told = json.loads((settings.DATA_DIR / "lock").read_text())
        return parts.Kept(told.get("parts", {}), told.get("ends", {}))
    return None


def _told(heard: Heard | None) -> list[Finding]:
    """What processes found out themselves, such as the observer of its cluster."""
    found = {}
    for one in heard.processes if heard else ():
        if heard is not None and heard.now - one.seen <= pulse.LATE:
            for what, sentence, needed in one.more.get("findings", ()):
                found[sentence] = Finding(str(what), str(sentence), ok=False, needed=bool(needed))
    return list(found.values())


def _differences(database: looks.DatabaseSeen | None, redis_seen: looks.RedisSeen | None) -> dict[Process, float]:
    """Process → seconds by which its clock is before the database's (before Redis's, while the database does not answer)."""
    if redis_seen is None:
        return {}
    heard = redis_seen.heard
    redis_before = (database.ahead - redis_seen.ahead) if database else 0.0
    return {one: one.ahead + redis_before for one in heard.processes if heard.now - one.seen <= pulse.LATE}


def _clocks(database: looks.DatabaseSeen | None, redis_seen: looks.RedisSeen | None) -> list[Finding]:
    whose = "the database's" if database else "Redis'"
    found = []
    for one, ahead in _differences(database, redis_seen).items():
        if abs(ahead) > _CLOCKS_DIFFER:
            title = parts.PARTS[one.part].title if one.part in parts.PARTS else one.part
            where = "before" if ahead > 0 else "behind"
            sentence = (
                f"The clock of {title} ({one.machine}, process {one.pid}) is {duration(abs(ahead))} {where} {whose}: times on "
                "pages are wrong by that, and what waits for a time comes early or late. Have that machine's clock set (NTP)."
            )
            found.append(Finding("clock", sentence, ok=False, needed=False))
    return found


def _executor(leader: Process | None) -> str:
    return str(leader.more.get("executor", "")) if leader else ""


def _moment(at: Any) -> datetime | None:
    return datetime.fromtimestamp(float(at), UTC) if at else None


def _general(what: str) -> str:
    title = parts.PARTS[what].title if what in parts.PARTS else what.capitalize()
    return GENERAL.get(what, f"{title} does not work as it should.")
