"""A rule of retention as a value, and in words. Plain Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ENDED = ("SUCCEEDED", "FAILED", "CANCELED")  # how a run may have ended, in the order of pages
MOST_AGE = 100 * 365 * 86400  # seconds
MOST_NEWEST = 1_000_000
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class What(StrEnum):
    """What a rule removes."""

    RUNS = "runs"  # rows, and all that hangs on them
    ARTIFACTS = "artifacts"  # contents of outputs; the run stays and says so
    LOGS = "logs"
    PODS = "pods"
    CACHE = "cache"
    ACTIVITY = "activity"  # rows of the log of who did what
    ORPHANS = "orphans"  # logs and outputs on disks and in the bucket that belong to no run


class Per(StrEnum):
    """Of what the newest are counted."""

    EXPERIMENT = "experiment"
    PIPELINE = "pipeline"


OF_RUNS = (What.RUNS, What.ARTIFACTS, What.LOGS)  # the others look at other things than runs


class WrongRule(ValueError):
    """A rule that cannot be. `field` says where; the message is for people."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Rule:
    """What goes when: older than `age` seconds since the end, but not the `newest`. With neither, all stays.

    `experiment` is the experiment's id, empty for the whole site. An experiment's rules for one thing (`what`) take the place of
    the site's. `per` says of what the newest are counted.
    """

    what: What
    age: int | None = None
    newest: int | None = None
    per: Per = Per.EXPERIMENT
    states: tuple[str, ...] = ENDED
    experiment: str = ""
    id: int = 0

    @property
    def keeps_all(self) -> bool:
        """Whether it only says that nothing goes."""
        return self.age is None and self.newest is None

    def to_json(self) -> dict[str, Any]:
        """As it is kept with a pass."""
        return {
            "what": self.what.value,
            "age": self.age,
            "newest": self.newest,
            "per": self.per.value,
            "states": list(self.states),
            "experiment": self.experiment,
            "id": self.id,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Rule:
        """The inverse of `to_json`."""
        return cls(
            What(kept["what"]),
            kept["age"],
            kept["newest"],
            Per(kept["per"]),
            tuple(kept["states"]),
            kept["experiment"],
            kept["id"],
        )


def check(rule: Rule) -> None:
    """Raises WrongRule for a rule that makes no sense."""
    if rule.what not in (What.ORPHANS, What.CACHE, What.ACTIVITY) and not rule.states:
        raise WrongRule("states", "Choose at least one way in which the runs ended.")
    if set(rule.states) - set(ENDED):
        raise WrongRule("states", "Only runs that have ended can be meant: succeeded, failed or stopped.")
    if rule.age is not None and not 0 < rule.age <= MOST_AGE:
        raise WrongRule("age", "The age must be more than nothing and at most 100 years.")
    if rule.newest is not None and not 0 < rule.newest <= MOST_NEWEST:
        raise WrongRule("newest", f"The number that stays must be from 1 to {MOST_NEWEST:,}.")
    if rule.keeps_all and not rule.experiment:
        raise WrongRule("age", "Say from which age on, or how many of the newest stay: without a rule everything stays anyway.")
    if rule.what in (What.PODS, What.ORPHANS, What.ACTIVITY) and rule.newest is not None:
        raise WrongRule("newest", "Pods, the activity log and what belongs to no run go by their age alone.")
    if rule.what in (What.ORPHANS, What.ACTIVITY) and rule.experiment:
        raise WrongRule("experiment", "This belongs to no experiment: make it a rule of the whole site.")
    if rule.what is What.ORPHANS and (rule.age or 0) < 86400:
        raise WrongRule("age", "What belongs to no run stays for at least a day: it may be about to get its run.")
    if rule.what is What.CACHE and rule.newest is not None and rule.per is not Per.PIPELINE:
        raise WrongRule("per", "Cache entries are counted by pipeline.")


def governing(rules: Iterable[Rule], what: What, experiment: str) -> list[Rule]:
    """The rules for one thing that a run of this experiment falls under: the experiment's own, else the site's."""
    found = [rule for rule in rules if rule.what is what]
    own = [rule for rule in found if rule.experiment and rule.experiment == experiment]
    return own or [rule for rule in found if not rule.experiment]


# --- in words -------------------------------------------------------------------------------------------------------


def span(seconds: int) -> str:
    """`90 days`, `1 hour`, `36 hours`: in the largest unit that leaves nothing over."""
    size, word = next((size, word) for size, word in _UNITS if seconds % size == 0)
    count = seconds // size
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def sentence(rule: Rule, experiment_name: str = "") -> str:
    """The rule as a sentence. `experiment_name` is that of its experiment, where it has one."""
    where = f" of experiment {experiment_name}" if experiment_name else " of an experiment that was deleted"
    where = where if rule.experiment else ""
    match rule.what:
        case What.ORPHANS:
            return f"Logs and outputs that belong to no run are removed {span(rule.age or 0)} after their last change."
        case What.ACTIVITY:
            return f"What stands in the activity log for more than {span(rule.age or 0)} is removed."
        case What.PODS:
            return _of_pods(rule, where)
        case What.CACHE:
            return _of_cache(rule, where)
    what = {What.RUNS: "Runs", What.LOGS: "The logs of runs", What.ARTIFACTS: "The outputs of runs"}[rule.what]
    if rule.keeps_all:
        return f"{what}{where} are never removed."
    stays = " The runs themselves stay." if rule.what is not What.RUNS else ""
    if rule.age is None:
        return f"{what}{where} that {_ended(rule.states)} are removed, except for {_newest(rule)}.{stays}"
    but = f", but {_newest(rule)} stay{'s' if rule.newest == 1 else ''}" if rule.newest is not None else ""
    return f"{what}{where} that {_ended(rule.states)} more than {span(rule.age)} ago are removed{but}.{stays}"


def _newest(rule: Rule) -> str:
    count = f"the newest {rule.newest:,}" if rule.newest != 1 else "the newest"
    each = "" if rule.experiment and rule.per is Per.EXPERIMENT else f" of each {rule.per.value}"
    return count + each


def _ended(states: tuple[str, ...]) -> str:
    words = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELED": "were stopped"}
    found = [words[state] for state in ENDED if state in states]
    if len(found) == len(ENDED):
        return "ended"
    return " or ".join(found)


def _of_pods(rule: Rule, where: str) -> str:
    steps = f"steps{where}" if len(rule.states) == len(ENDED) else f"steps{where} that {_ended(rule.states)}"
    if rule.age is None:
        return f"Pods of {steps} are never removed."
    return f"Pods of {steps} are removed {span(rule.age)} after their end."


def _of_cache(rule: Rule, where: str) -> str:
    if rule.keeps_all:
        return f"Cache entries{where} are never removed."
    newest = f"the newest {rule.newest:,} of each pipeline" if rule.newest is not None else ""
    if rule.age is None:
        return f"Cache entries{where} are removed, except for {newest}."
    but = f", but {newest} stay" if newest else ""
    return f"Cache entries{where} that were neither made nor used for {span(rule.age)} are removed{but}."
