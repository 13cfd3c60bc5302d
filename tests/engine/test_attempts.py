"""Attempts: phases, retries with back-off, losses, the cache, and facts that come late or twice."""

from datetime import timedelta

import pytest

from pipelines.spec.model import ContainerSpec, ImporterSpec, RetryPolicy
from runs.engine.model import (
    AttemptFailed,
    AttemptLost,
    AttemptProgressed,
    AttemptStopped,
    AttemptSucceeded,
    CacheUse,
    Kind,
    LookInCache,
    Phase,
    StartAttempt,
    State,
    TimeCame,
    Values,
    WakeLater,
)
from runs.engine.retries import MOST_LOSSES
from tests.engine.build import dag, pipeline, step, task
from tests.engine.test_properties import nothing_changes
from tests.engine.world import World, outputs

PLAIN = step("plain", outputs={"Output": "NUMBER_INTEGER"})


def one_step(**options) -> World:
    """A run of one step called `t`, looked over once."""
    world = World(pipeline(dag("root", [task("t", "plain", **options)]), PLAIN))
    world.look()
    return world


def test_a_task_waits_until_its_code_runs_and_says_for_what() -> None:
    world = one_step()
    path, at = "root/t", world.now
    world.tell(AttemptProgressed(path, 1, Phase.QUEUED, at, "No node has 8 CPUs free.", attention=True))
    assert world.state("t") == "PENDING" and world["t"].attention and world["t"].reason == "No node has 8 CPUs free."
    world.tell(AttemptProgressed(path, 1, Phase.STARTING, at, "Installing scikit-learn."))
    assert world.state("t") == "PENDING" and not world["t"].attention and world["t"].reason == "Installing scikit-learn."
    world.tell(AttemptProgressed(path, 1, Phase.RUNNING, at + timedelta(seconds=5)))
    assert world.state("t") == "RUNNING" and world["t"].reason == "" and world["t"].started_at == at + timedelta(seconds=5)
    nothing_changes(world, AttemptProgressed(path, 1, Phase.QUEUED, at, "Late.", attention=True))
    world.tell(AttemptProgressed(path, 1, Phase.COLLECTING, at + timedelta(seconds=6)))
    world.tell(AttemptSucceeded(path, 1, at + timedelta(seconds=7), outputs(Output=1), peak_memory=1024))
    attempt = world.tasks.attempts[path, 1]
    assert attempt.state is State.SUCCEEDED and attempt.peak_memory == 1024 and attempt.starting_at == at
    assert world["t"].finished_at == at + timedelta(seconds=7)
    for late in (
        AttemptSucceeded(path, 1, at),
        AttemptFailed(path, 1, at, "Late."),
        AttemptLost(path, 1, at, "Late."),
        AttemptStopped(path, 1, at),
    ):
        nothing_changes(world, late)


def test_an_end_may_come_without_any_phase_before_it() -> None:
    world = one_step()
    world.tell(AttemptSucceeded("root/t", 1, world.now, outputs(Output=1), running_at=world.now))
    assert world.run.state is State.SUCCEEDED and world["t"].started_at == world.tasks.attempts["root/t", 1].running_at


def test_a_step_is_tried_again_after_a_growing_pause() -> None:
    world = one_step(retry=RetryPolicy(3, delay=10, factor=1.5))
    for number, seconds in ((1, 10), (2, 15), (3, 22.5)):
        world.tell(AttemptFailed("root/t", number, world.now, "Exit code 1.", exit_code=1))
        assert world.state("t") == "PENDING" and world["t"].failures == number
        assert f"Retry {number} of 3 in {seconds:g} s" in world["t"].reason
        wake = world.orders[-1]
        assert isinstance(wake, WakeLater) and wake.due == world.now + timedelta(seconds=seconds)
        world.now = wake.due
        world.tell(TimeCame("root/t"))
        assert isinstance(world.orders[-1], StartAttempt) and world.orders[-1].number == number + 1
    world.tell(AttemptFailed("root/t", 4, world.now, "Exit code 1.", exit_code=1))
    assert world.state("t") == "FAILED" and world["t"].reason == "Exit code 1. (4 attempts failed.)"


def test_a_wake_up_before_its_time_is_ordered_once_more() -> None:
    """Whoever hands it in may have another clock than the engine, or the clock was set back: it must come again."""
    world = one_step(retry=RetryPolicy(1, delay=10))
    world.tell(AttemptFailed("root/t", 1, world.now, "Exit code 1."))
    due, task = world.now + timedelta(seconds=10), world["t"]
    world.now += timedelta(seconds=9)
    step = world.tell(TimeCame("root/t"))
    assert list(step.orders) == [WakeLater("root/t", due)] and not step.events and world["t"] == task
    world.carry_on()
    assert world.now >= due and world.started == [("root/t", 1), ("root/t", 2)]


def test_looking_over_starts_what_a_lost_wake_up_was_for() -> None:
    world = one_step(retry=RetryPolicy(1, delay=10))
    world.tell(AttemptFailed("root/t", 1, world.now, "Exit code 1."))
    world.now += timedelta(seconds=11)
    world.look()
    assert world.started == [("root/t", 1), ("root/t", 2)]
    nothing_changes(world, TimeCame("root/t"))


