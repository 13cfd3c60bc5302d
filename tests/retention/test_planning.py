"""What rules mean for runs: examples, and what must hold for any rules and any runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.retention.planning import Ended, Verdict, Why, boundaries, plan
from runs.retention.rules import ENDED, OF_RUNS, Per, Rule, What

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = 86400


def run(name: str, days: float = 100, state: str = "SUCCEEDED", experiment: str = "x", pipeline: str = "p", **more: bool) -> Ended:
    """One that was made, and ended at once, so many days ago."""
    at = NOW - timedelta(days=days)
    return Ended(name, experiment, pipeline, state, at, at if state in ENDED else None, **more)


@dataclass
class World:
    """Runs in memory, and which of them use which: user → those it uses."""

    runs: list[Ended]
    uses: Mapping[str, Collection[str]] = field(default_factory=dict)

    def users(self, ids: Collection[str]) -> Mapping[str, Sequence[Ended]]:
        by_id = {one.id: one for one in self.runs}
        return {used: [by_id[user] for user, its in self.uses.items() if used in its and user in by_id] for used in ids}

    def plan(self, *rules: Rule, what: What = What.RUNS) -> dict[str, Verdict]:
        found = plan(self.runs, what, rules, boundaries(self.runs, rules), self.users, NOW)
        return {verdict.run.id: verdict for verdict in found}

    def going(self, *rules: Rule, what: What = What.RUNS) -> set[str]:
        return {name for name, verdict in self.plan(*rules, what=what).items() if verdict.goes}

    def carry_out(self, *rules: Rule) -> World:
        """What is left: one thing after the other, as a pass does it."""
        world = self
        for what in OF_RUNS:
            going = world.going(*rules, what=what)
            if what is What.RUNS:
                left = [one for one in world.runs if one.id not in going]
            elif what is What.ARTIFACTS:
                left = [replace(one, artifacts_gone=one.artifacts_gone or one.id in going) for one in world.runs]
            else:
                left = [replace(one, logs_gone=one.logs_gone or one.id in going) for one in world.runs]
            world = World(left, world.uses)
        return world


# --- examples -------------------------------------------------------------------------------------------------------


def test_without_rules_nothing_goes() -> None:
    assert World([run("old", 4000)]).going() == set()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule(What.RUNS, age=30 * DAY), {"b", "c", "d"}),
        (Rule(What.RUNS, age=30 * DAY, states=("FAILED",)), {"c"}),
        (Rule(What.RUNS, age=30 * DAY, newest=2), {"c", "d"}),
        (Rule(What.RUNS, newest=1), {"b", "c", "d"}),
        (Rule(What.RUNS, newest=4), set()),
        (Rule(What.RUNS, newest=9), set()),
        (Rule(What.RUNS, age=30 * DAY, experiment="x"), {"b", "c", "d"}),
        (Rule(What.RUNS, age=30 * DAY, experiment="y"), set()),
        (Rule(What.LOGS, age=30 * DAY), set()),
    ],
)
def test_age_number_state_and_experiment_of_a_rule(rule: Rule, expected: set[str]) -> None:
    runs = [run("a", 10), run("b", 31), run("c", 60, "FAILED"), run("d", 90), run("on", 99, "RUNNING"), run("e", 10, "FAILED")]
    runs[-1] = replace(runs[-1], experiment="z")
    assert World(runs).going(rule) - {"e"} == expected


def test_the_newest_are_counted_in_each_experiment_or_pipeline() -> None:
    runs = [run("a1", 1), run("a2", 2, pipeline="q"), run("b1", 3, experiment="y"), run("b2", 4, experiment="y", pipeline="q")]
    assert World(runs).going(Rule(What.RUNS, newest=1)) == {"a2", "b2"}
    assert World(runs).going(Rule(What.RUNS, newest=1, per=Per.PIPELINE)) == {"b1", "b2"}


def test_rules_of_an_experiment_take_the_place_of_those_of_the_site_for_the_same_thing() -> None:
    world = World([run("mine"), run("other", experiment="y")])
    site, own = Rule(What.RUNS, age=30 * DAY), Rule(What.RUNS, age=365 * DAY, experiment="x")
    assert world.going(site, own) == {"other"}
    assert world.going(site, Rule(What.RUNS, experiment="x")) == {"other"}, "all of it is kept"
    assert world.going(site, Rule(What.LOGS, experiment="x")) == {"mine", "other"}, "that is about something else"


def test_kept_runs_and_those_under_way_stay_and_it_is_said_why() -> None:
    found = World([run("kept", kept=True), run("on", state="RUNNING"), run("stopping", state="CANCELING")]).plan(
        Rule(What.RUNS, age=DAY)
    )
    assert {name: one.why for name, one in found.items()} == {
        "kept": Why.KEPT,
        "on": Why.UNDER_WAY,
        "stopping": Why.UNDER_WAY,
    }


@pytest.mark.parametrize("what", [What.RUNS, What.ARTIFACTS])
def test_a_run_whose_outputs_a_younger_one_has_stays_with_them(what: What) -> None:
    world = World([run("maker", 100), run("user", 10)], {"user": ["maker"]})
    verdict = world.plan(Rule(what, age=30 * DAY), what=what)["maker"]
    assert (verdict.why, verdict.user and verdict.user.id) == (Why.IN_USE, "user")
    assert World(world.runs, world.uses).going(Rule(What.LOGS, age=30 * DAY), what=What.LOGS) == {"maker"}, (
        "logs are of no use to it"
    )


def test_runs_that_use_one_another_go_together() -> None:
    world = World([run("first", 100), run("second", 60), run("third", 40)], {"second": ["first"], "third": ["second"]})
    assert world.going(Rule(What.RUNS, age=30 * DAY)) == {"first", "second", "third"}
    assert world.going(Rule(What.RUNS, age=50 * DAY)) == set(), "the third has the first one's by way of the second"
    world.runs[1] = replace(world.runs[1], artifacts_gone=True)
    assert world.going(Rule(What.RUNS, age=50 * DAY)) == {"first"}, "who has no outputs any more needs no others"


def test_a_user_whose_outputs_go_by_a_rule_of_their_own_holds_nothing() -> None:
    world = World([run("maker", 100), run("user", 10)], {"user": ["maker"]})
    rules = (Rule(What.RUNS, age=30 * DAY), Rule(What.ARTIFACTS, age=5 * DAY))
    assert world.going(*rules) == {"maker"}
    assert world.going(*rules, what=What.ARTIFACTS) == {"user"}, "what goes with its run is not counted apart"


def test_runs_that_use_each_other_in_a_circle_do_not_stay_for_ever() -> None:
    world = World([run("a"), run("b", 90)], {"a": ["b"], "b": ["a"]})
    assert world.going(Rule(What.RUNS, age=30 * DAY)) == {"a", "b"}


def test_where_too_many_use_one_another_in_a_row_the_first_stays() -> None:
    names = [f"r{i:03}" for i in range(80)]
    world = World([run(name, 200 - i) for i, name in enumerate(names)], {names[i + 1]: [names[i]] for i in range(79)})
    rule = Rule(What.RUNS, age=30 * DAY)
    page = [world.runs[0], world.runs[60]]
    verdicts = plan(page, What.RUNS, [rule], boundaries(world.runs, [rule]), world.users, NOW)
    assert [one.why for one in verdicts] == [Why.IN_USE, Why.RULE]


# --- whatever the rules and runs ------------------------------------------------------------------------------------

_STATES = ("SUCCEEDED", "FAILED", "CANCELED", "RUNNING", "PENDING")


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Up to twelve runs; each may use earlier ones, and now and then a later one."""
    count = draw(st.integers(1, 12))
    runs = [
        run(
            f"r{i:02}",
            draw(st.integers(0, 12)),
            draw(st.sampled_from(_STATES)),
            draw(st.sampled_from("xyz")),
            draw(st.sampled_from("pq")),
            kept=draw(st.booleans()) and draw(st.booleans()),
            artifacts_gone=draw(st.booleans()) and draw(st.booleans()),
            logs_gone=draw(st.booleans()) and draw(st.booleans()),
        )
        for i in range(count)
    ]
    uses = {
        one.id: draw(st.lists(st.sampled_from([other.id for other in runs if other is not one]), max_size=2))
        for one in runs
        if count > 1
    }
    return World(runs, uses)


