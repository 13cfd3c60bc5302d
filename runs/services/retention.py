"""Rules of retention as people make them, what they would do, and keeping a run from them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from kfdash import outbox
from runs import models
from runs.retention import passes
from runs.retention.leftovers import troubles
from runs.retention.reading import experiment_names, rule_value, rules_now
from runs.retention.rules import Rule, What, WrongRule, check, sentence
from runs.retention.work import REMOVED

MUCH = 100  # runs, logs of runs, … that a new rule would remove at once: from there on it asks for confirmation
_PATIENCE = 2.5  # seconds that a page waits for a dry run; then a job goes on with it
_DRY_KEPT = 20  # dry runs whose result is kept


class TooMuch(Exception):
    """A rule would remove much and was not confirmed. `trial` is the dry run that says what; the message is for people."""

    def __init__(self, trial: models.RetentionPass, message: str) -> None:
        super().__init__(message)
        self.trial = trial


def retention_rules(*, experiment: models.Experiment | None = None) -> list[tuple[models.RetentionRule, Rule, str]]:
    """(row, rule, sentence) of all rules, the site's first; or of those of one experiment."""
    rows = models.RetentionRule.objects.order_by("pk")
    if experiment is not None:
        rows = rows.filter(experiment_key=experiment.pk)
    values = [(row, rule_value(row)) for row in rows]
    names = experiment_names(rule for _, rule in values)
    told = [(row, rule, sentence(rule, names.get(rule.experiment, ""))) for row, rule in values]
    order = list(What)
    return sorted(told, key=lambda one: (bool(one[1].experiment), names.get(one[1].experiment, ""), order.index(one[1].what)))


def retention_of(experiment: models.Experiment) -> list[str]:
    """What is removed of an experiment's runs, in sentences: by its own rules, and by the site's for what it has none."""
    told = [(rule, said) for row, rule, said in retention_rules() if row.enabled]
    mine = [(rule, said) for rule, said in told if rule.experiment == str(experiment.pk)]
    covered = {rule.what for rule, _ in mine} | {What.ORPHANS, What.ACTIVITY}
    return [said for _, said in mine] + [said for rule, said in told if not rule.experiment and rule.what not in covered]


def sentence_of(row: models.RetentionRule) -> str:
    """A rule's row in words."""
    rule = rule_value(row)
    return sentence(rule, experiment_names([rule]).get(rule.experiment, ""))


def removed_something(row: models.RetentionPass) -> bool:
    """Whether a pass removed anything."""
    return any(row.counts.get(name) for name in REMOVED)


def sentences_of(row: models.RetentionPass) -> list[str]:
    """The rules that a pass goes by, in words."""
    rules = [Rule.from_json(kept) for kept in row.rules]
    names = experiment_names(rules)
    return [sentence(rule, names.get(rule.experiment, "")) for rule in rules]


def when_words() -> str:
    """When the rules are carried out, as a sentence (KFDASH_RETENTION)."""
    when = settings.RETENTION
    if when == "off":
        return "The rules are carried out only when somebody says so (KFDASH_RETENTION is off)."
    if when == "hourly":
        return "The rules are carried out every hour, on the hour; a new or changed one from the next hour on."
    return f"The rules are carried out every day at {when[0]:02}:{when[1]:02} UTC; a new or changed one from the next time on."


def save_retention_rule(rule: Rule, *, enabled: bool = True, by: str = "", confirmed: bool = False) -> models.RetentionRule:
    """Makes a rule, or changes the one with its id; it counts from the next time on that the rules are carried out.

    Raises WrongRule, RetentionRule.DoesNotExist, and TooMuch where it would remove much and that was not confirmed.
    """
    check(rule)
    if rule.experiment and not models.Experiment.objects.filter(pk=rule.experiment).exists():
        known = models.RetentionRule.objects.filter(pk=rule.id, experiment_key=rule.experiment)
        if not known.exists():
            raise WrongRule("experiment", "There is no such experiment.")
    if rule.id and not models.RetentionRule.objects.filter(pk=rule.id).exists():
        raise models.RetentionRule.DoesNotExist(f"There is no rule {rule.id}.")
    if enabled and not confirmed and not rule.keeps_all:
        _ask_where_much(rule, by)
    fields = {
        "experiment_key": rule.experiment or None,
        "what": rule.what.value,
        "states": list(rule.states),
        "age": rule.age,
        "newest": rule.newest,
        "per": rule.per.value,
        "enabled": enabled,
        "changed_at": timezone.now(),
        "changed_by": by,
    }
    row, _ = models.RetentionRule.objects.update_or_create(pk=rule.id or None, defaults=fields)
    return row