def test_no_retry_begins_outside_the_window_since_the_first_attempt() -> None:
    world = one_step(retry=RetryPolicy(5, delay=10, max_window=5))
    world.tell(AttemptFailed("root/t", 1, world.now, "Exit code 1."))
    assert world.state("t") == "FAILED"


def test_what_another_try_cannot_mend_is_not_tried_again() -> None:
    world = one_step(retry=RetryPolicy(5))
    world.tell(AttemptFailed("root/t", 1, world.now, "No such image.", "image", retryable=False))
    assert world.state("t") == "FAILED" and world["t"].cause == "image"


def test_a_retry_policy_is_inherited_from_the_group_above_unless_the_step_has_its_own() -> None:
    group = dag("group", [task("a", "plain"), task("b", "plain", retry=RetryPolicy(0))])
    spec = pipeline(dag("root", [task("g", "group", retry=RetryPolicy(1))]), PLAIN, group)
    world = World(spec, lambda t, n: "Exit code 1." if n == 1 else Values()).go()
    assert world.states() == {"g": "FAILED", "g/a": "SUCCEEDED", "g/b": "FAILED"} and world["g/a"].attempt == 2


def test_a_lost_attempt_is_started_again_and_does_not_count() -> None:
    world = one_step(retry=RetryPolicy(1))
    world.tell(AttemptProgressed("root/t", 1, Phase.RUNNING, world.now))
    world.tell(AttemptLost("root/t", 1, world.now, "The host went away."))
    assert world.started == [("root/t", 1), ("root/t", 2)] and world["t"].failures == 0
    assert not world.tasks.attempts["root/t", 1].counts
    world.tell(AttemptFailed("root/t", 2, world.now, "Exit code 1."))
    assert world["t"].attempt == 3 and world["t"].failures == 1


def test_a_step_that_is_always_lost_fails_with_a_sentence() -> None:
    world = one_step()
    while world.state("t") != "FAILED":
        if world["t"].under_way:
            world.tell(AttemptLost("root/t", world["t"].attempt, world.now, "Its node went away."))
        else:
            world.now = world["t"].retry_at
            world.tell(TimeCame("root/t"))
    assert world["t"].attempt == MOST_LOSSES
    assert world["t"].reason == "It was lost 10 times in a row. The last time: Its node went away."


def test_a_step_ended_from_outside_is_started_again() -> None:
    world = one_step()
    world.tell(AttemptStopped("root/t", 1, world.now))
    assert world["t"].attempt == 2 and "attempt.lost root/t" in world.kinds()


def test_a_cache_hit_succeeds_without_starting_and_says_whose_it_is() -> None:
    spec = pipeline(dag("root", [task("t", "plain", cached=True)], gives={"r": "t.Output"}), PLAIN)
    world = World(spec, cache={"root/t": outputs(Output=9)}).go()
    assert world.started == [] and world["t"].cached_from == "old:root/t" and world["t"].fingerprint == "print of root/t"
    assert world[""].outputs.parameters == {"r": 9} and "task.cached root/t" in world.kinds()


def test_a_cache_miss_starts_the_step_and_keeps_its_fingerprint() -> None:
    world = World(pipeline(dag("root", [task("t", "plain", cached=True)]), PLAIN)).go()
    assert world.started == [("root/t", 1)] and world["t"].fingerprint == "print of root/t" and not world["t"].cached_from


@pytest.mark.parametrize(("use", "asked"), [(CacheUse.USE, [True]), (CacheUse.REFRESH, [False]), (CacheUse.OFF, [])])
def test_a_launch_can_refresh_the_cache_or_leave_it_out(use: CacheUse, asked: list[bool]) -> None:
    spec = pipeline(dag("root", [task("t", "plain", cached=True)]), PLAIN)
    world = World(spec, cache={"root/t": outputs(Output=9)}).change_run(cache=use).go()
    assert [order.use for order in world.orders if isinstance(order, LookInCache)] == asked
    assert world.started == ([] if use is CacheUse.USE else [("root/t", 1)])
    assert bool(world["t"].fingerprint) == (use is not CacheUse.OFF)


def test_a_retry_does_not_ask_the_cache_again() -> None:
    spec = pipeline(dag("root", [task("t", "plain", cached=True, retry=RetryPolicy(1))]), PLAIN)
    world = World(spec, lambda t, n: "Exit code 1." if n == 1 else Values()).go()
    assert len([order for order in world.orders if isinstance(order, LookInCache)]) == 1 and world.run.state is State.SUCCEEDED


def test_importers_and_claims_are_started_by_their_kind_and_never_looked_up() -> None:
    parts = [step(name) for name in ("import", "create", "delete")]
    tasks = [task(name, name, cached=True) for name in ("import", "create", "delete")]
    spec = pipeline(dag("root", tasks), *parts)
    executors = {
        "exec-import": ImporterSpec("exec-import", parts[0].output_artifacts.get("artifact"), uri="gs://x"),  # type: ignore[arg-type]
        "exec-create": ContainerSpec("exec-create", "argostub/createpvc"),
        "exec-delete": ContainerSpec("exec-delete", "argostub/deletepvc:latest"),
    }
    world = World(type(spec)(spec.name, spec.root, spec.components, executors))
    world.look()
    assert [order.kind for order in world.orders] == [Kind.IMPORTER, Kind.CREATE_CLAIM, Kind.DELETE_CLAIM]
