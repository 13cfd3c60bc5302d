"""The form of a rule of retention: what stands in it, and the rule that it means."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.http import QueryDict

from runs.retention.rules import ENDED, Per, Rule, What, WrongRule, check

UNITS = {"days": 86400, "hours": 3600}
WHATS = (
    (What.RUNS, "Runs, with all that hangs on them"),
    (What.ARTIFACTS, "Outputs; the runs stay"),
    (What.LOGS, "Logs; the runs stay"),
    (What.CACHE, "Cache entries"),
    (What.PODS, "Pods of steps that ended"),
    (What.ACTIVITY, "The activity log"),
    (What.ORPHANS, "Logs and outputs that belong to no run"),
)
STATES = tuple(zip(ENDED, ("Succeeded", "Failed", "Stopped"), strict=True))


@dataclass
class RuleForm:
    """A rule as it stands in the controls; `errors` has a sentence by field."""

    what: str = What.RUNS.value
    experiment: str = ""
    states: tuple[str, ...] = ENDED
    age: str = ""
    unit: str = "days"
    newest: str = ""
    per: str = Per.EXPERIMENT.value
    enabled: bool = True
    rule_id: int = 0
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rule: Rule, *, enabled: bool) -> RuleForm:
        """The form of a rule that there is."""
        unit = "hours" if rule.age is not None and rule.age % UNITS["days"] else "days"
        return cls(
            rule.what.value,
            rule.experiment,
            rule.states,
            "" if rule.age is None else f"{rule.age / UNITS[unit]:g}",
            unit,
            "" if rule.newest is None else str(rule.newest),
            rule.per.value,
            enabled,
            rule.id,
        )

    @classmethod
    def read(cls, data: QueryDict, rule_id: int = 0) -> RuleForm:
        """The form as it was sent."""
        return cls(
            data.get("what", ""),
            data.get("experiment", ""),
            tuple(state for state in ENDED if state in data.getlist("state")),
            data.get("age", "").strip(),
            data.get("unit", "days"),
            data.get("newest", "").strip(),
            data.get("per", ""),
            data.get("enabled") == "on",
            rule_id,
        )

    def rule(self) -> Rule | None:
        """The rule that is meant; None where there are errors now."""
        try:
            rule = Rule(
                self._what(),
                self._age(),
                self._number(),
                Per.PIPELINE if self.what == What.CACHE or self.per == Per.PIPELINE else Per.EXPERIMENT,
                self.states if self.what not in (What.CACHE, What.ACTIVITY, What.ORPHANS) else ENDED,
                self._experiment(),
                self.rule_id,
            )
            check(rule)
        except WrongRule as error:
            self.errors[error.field] = str(error)
            return None
        return rule

    @property
    def chosen(self) -> Mapping[str, bool]:
        """State → whether it is ticked."""
        return {state: state in self.states for state in ENDED}

    def _what(self) -> What:
        if self.what not in set(What):
            raise WrongRule("what", "Choose what is removed.")
        return What(self.what)

    def _age(self) -> int | None:
        if not self.age:
            return None
        try:
            seconds = float(self.age.replace(",", ".")) * UNITS.get(self.unit, UNITS["days"])
            return int(seconds)
        except (ValueError, OverflowError):
            raise WrongRule("age", f"{self.age[:20]!r} is no number.") from None

    def _number(self) -> int | None:
        if not self.newest:
            return None
        if not (self.newest.isascii() and self.newest.isdecimal() and len(self.newest) < 12):
            raise WrongRule("newest", f"{self.newest[:20]!r} is no whole number.")
        return int(self.newest)

    def _experiment(self) -> str:
        if not self.experiment:
            return ""
        try:
            return str(uuid.UUID(self.experiment))
        except ValueError:
            raise WrongRule("experiment", "There is no such experiment.") from None
