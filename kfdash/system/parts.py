"""The parts of an installation as rows and sentences, made of what processes told and of what `kfdash up` keeps. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kfdash.doctor import Finding
from kfdash.pulse import LATE, Heard, Process
from kfdash.words import duration

STANDS_STILL = 15.0  # seconds without a turn of its loop
_REMEMBERED = 60.0  # seconds for which a part that ended by itself is spoken of
_TROUBLED = 15.0  # seconds for which what a process could not do is spoken of
_ASKED_OFTEN = {"database": 8.0, "redis": 8.0}  # by kind: what is met again at once while it lasts

UP, TROUBLED, GONE = "up", "troubled", "gone"
_TROUBLES = {
    "database": "The database has to be mended; until then runs wait, and nothing is lost.",
    "redis": "Redis has to be mended; until then jobs wait, and nothing is lost.",
    "disk": "Make room on that disk; until then runs wait, and nothing is lost.",
    "executor": "Until it answers no step is started or stopped and no end is seen; what runs goes on, and nothing is lost.",
}
_OTHER_TROUBLE = "It is tried again."


@dataclass(frozen=True)
class Part:
    """A part in words: what it does, what stands still without it, and the command that starts it alone."""

    name: str
    title: str
    does: str
    without: str
    command: str = ""


PARTS = {
    part.name: part
    for part in (
        Part("web", "Web", "pages, APIs and sockets", "Nobody answers pages and APIs.", "kfdash web"),
        Part(
            "intake", "Intake", "takes what pods tell", "Pods wait: nobody takes their logs, outputs and results.", "kfdash intake"
        ),
        Part("drive", "Worker", "advances runs", "Runs do not go on.", "kfdash worker"),
        Part("orders", "Orders", "starts and stops steps", "No step is started or stopped.", "kfdash orders"),
        Part("io", "Io", "imports, drawings, removing", "Imports, drawings and removals wait.", "kfdash io"),
        Part(
            "observer",
            "Observer",
            "sees what steps do; ticks",
            "Ends of steps and what falls due go unnoticed.",
            "kfdash observer",
        ),
        Part("host", "Host", "owns the steps of this machine", "No step runs."),
    )
}


@dataclass(frozen=True)
class Kept:
    """What `kfdash up` keeps of its parts: their pids, and how they last ended by themselves. Times are Unix seconds."""

    parts: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # name → {at, how, pause}


@dataclass(frozen=True)
class Row:
    """A part on the page. `state` is one of UP, TROUBLED, GONE; empty where nothing can be known of it now."""

    part: Part
    state: str
    processes: tuple[Process, ...] = ()
    needed: str = ""  # why it does not work
    notes: tuple[str, ...] = ()  # what else is worth a look
    trouble: tuple[str, str] | None = None  # of what kind, and what is said of it
    lost: tuple[Process, ...] = ()  # those that went without a word a moment ago, while others go on

    @property
    def shown(self) -> list[Shown]:
        """Its processes, with those that were lost."""
        return [*(Shown(one) for one in self.processes), *(Shown(one, lost=True) for one in self.lost)]


@dataclass(frozen=True)
class Shown:
    """A process on the page."""

    process: Process
    lost: bool = False

    @property
    def since(self) -> datetime:
        """When it began."""
        return datetime.fromtimestamp(self.process.started, UTC)

    @property
    def seen(self) -> datetime:
        """When it was last heard of."""
        return datetime.fromtimestamp(self.process.seen, UTC)

    @property
    def leads(self) -> bool:
        """Of several observers this one acts."""
        return not self.lost and bool(self.process.more.get("leads"))


def rows(expected: Sequence[str], heard: Heard | None, kept: Kept | None, *, lives: Mapping[int, bool], now: float) -> list[Row]:
    """A row for each expected part. `heard` is None while Redis is away, `kept` where there is no `kfdash up`.

    `lives` says of the pids in `kept` whether they run; `now` is Unix time by the clock of whoever asks.
    """
    return [_row(PARTS[name], heard, kept, lives, now) for name in expected]


def findings(found: Sequence[Row], known: Collection[str] = ()) -> list[Finding]:
    """What is wrong with the parts, in sentences that say what to do. Troubles of kinds that are `known` need no other."""
    own = [Finding(row.part.name, row.needed, ok=False) for row in found if row.needed]
    own += [Finding(row.part.name, note, ok=False, needed=False) for row in found for note in row.notes]
    said: dict[tuple[str, str], list[str]] = {}
    for row in found:
        if row.trouble and row.trouble[0] not in known:
            said.setdefault(row.trouble, []).append(row.part.title)
    return [*own, *(Finding(kind, _met(kind, says, titles), ok=False) for (kind, says), titles in said.items())]


def _met(kind: str, says: str, titles: Sequence[str]) -> str:
    whose = " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)
    return f"{whose} met this: {says.rstrip('.')}. {_TROUBLES.get(kind, _OTHER_TROUBLE)}"


def _row(part: Part, heard: Heard | None, kept: Kept | None, lives: Mapping[int, bool], now: float) -> Row:
    living = _living(part.name, heard, kept)
    if kept is not None and (ended := _ended(part, kept, lives, now)):
        return Row(part, GONE, living, ended)
    if heard is not None and not living and part.name != "host":
        return _silent(part, heard, kept)
    still = [one for one in living if one.stood > STANDS_STILL]
    trouble = None if still else _trouble(living)  # what stands still says nothing new
    state = TROUBLED if still or trouble else UP if heard is not None or kept is not None else ""
    lost = _lost(part.name, heard, living, kept)
    notes = [*_again(part, kept, now), *([_went(part, heard, lost, len(living))] if heard is not None and lost else [])]
    return Row(part, state, living, _stands_still(part, still, living, kept) if still else "", tuple(notes), trouble, lost)


def _again(part: Part, kept: Kept | None, now: float) -> list[str]:
    """That it ended a moment ago, and was started again."""
    end = kept.ends.get(part.name) if kept is not None else None
    if end is None or now - end["at"] >= _REMEMBERED:
        return []
    return [f"{part.title} ended {duration(now - end['at'])} ago ({end['how']}) and was started again. {_why(kept)}"]


def _went(part: Part, heard: Heard, lost: Sequence[Process], others: int) -> str:
    names = ", ".join(f"{one.machine} ({one.pid})" for one in lost)
    silence = duration(heard.now - max(one.seen for one in lost))
    rest = "the other one goes on" if others == 1 else f"the other {others} go on"
    return f"{part.title}: {names} was last heard of {silence} ago; {rest}. {_why(None)}"


def _living(name: str, heard: Heard | None, kept: Kept | None) -> tuple[Process, ...]:
    if heard is None:
        return ()
    found = heard.living(name)
    if kept is not None:  # one of each, and its pid is known: what was there before it has ended
        found = [one for one in found if one.pid == kept.parts.get(name, one.pid)]
    return tuple(found)


def _ended(part: Part, kept: Kept, lives: Mapping[int, bool], now: float) -> str:
    pid = kept.parts.get(part.name)
    if pid and lives.get(pid, True):
        return ""
    end = kept.ends.get(part.name)
    if end is None:
        return f"{part.title} does not run (yet). {part.without} `kfdash up` starts it."
    left = end["at"] + end["pause"] - now
    when = f"in {duration(left)}" if left > 0.5 else "now"
    return f"{part.title} ended ({end['how']}) and is started again {when}. {part.without} {_why(kept)}"


def _silent(part: Part, heard: Heard, kept: Kept | None) -> Row:
    before = [one for one in heard.processes if one.part == part.name]
    if heard.now - heard.up_since < LATE or (kept is not None and not before):
        return Row(part, "")  # Redis, or all of it, has just begun: it will be heard of
    if not before:
        return Row(part, GONE, (), f"No process of {part.title} was heard of within the last hour. {part.without} {_start(part)}")
    newest = max(before, key=lambda one: one.seen)
    silence = duration(heard.now - newest.seen)
    where = f"{newest.machine}, process {newest.pid}"
    return Row(part, GONE, (), f"{part.title} has not been heard of for {silence} ({where}). {part.without} {_start(part, kept)}")


def _stands_still(part: Part, still: Sequence[Process], living: Sequence[Process], kept: Kept | None) -> str:
    worst = max(still, key=lambda one: one.stood)
    which = "" if len(living) == 1 else f" of {worst.machine} ({worst.pid})"
    act = "End that process" if kept is not None else "Its probe has it started again"
    return (
        f"{part.title}{which} has stood still for {duration(worst.stood)}: it waits for something, or computes. "
        f"{part.without if len(still) == len(living) else 'The others go on.'} {act} if it lasts; nothing is lost by that."
    )


def _trouble(living: Sequence[Process]) -> tuple[str, str] | None:
    for one in living:
        for kind, told in one.more.get("troubles", {}).items():
            if one.clock - float(told["at"]) < _ASKED_OFTEN.get(kind, _TROUBLED):
                return str(kind), str(told["says"])
    return None


def _lost(name: str, heard: Heard | None, living: Sequence[Process], kept: Kept | None) -> tuple[Process, ...]:
    """Those that went without a word within the last minute, while others of the part go on."""
    if heard is None or kept is not None:
        return ()
    silent = [one for one in heard.processes if one.part == name and one not in living]
    return tuple(one for one in silent if LATE < heard.now - one.seen < _REMEMBERED)


def _start(part: Part, kept: Kept | None = None) -> str:
    if kept is not None:
        return "End that process: `kfdash up` starts another."
    return f"Look at its Deployment and its log, or start it: `{part.command}`."


def _why(kept: Kept | None) -> str:
    return "What `kfdash up` printed says why." if kept is not None else "Its log, and the events of its pod, say why."