@st.composite
def rule_sets(draw: st.DrawFn) -> list[Rule]:
    """Some rules, of the site and of experiments."""
    found = []
    for i in range(draw(st.integers(1, 5))):
        age = draw(st.none() | st.integers(0, 12).map(lambda days: days * DAY))
        newest = draw(st.none() | st.integers(1, 4))
        states = tuple(draw(st.sets(st.sampled_from(ENDED), min_size=1)))
        experiment = draw(st.sampled_from(["", "x", "y"]))
        found.append(Rule(draw(st.sampled_from(OF_RUNS)), age, newest, draw(st.sampled_from(Per)), states, experiment, i + 1))
    return found


@given(worlds(), rule_sets())
def test_what_is_under_way_kept_or_among_the_newest_is_never_removed(world: World, rules: list[Rule]) -> None:
    boundary = boundaries(world.runs, rules)
    for what in OF_RUNS:
        for verdict in world.plan(*rules, what=what).values():
            if verdict.goes:
                assert verdict.run.finished_at is not None and not verdict.run.kept and verdict.run.state in ENDED
                assert verdict.rule is not None and verdict.run.state in verdict.rule.states
                assert verdict.rule.experiment in ("", verdict.run.experiment)
                if verdict.rule.newest is not None:
                    oldest = boundary(verdict.rule, verdict.run)
                    assert oldest is not None and verdict.run.place < oldest


@given(worlds(), rule_sets())
def test_no_run_that_stays_with_its_outputs_loses_those_it_has_of_another(world: World, rules: list[Rule]) -> None:
    before = {one.id: one for one in world.runs}
    after = {one.id: one for one in world.carry_out(*rules).runs}
    for user, used in world.uses.items():
        if user in after and not after[user].artifacts_gone:
            for one in used:
                assert before[one].artifacts_gone or (one in after and not after[one].artifacts_gone)


@given(worlds(), rule_sets())
def test_carried_out_twice_is_carried_out_once(world: World, rules: list[Rule]) -> None:
    once = world.carry_out(*rules)
    assert once.carry_out(*rules).runs == once.runs


@given(worlds(), st.integers(1, 6), st.sampled_from(Per))
def test_a_rule_by_number_leaves_exactly_the_newest_and_what_has_another_reason_to_stay(
    world: World, newest: int, per: Per
) -> None:
    rule = Rule(What.RUNS, newest=newest, per=per)
    found = world.plan(rule)
    groups: dict[str, list[Ended]] = {}
    for one in world.runs:
        if one.finished_at is not None:
            groups.setdefault(one.group(rule), []).append(one)
    for runs in groups.values():
        runs.sort(key=lambda one: one.place, reverse=True)
        assert not any(found[one.id].goes for one in runs[:newest])
        for one in runs[newest:]:
            assert found[one.id].goes or found[one.id].why in (Why.KEPT, Why.IN_USE)
