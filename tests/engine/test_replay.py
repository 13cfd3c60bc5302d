"""A run from its events: what they carry is enough to see it as it was at any of them."""

from __future__ import annotations

from dataclasses import replace

from runs.engine.model import AttemptProgressed, Event, Phase, State, Values
from runs.engine.record import replay
from tests.engine.build import dag, pipeline, step, task
from tests.engine.world import START, World

ONE = step("one", inputs={"x": "NUMBER_INTEGER"})


def loop_of(count: int) -> World:
    return World(pipeline(dag("root", [task("each", "one", over=list(range(count)), item="x")]), ONE))


def test_a_run_is_seen_as_it_was_after_any_of_its_events() -> None:
    world = World(pipeline(dag("root", [task("a", "one", inputs={"x": 1}), task("b", "one", after=("a",), inputs={"x": 2})]), ONE))
    world.script = lambda task, number: "It broke." if task.path == "root/b" else Values()
    world.go()
    at = world.kinds().index("task.succeeded root/a") + 1
    then = replay(world.events[:at])
    assert then["root"].state is State.RUNNING and then["root"].finished_at is None
    assert then["root/a"].state is State.SUCCEEDED and then["root/b"].state is State.PENDING
    last = replay(world.events)
    assert last["root/b"].state is State.FAILED and last["root/b"].reason == "It broke."
    assert last["root"].state is State.FAILED


def test_a_thousand_iterations_are_made_in_a_few_words() -> None:
    world = loop_of(1000)
    world.look()
    made = next(event for event in world.events if event.kind == "task.started" and event.path == "root/each")
    assert len(str(made.data)) < 1000
    assert sum(path.startswith("root/each[") for path in replay(world.events)) == 1000


def test_a_step_that_waits_no_more_says_so() -> None:
    world = loop_of(1)
    world.look()
    world.tell(AttemptProgressed("root/each[0]", 1, Phase.QUEUED, world.now, "No room.", attention=True))
    assert replay(world.events)["root/each[0]"].attention
    world.tell(AttemptProgressed("root/each[0]", 1, Phase.STARTING, world.now))
    assert not replay(world.events)["root/each[0]"].attention
    assert world.events[-1].kind == "attempt.progressed"


def test_a_retried_run_is_replayed_through_its_retry() -> None:
    world = loop_of(3)
    world.script = lambda task, number: "It broke." if number == 1 and "[1]" in task.path else Values()
    world.go().retry()
    assert world.state() == "SUCCEEDED"
    before = world.kinds().index("task.reset root/each[1]")
    assert replay(world.events[:before])["root/each[1]"].state is State.FAILED
    assert replay(world.events)["root/each[1]"].attempt == 2


def test_events_from_before_differences_were_kept_still_tell_the_states() -> None:
    world = loop_of(2).go()
    old = [
        replace(event, data={key: value for key, value in event.data.items() if key not in ("to", "also")})
        for event in world.events
    ]
    replayed = replay(old)
    assert {path: one.state for path, one in replayed.items()} == {path: one.state for path, one in world.tasks.tasks.items()}
    assert replayed["root/each"].kind.is_group and replayed["root"].finished_at is not None


def test_iterations_in_gaps_and_single_ones_are_written_and_read_alike() -> None:
    event = Event("task.changed", "root/l", START, data={"also": [[{"state": "SKIPPED"}, ["root/l[2-4]", "root/l[9]", "root/a"]]]})
    assert list(replay([event])) == ["root/l[2]", "root/l[3]", "root/l[4]", "root/l[9]", "root/a"]