def _ask_where_much(rule: Rule, by: str) -> None:
    rules = rules_now()
    before = _total(try_rules_out(rules, by=by)) if rules else 0
    trial = try_rules_out([*(one for one in rules if one.id != rule.id), rule], by=by)
    count = _total(trial) - before
    if trial.finished_at is None:
        raise TooMuch(
            trial, "Counting what this rule would remove takes longer than a moment. Look at the dry run, then confirm it."
        )
    if count >= MUCH:
        raise TooMuch(trial, f"This rule would remove much the next time ({count:,} things). Confirm that it is meant so.")


def _total(trial: models.RetentionPass) -> int:
    return sum(trial.counts.get(name, 0) for name in REMOVED)


def delete_retention_rule(row: models.RetentionRule) -> None:
    """Deletes a rule; what it removed stays removed. A pass that goes by it ends with the batch at hand."""
    row.delete()


def try_rules_out(rules: Sequence[Rule] | None = None, *, by: str = "", wait: float = _PATIENCE) -> models.RetentionPass:
    """A dry run: what these rules (those that are on, where none are said) would remove now. Waits for it, but not for long.

    What takes longer is gone on with by a job; `finished_at` of the row says when it is done.
    """
    old = models.RetentionPass.objects.filter(dry=True).order_by("-created_at").values_list("pk", flat=True)[_DRY_KEPT:]
    models.RetentionPass.objects.filter(pk__in=list(old)).delete()
    row = None
    while row is None:
        row = passes.begin(rules_now() if rules is None else rules, due=timezone.now(), by=by, dry=True)
    claimed = passes.claim(row)
    if claimed is not None:
        passes.work_on(claimed, time.monotonic() + wait)
    row.refresh_from_db()
    if row.finished_at is None:
        outbox.enqueue("runs.jobs.carry_rules_out")
    return row


def carry_rules_out(*, by: str = "") -> models.RetentionPass | None:
    """Has the rules carried out now, whenever it would be time; None where a pass is under way or there are no rules."""
    rules = rules_now()
    with transaction.atomic():
        if not rules or models.RetentionPass.objects.filter(dry=False, finished_at=None).exists():
            return None
        row = passes.begin(rules, due=timezone.now(), by=by)
        outbox.enqueue("runs.jobs.carry_rules_out")
    return row


# --- one run --------------------------------------------------------------------------------------------------------


def keep_run(run: models.Run, *, by: str = "") -> None:
    """No rule removes anything of the run from now on."""
    _set_kept(run, {"kept_by": by}, timezone.now())


def let_run_go(run: models.Run) -> None:
    """Rules are about the run again."""
    _set_kept(run, {}, None)


def _set_kept(run: models.Run, said: dict[str, Any], at: Any) -> None:
    with transaction.atomic():
        row = models.Run.objects.select_for_update().only("pk", "retention").get(pk=run.pk)
        rest = {key: value for key, value in (row.retention or {}).items() if key != "kept_by"}
        models.Run.objects.filter(pk=run.pk).update(kept_at=at, retention={**rest, **said} or None)
    run.kept_at, run.retention = at, {**rest, **said} or None


__all__ = [
    "MUCH",
    "Rule",
    "TooMuch",
    "What",
    "WrongRule",
    "carry_rules_out",
    "delete_retention_rule",
    "keep_run",
    "let_run_go",
    "retention_rules",
    "removed_something",
    "retention_of",
    "rule_value",
    "save_retention_rule",
    "sentence_of",
    "sentences_of",
    "troubles",
    "try_rules_out",
    "when_words",
]
