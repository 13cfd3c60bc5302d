"""What rules mean for runs: which go, which stay and why. Plain Python; a dry run and the removal itself both ask here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from runs.retention.rules import ENDED, Per, Rule, What, governing

_DEEPEST = 50  # runs that use one another in a row; beyond that they all stay

Place = tuple[datetime, str]  # of a run among others: when it was made, and its id
Boundary = Callable[[Rule, "Ended"], "Place | None"]
Users = Callable[[Collection[str]], Mapping[str, Sequence["Ended"]]]


class Why(StrEnum):
    """Why a run goes or stays."""

    RULE = "rule"  # it goes
    NOT_MEANT = "not meant"  # no rule is about it, or what the rule removes is gone already
    UNDER_WAY = "under way"
    KEPT = "kept"  # somebody said so
    NEWEST = "newest"
    IN_USE = "in use"  # by a run that stays: it shows or takes outputs of this one


@dataclass(frozen=True, slots=True)
class Ended:
    """A run as far as rules look at it, whether it has ended or not."""

    id: str
    experiment: str
    pipeline: str
    state: str
    created_at: datetime
    finished_at: datetime | None
    kept: bool = False
    logs_gone: bool = False
    artifacts_gone: bool = False

    @property
    def place(self) -> Place:
        """Where it stands among others: later is newer."""
        return self.created_at, self.id

    def group(self, rule: Rule) -> str:
        """Among which runs a rule counts the newest."""
        return self.pipeline if rule.per is Per.PIPELINE else self.experiment


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a run, by which rule, and who uses it where that is why it stays."""

    run: Ended
    why: Why
    rule: Rule | None = None
    user: Ended | None = None

    @property
    def goes(self) -> bool:
        """Whether what the rule is about is removed."""
        return self.why is Why.RULE


def judge(run: Ended, what: What, rules: Iterable[Rule], boundary: Boundary, now: datetime) -> Verdict:
    """What rules say of one run, whoever uses it. `boundary` has the oldest of a rule's newest, None where all are among them."""
    if run.finished_at is None or run.state not in ENDED:
        return Verdict(run, Why.UNDER_WAY)
    if (what is What.LOGS and run.logs_gone) or (what is What.ARTIFACTS and run.artifacts_gone):
        return Verdict(run, Why.NOT_MEANT)
    meant = [rule for rule in governing(rules, what, run.experiment) if _means(rule, run, now)]
    if not meant:
        return Verdict(run, Why.NOT_MEANT)
    if run.kept:
        return Verdict(run, Why.KEPT, meant[0])
    for rule in meant:
        if rule.newest is None:
            return Verdict(run, Why.RULE, rule)
        oldest = boundary(rule, run)
        if oldest is not None and run.place < oldest:
            return Verdict(run, Why.RULE, rule)
    return Verdict(run, Why.NEWEST, meant[0])


def _means(rule: Rule, run: Ended, now: datetime) -> bool:
    """Whether a rule is about a run, its newest not counted."""
    if rule.keeps_all or run.state not in rule.states or run.finished_at is None:
        return False
    return rule.age is None or run.finished_at <= now - timedelta(seconds=rule.age)


def plan(
    runs: Sequence[Ended], what: What, rules: Sequence[Rule], boundary: Boundary, users: Users, now: datetime
) -> list[Verdict]:
    """A verdict on each of the runs.

    `users` says which other runs use the outputs of given ones. Who uses a run keeps it, whole and its outputs, as long as it
    has its own outputs itself; one that goes for its part keeps nothing. What goes with its whole run is not meant apart.
    """
    verdicts = [judge(run, what, rules, boundary, now) for run in runs]
    whole = {run.id for run in runs if what is not What.RUNS and judge(run, What.RUNS, rules, boundary, now).goes}
    asked = [one.run for one in verdicts if one.run.id in whole or (one.goes and what is not What.LOGS)]
    held = _held(asked, rules, boundary, users, now)
    found = []
    for verdict in verdicts:
        run = verdict.run
        if run.id in whole and run.id not in held and verdict.why is not Why.NOT_MEANT:
            found.append(Verdict(run, Why.NOT_MEANT))
        elif verdict.goes and what is not What.LOGS and run.id in held:
            found.append(Verdict(run, Why.IN_USE, verdict.rule, held[run.id]))
        else:
            found.append(verdict)
    return found


def _held(runs: Sequence[Ended], rules: Sequence[Rule], boundary: Boundary, users: Users, now: datetime) -> dict[str, Ended]:
    """Those that a run which stays uses, at first or at further hand, with that run."""
    used_by: dict[str, list[Ended]] = {}
    holders: dict[str, Ended] = {}  # runs that stay with their outputs whatever becomes of others
    level = {run.id for run in runs}
    for _ in range(_DEEPEST):
        level -= used_by.keys()
        if not level:
            break
        found = users(level)
        following: set[str] = set()
        for one in level:
            used_by[one] = [user for user in found.get(one, ()) if not user.artifacts_gone]
            for user in used_by[one]:
                if _stays(user, rules, boundary, now):
                    holders[user.id] = user
                else:
                    following.add(user.id)
        level = following
    else:
        holders |= {one: user for one in level for users_of in used_by.values() for user in users_of if user.id == one}
    return _reached(used_by, holders)


def _stays(run: Ended, rules: Sequence[Rule], boundary: Boundary, now: datetime) -> bool:
    return not any(judge(run, what, rules, boundary, now).goes for what in (What.RUNS, What.ARTIFACTS))


def _reached(used_by: Mapping[str, Sequence[Ended]], holders: Mapping[str, Ended]) -> dict[str, Ended]:
    """Run → a holder that it leads to."""
    uses: dict[str, list[str]] = {}
    for one, its_users in used_by.items():
        for user in its_users:
            uses.setdefault(user.id, []).append(one)
    held: dict[str, Ended] = {}
    for holder in holders.values():
        ahead = [holder.id]
        while ahead:
            for one in uses.get(ahead.pop(), ()):
                if one not in held:
                    held[one] = holder
                    ahead.append(one)
    return held


def boundaries(runs: Sequence[Ended], rules: Iterable[Rule]) -> Boundary:
    """The boundary of all rules, counted over runs in memory: what `reading` asks the database for."""
    groups: dict[tuple[Rule, str], list[Place]] = {}
    for rule in rules:
        for run in runs if rule.newest is not None else ():
            if run.finished_at is not None and run.state in rule.states and rule.experiment in ("", run.experiment):
                groups.setdefault((rule, run.group(rule)), []).append(run.place)
    for places in groups.values():
        places.sort(reverse=True)

    def boundary(rule: Rule, run: Ended) -> Place | None:
        places = groups.get((rule, run.group(rule)), [])
        return places[rule.newest - 1] if rule.newest is not None and len(places) >= rule.newest else None

    return boundary
