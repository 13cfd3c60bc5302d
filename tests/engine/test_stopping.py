"""Stop, pause, the run's own time limit, and retrying a run."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipelines.spec.model import FinalStatus, RetryPolicy
from runs.engine.advance import NotRetriable
from runs.engine.model import (
    AttemptFailed,
    AttemptProgressed,
    AttemptStopped,
    AttemptSucceeded,
    InvalidTransition,
    LookedOver,
    Phase,
    State,
    Stop,
    StopAttempt,
    Task,
    TimeCame,
    Values,
    WakeLater,
)
from runs.engine.transitions import check_move
from tests.engine.build import dag, parameter, pipeline, step, task
from tests.engine.test_properties import nothing_changes
from tests.engine.world import World, outputs

PLAIN = step("plain")
STATUS = step("status", inputs={"status": parameter("TASK_FINAL_STATUS", optional=True)})


def with_exit_task(script=lambda task, number: None) -> World:
    """A run with a body of two steps, one after the other, and an exit task; the first step runs."""
    body = dag("body", [task("a", "plain"), task("b", "plain", after=("a",))])
    fin = task("fin", "status", after=("body",), inputs={"status": FinalStatus("body")}, any_end=True)
    world = World(pipeline(dag("root", [task("body", "body"), fin]), PLAIN, STATUS, body), script)
    world.look()
    world.carry_on()
    return world


def test_a_graceful_stop_ends_what_runs_cancels_what_waits_and_runs_the_exit_task() -> None:
    world = with_exit_task()
    world.change_run(stop=Stop.GRACEFUL, stopped_by="ada")
    step_ = world.look()
    assert step_.orders == (StopAttempt("root/body/a", 1, world["body/a"].kind, False),)
    assert world.states() == {"body": "CANCELING", "fin": "PENDING", "body/a": "CANCELING", "body/b": "CANCELED"}
    assert world.run.state is State.CANCELING
    nothing_changes(world, LookedOver())
    world.tell(AttemptStopped("root/body/a", 1, world.now, 143))
    assert world.state("body") == "CANCELED" and world.started[-1] == ("root/fin", 1)
    assert world["fin"].inputs.parameters["status"]["state"] == "CANCELED"
    world.script = lambda task, number: Values()
    world.todo = [order for order in world.todo if getattr(order, "path", "") == "root/fin"]
    world.carry_on()
    assert world.run.state is State.CANCELED and world.run.reason == "Stopped by ada." and world.state("fin") == "SUCCEEDED"


def test_a_stop_by_force_after_a_graceful_one_tells_again_and_ends_the_exit_task_too() -> None:
    world = with_exit_task()
    world.change_run(stop=Stop.GRACEFUL)
    world.look()
    world.change_run(stop=Stop.FORCE)
    step_ = world.look()
    assert step_.orders == (StopAttempt("root/body/a", 1, world["body/a"].kind, True),)
    nothing_changes(world, LookedOver())
    world.tell(AttemptStopped("root/body/a", 1, world.now, 137))
    assert world.state("fin") == "CANCELED" and world.run.state is State.CANCELED


def test_an_exit_task_that_runs_goes_on_after_a_graceful_stop_and_is_ended_by_force() -> None:
    world = with_exit_task(lambda task, number: None if task.path == "root/fin" else Values())
    assert world.state("fin") == "RUNNING"
    world.change_run(stop=Stop.GRACEFUL)
    assert world.look().orders == ()
    world.change_run(stop=Stop.FORCE)
    assert world.look().orders == (StopAttempt("root/fin", 1, world["fin"].kind, True),)
    world.tell(AttemptStopped("root/fin", 1, world.now))
    assert world.run.state is State.CANCELED


def test_a_step_that_succeeds_while_it_is_told_to_end_has_succeeded() -> None:
    world = with_exit_task()
    world.change_run(stop=Stop.GRACEFUL)
    world.look()
    world.tell(AttemptSucceeded("root/body/a", 1, world.now))
    assert world.state("body/a") == "SUCCEEDED" and world.state("body") == "CANCELED"


def test_a_step_that_fails_while_it_is_told_to_end_is_cancelled_and_not_tried_again() -> None:
    spec = pipeline(dag("root", [task("t", "plain", retry=RetryPolicy(3))]), PLAIN)
    world = World(spec, lambda t, n: None).go()
    world.change_run(stop=Stop.GRACEFUL)
    world.look()
    world.tell(AttemptFailed("root/t", 1, world.now, "Exit code 143.", exit_code=143))
    assert world.state("t") == "CANCELED" and world.run.state is State.CANCELED


def test_a_run_stopped_before_it_began_is_cancelled_at_once() -> None:
    world = World(pipeline(dag("root", [task("t", "plain")]), PLAIN)).change_run(stop=Stop.GRACEFUL)
    world.look()
    assert world.run.state is State.CANCELED and world.orders == []


def test_any_fact_makes_a_stop_take_effect() -> None:
    world = with_exit_task()
    world.change_run(stop=Stop.FORCE)
    world.tell(AttemptProgressed("root/body/a", 1, Phase.COLLECTING, world.now))
    assert world.state("body/a") == "CANCELING"


def test_a_step_that_waits_for_its_next_attempt_is_cancelled_by_a_stop() -> None:
    spec = pipeline(dag("root", [task("t", "plain", retry=RetryPolicy(3, delay=60))]), PLAIN)
    world = World(spec)
    world.look()
    world.tell(AttemptFailed("root/t", 1, world.now, "Exit code 1."))
    world.change_run(stop=Stop.GRACEFUL)
    world.look()
    assert world.run.state is State.CANCELED
    world.now += timedelta(minutes=2)
    nothing_changes(world, TimeCame("root/t"))


def test_loops_begin_no_further_iterations_after_a_stop() -> None:
    body = dag("body", [task("one", "plain")], inputs={"item": "NUMBER_INTEGER"})
    world = World(pipeline(dag("root", [task("each", "body", over=[1, 2, 3], at_once=1)]), PLAIN, body), lambda t, n: None).go()
    world.change_run(stop=Stop.GRACEFUL)
    world.look()
    world.tell(AttemptStopped("root/each[0]/one", 1, world.now))
    assert world.run.state is State.CANCELED and world["each"].canceled == 3 and len(world.started) == 1


def test_a_paused_run_starts_nothing_new_and_goes_on_when_resumed() -> None:
    body = dag("body", [task("one", "plain")], inputs={"item": "NUMBER_INTEGER"})
    tasks = [task("a", "plain"), task("b", "plain", after=("a",)), task("each", "body", over=[1, 2, 3], at_once=1)]
    world = World(pipeline(dag("root", tasks), PLAIN, body))
    world.look()
    assert len(world.started) == 2
    world.change_run(paused=True)
    world.carry_on()
    assert len(world.started) == 2 and world.run.state is State.RUNNING and world.state("b") == "PENDING"
    nothing_changes(world, LookedOver())
    world.change_run(paused=False)
    world.look()
    assert len(world.started) == 4
    nothing_changes(world, LookedOver())
    world.carry_on()
    assert world.run.state is State.SUCCEEDED


def test_a_paused_run_can_be_stopped_and_its_exit_task_runs() -> None:
    world = with_exit_task()
    world.change_run(paused=True, stop=Stop.GRACEFUL)
    world.look()
    world.tell(AttemptStopped("root/body/a", 1, world.now))
    assert world.started[-1] == ("root/fin", 1)


def test_a_run_over_its_time_limit_is_stopped_and_has_failed() -> None:
    world = World(pipeline(dag("root", [task("t", "plain")]), PLAIN, limit=60), lambda t, n: None)
    world.look()
    wake = WakeLater("root", world.now + timedelta(seconds=60))
    assert wake in world.orders
    early = world.tell(TimeCame("root"))
    assert list(early.orders) == [wake] and not early.events, "it comes once more"
    world.now += timedelta(seconds=61)
    world.tell(TimeCame("root"))
    assert world.run.state is State.CANCELING and world.run.stop is Stop.GRACEFUL
    world.tell(AttemptStopped("root/t", 1, world.now))
    assert world.run.state is State.FAILED and world.run.reason == "Ran longer than its time limit of 60 seconds, and was stopped."


def test_retrying_runs_again_what_failed_and_what_was_skipped_for_it_and_keeps_the_rest() -> None:
    branch = dag("branch", [task("in", "plain")], inputs={"x": "NUMBER_INTEGER"})
    tasks = [
        task("good", "plain"),
        task("bad", "plain"),
        task("next", "plain", after=("bad", "good")),
        task("far", "plain", after=("next",)),
        task("no", "branch", inputs={"x": 1}, when="inputs.parameter_values['x'] > 4"),
        task("after-no", "plain", after=("no",)),
        task("fin", "plain", after=("far",), any_end=True),
    ]
    world = World(
        pipeline(dag("root", tasks), PLAIN, branch), lambda t, n: "Exit code 1." if (t.path, n) == ("root/bad", 1) else Values()
    )
    world.go()
    assert world.run.state is State.FAILED and world.state("far") == "SKIPPED"
    ran_before = len(world.started)
    world.retry()
    assert world.run.state is State.SUCCEEDED and world.run.reason == ""
    assert world.started[ran_before:] == [("root/bad", 2), ("root/next", 1), ("root/far", 1)]
    assert world.state("no") == "SKIPPED" and world.state("after-no") == "SKIPPED"


def test_retrying_goes_into_groups_and_loops_and_keeps_their_limits() -> None:
    body = dag("body", [task("one", "plain"), task("two", "plain", after=("one",))], inputs={"item": "NUMBER_INTEGER"})
    spec = pipeline(
        dag("root", [task("each", "body", over=list(range(6)), at_once=1), task("end", "plain", after=("each",))]), PLAIN, body
    )
    bad = {("root/each[1]/two", 1), ("root/each[4]/one", 1)}
    world = World(spec, lambda t, n: "Exit code 1." if (t.path, n) in bad else Values()).go()
    before = len(world.started)
    world.retry()
    assert world.run.state is State.SUCCEEDED and world["each"].succeeded == 6
    assert world.started[before:] == [("root/each[1]/two", 2), ("root/each[4]/one", 2), ("root/each[4]/two", 1), ("root/end", 1)]


def test_members_of_an_iteration_whose_turn_has_not_come_wait_after_a_retry() -> None:
    body = dag("body", [task("one", "plain")], inputs={"item": "NUMBER_INTEGER"})
    spec = pipeline(dag("root", [task("each", "body", over=[1, 2], at_once=1)]), PLAIN, body)
    world = World(spec, lambda t, n: "Exit code 1." if n == 1 else None).go()
    world.retry()
    world.look()
    assert world.started[2:] == [("root/each[0]/one", 2)]
    world.tell(AttemptSucceeded("root/each[0]/one", 2, world.now))
    assert world.started[3:] == [("root/each[1]/one", 2)]


def test_a_stopped_run_can_be_retried() -> None:
    world = with_exit_task()
    world.change_run(stop=Stop.FORCE)
    world.look()
    world.carry_on()
    assert world.run.state is State.CANCELED
    world.script = lambda task, number: Values()
    world.retry()
    assert world.run.state is State.SUCCEEDED and world.run.stop is Stop.NO and world["body/a"].attempt == 2


def test_a_run_that_goes_on_or_has_succeeded_cannot_be_retried() -> None:
    world = World(pipeline(dag("root", [task("t", "plain")]), PLAIN)).go()
    with pytest.raises(NotRetriable, match="SUCCEEDED"):
        world.retry()


def test_a_move_that_the_table_does_not_allow_tells_the_tasks_story() -> None:
    ended = replace(Task("root/t", PLAIN and with_exit_task()["fin"].kind), state=State.SUCCEEDED, attempt=2, reason="It was fine.")
    with pytest.raises(InvalidTransition, match="root/t cannot go from SUCCEEDED to RUNNING.*attempt 2.*It was fine"):
        check_move(ended, State.RUNNING)


def test_outputs_of_a_nested_pipeline_reach_the_run_after_a_retry() -> None:
    number = step("number", outputs={"Output": "NUMBER_INTEGER"})
    nested = dag("nested", [task("n", "number")], gives={"out": "n.Output"})
    spec = pipeline(dag("root", [task("g", "nested")], gives={"r": "g.out"}), number, nested)
    world = World(spec, lambda t, n: "Exit code 1." if n == 1 else outputs(Output=n)).go()
    assert world.retry()[""].outputs.parameters == {"r": 2}
