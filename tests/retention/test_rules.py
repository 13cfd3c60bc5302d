"""Rules as people read them, and those that cannot be."""

from __future__ import annotations

import pytest

from runs.retention.rules import Per, Rule, What, WrongRule, check, governing, sentence, span

DAY = 86400


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            Rule(What.RUNS, 90 * DAY, 20, experiment="1"),
            "Runs of experiment iris that ended more than 90 days ago are removed, but the newest 20 stay.",
        ),
        (Rule(What.RUNS, 7 * DAY, states=("FAILED",)), "Runs that failed more than 7 days ago are removed."),
        (
            Rule(What.RUNS, None, 100),
            "Runs that ended are removed, except for the newest 100 of each experiment.",
        ),
        (
            Rule(What.RUNS, DAY, 1, Per.PIPELINE, ("FAILED", "CANCELED")),
            "Runs that failed or were stopped more than 1 day ago are removed, but the newest of each pipeline stays.",
        ),
        (
            Rule(What.LOGS, 30 * DAY),
            "The logs of runs that ended more than 30 days ago are removed. The runs themselves stay.",
        ),
        (
            Rule(What.ARTIFACTS, None, 5, experiment="1"),
            "The outputs of runs of experiment iris that ended are removed, except for the newest 5. The runs themselves stay.",
        ),
        (Rule(What.RUNS, experiment="1"), "Runs of experiment iris are never removed."),
        (Rule(What.PODS, 2 * 3600, states=("SUCCEEDED",)), "Pods of steps that succeeded are removed 2 hours after their end."),
        (
            Rule(What.CACHE, 30 * DAY, 1000, Per.PIPELINE),
            "Cache entries that were neither made nor used for 30 days are removed, but the newest 1,000 of each pipeline stay.",
        ),
        (Rule(What.ACTIVITY, 365 * DAY), "What stands in the activity log for more than 365 days is removed."),
        (Rule(What.ORPHANS, 7 * DAY), "Logs and outputs that belong to no run are removed 7 days after their last change."),
    ],
)
def test_a_rule_is_a_sentence(rule: Rule, expected: str) -> None:
    check(rule)
    assert sentence(rule, "iris" if rule.experiment else "") == expected


def test_a_rule_of_a_deleted_experiment_says_so() -> None:
    assert sentence(Rule(What.RUNS, experiment="1")) == "Runs of an experiment that was deleted are never removed."


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (Rule(What.RUNS), "age"),
        (Rule(What.RUNS, 0), "age"),
        (Rule(What.RUNS, 10**12), "age"),
        (Rule(What.RUNS, DAY, 0), "newest"),
        (Rule(What.RUNS, DAY, states=()), "states"),
        (Rule(What.RUNS, DAY, states=("RUNNING",)), "states"),
        (Rule(What.PODS, DAY, 3), "newest"),
        (Rule(What.ORPHANS, 60), "age"),
        (Rule(What.ORPHANS, 7 * DAY, experiment="1"), "experiment"),
        (Rule(What.CACHE, DAY, 3), "per"),
        (Rule(What.ACTIVITY, DAY, 3), "newest"),
        (Rule(What.ACTIVITY, DAY, experiment="1"), "experiment"),
    ],
)
def test_rules_that_make_no_sense_are_refused_at_their_field(rule: Rule, field: str) -> None:
    with pytest.raises(WrongRule) as caught:
        check(rule)
    assert caught.value.field == field


def test_a_rule_survives_being_written_down() -> None:
    rule = Rule(What.LOGS, 3600, 5, Per.PIPELINE, ("FAILED",), "abc", 7)
    assert Rule.from_json(rule.to_json()) == rule


def test_an_experiment_without_rules_of_its_own_falls_under_those_of_the_site() -> None:
    site, own = Rule(What.RUNS, DAY), Rule(What.RUNS, 9 * DAY, experiment="1")
    assert governing([site, own], What.RUNS, "1") == [own]
    assert governing([site, own], What.RUNS, "2") == [site]
    assert governing([site, own], What.LOGS, "1") == []


@pytest.mark.parametrize(("seconds", "words"), [(90 * DAY, "90 days"), (DAY, "1 day"), (36 * 3600, "36 hours"), (90, "90 seconds")])
def test_spans_are_said_in_the_largest_unit_that_leaves_nothing_over(seconds: int, words: str) -> None:
    assert span(seconds) == words
