"""Random graphs × behaviours × orders of facts, with doubled, stale and impossible ones: what must always hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.spec.model import ComponentSpec, PipelineSpec, RetryPolicy, TaskSpec
from runs.engine.model import (
    AttemptFailed,
    AttemptLost,
    AttemptProgressed,
    AttemptStopped,
    AttemptSucceeded,
    CacheAnswered,
    Fact,
    LookedOver,
    Phase,
    StartAttempt,
    State,
    Stop,
    StopAttempt,
    TimeCame,
    Values,
)
from tests.engine.build import dag, pipeline, step, task
from tests.engine.world import World, outputs

BEHAVIOURS = (
    "succeeds",
    "succeeds",
    "succeeds",
    "fails",
    "fails then succeeds",
    "is lost once",
    "is always lost",
    "cannot be retried",
)
RETRIES = (None, None, RetryPolicy(1), RetryPolicy(3, delay=10, factor=2), RetryPolicy(2, delay=100, max_window=50))
CONDITIONS = (
    "",
    "",
    "",
    "",
    "inputs.parameter_values['x'] > 2",
    "inputs.parameter_values['x'] < 3",
    "inputs.parameter_values['x'] > '2'",
)
NUMBER = step("number", inputs={"x": "NUMBER_INTEGER"}, outputs={"Output": "NUMBER_INTEGER"})
STATUS = step("status")


# --- graphs ---------------------------------------------------------------------------------------------------------


@dataclass
class Graphs:
    """Draws pipelines; components get names as they come."""

    draw: Any
    components: list[ComponentSpec]

    def group(self, depth: int, inputs: dict[str, Any]) -> ComponentSpec:
        """A DAG of up to four tasks and perhaps an exit task; every task has a number to take."""
        tasks: list[TaskSpec] = []
        for position in range(self.draw(st.integers(0 if depth < 2 else 1, 4))):
            tasks.append(self.member(f"t{position}", tasks, depth))
        if tasks and self.draw(st.integers(0, 3)) == 0:
            chosen = self.draw(st.sets(st.sampled_from([one.key for one in tasks]), min_size=1))
            component = "status" if depth == 0 or self.draw(st.booleans()) else self.group(0, {"x": "NUMBER_INTEGER"}).name
            wire = {"x": 1} if component != "status" else {}
            tasks.append(task("exit", component, after=tuple(sorted(chosen)), inputs=wire, any_end=True))
        giving = [one.key for one in tasks if one.component == "number" and one.iterator is None]
        gives = {"Output": [f"{key}.Output" for key in giving]} if giving else {}
        made = dag(f"group{len(self.components)}", tasks, inputs=inputs, gives=gives)
        self.components.append(made)
        return made

    def member(self, key: str, before: list[TaskSpec], depth: int) -> TaskSpec:
        producers = [one.key for one in before if one.component == "number" and one.iterator is None]
        after = tuple(sorted(self.draw(st.sets(st.sampled_from([one.key for one in before]), max_size=2)))) if before else ()
        source: Any = self.draw(st.integers(0, 5))
        if producers and self.draw(st.booleans()):
            source = f"@{self.draw(st.sampled_from(producers))}.Output"
        component = "number"
        if depth > 0 and self.draw(st.booleans()):
            component = self.group(depth - 1, {"x": "NUMBER_INTEGER"}).name
        loops = self.draw(st.integers(0, 3)) == 0
        condition = self.draw(st.sampled_from(CONDITIONS))
        return task(
            key,
            component,
            after=after,
            inputs={} if loops else {"x": source},
            when="" if loops else condition,
            over=self.draw(st.lists(st.integers(0, 5), max_size=3)) if loops else None,
            item="x",
            at_once=self.draw(st.integers(0, 2)) if loops else 0,
            retry=self.draw(st.sampled_from(RETRIES)),
            cached=self.draw(st.booleans()),
            any_end=not loops and bool(after) and self.draw(st.integers(0, 5)) == 0,
        )


@st.composite
def pipelines(draw: Any) -> PipelineSpec:
    """A random pipeline, up to three levels deep."""
    graphs = Graphs(draw, [])
    root = graphs.group(2, {})
    parts = [one for one in graphs.components if one is not root]
    return pipeline(replace(root, name="root"), *parts, NUMBER, STATUS, limit=draw(st.sampled_from([0, 0, 0, 500])))


# --- an executor that tells things in any order ---------------------------------------------------------------------


class Chaos:
    """Hands facts of ordered attempts to a world in an order that is drawn."""

    def __init__(self, world: World, draw: Any) -> None:
        self.world = world
        self.draw = draw
        self.behaviour: dict[str, str] = {}
        self.pool: list[Fact] = []
        self.past: list[Fact] = []

    def collect(self) -> None:
        """Turns new orders into facts that will be told at some time."""
        for order in self.world.todo:
            if isinstance(order, StartAttempt):
                self.pool += self.life(order.path, order.number)
            else:
                assert isinstance(order, StopAttempt)
                self.pool.append(AttemptStopped(order.path, order.number, self.world.now, 143))
        self.world.todo.clear()

    def life(self, path: str, number: int) -> list[Fact]:
        if path not in self.behaviour:
            self.behaviour[path] = self.draw(st.sampled_from(BEHAVIOURS))
        at = self.world.now
        story: list[Fact] = [
            AttemptProgressed(path, number, Phase.QUEUED, at, "No room on any node.", attention=True),
            AttemptProgressed(path, number, Phase.STARTING, at),
            AttemptProgressed(path, number, Phase.RUNNING, at),
            AttemptProgressed(path, number, Phase.COLLECTING, at),
        ]
        failed = AttemptFailed(path, number, at, "Exit code 1.", exit_code=1)
        match self.behaviour[path]:
            case "fails":
                return [*story, failed]
            case "cannot be retried":
                return [replace(failed, retryable=False)]
            case "fails then succeeds" if number == 1:
                return [*story, failed]
            case "is lost once" if number == 1:
                return [*story, AttemptLost(path, number, at, "Its node went away.")]
            case "is always lost":
                return [AttemptLost(path, number, at, "Its node went away.")]
        return [*story, AttemptSucceeded(path, number, at, outputs(Output=number + len(path) % 4))]

    def strange(self) -> Fact:
        """A fact that must change nothing."""
        path = self.draw(st.sampled_from([*self.world.tasks.tasks, "root/nowhere", "root/t0[7]"]))
        at = self.world.now
        wrong = self.draw(st.sampled_from([0, 99]))
        return self.draw(
            st.sampled_from(
                [
                    AttemptSucceeded(path, wrong, at),
                    AttemptFailed(path, wrong, at, "Never was."),
                    AttemptProgressed(path, wrong, Phase.RUNNING, at),
                    AttemptLost(path, wrong, at, "Never was."),
                    CacheAnswered(path, at, "print", Values(), "old:path"),
                ]
            )
        )

    def act(self) -> None:
        """One thing that happens."""
        world, draw = self.world, self.draw
        choice = draw(st.integers(0, 19))
        if choice < 10 and self.pool:
            count = draw(st.integers(1, 3))
            facts = [self.pool.pop(draw(st.integers(0, len(self.pool) - 1))) for _ in range(min(count, len(self.pool)))]
            self.past += facts
            world.tell(*facts)
        elif choice < 12 and self.past:
            world.tell(draw(st.sampled_from(self.past)))
        elif choice == 12:
            world.look()  # a stop that nobody has looked at takes effect with any fact
            nothing_changes(world, self.strange())
        elif choice == 13:
            world.look()
            nothing_changes(world, LookedOver())
        elif choice < 16 and world.wakes:
            wake = world.wakes[draw(st.integers(0, len(world.wakes) - 1))]
            if draw(st.booleans()):
                world.now = max(world.now, wake.due)
            world.tell(TimeCame(wake.path))
        elif choice == 16:
            world.change_run(paused=not world.run.paused)
        elif choice == 17 and draw(st.booleans()) and not world.run.state.is_final:
            harder = {Stop.NO: Stop.GRACEFUL, Stop.GRACEFUL: Stop.FORCE, Stop.FORCE: Stop.FORCE}[world.run.stop]
            world.change_run(stop=harder)
            if draw(st.booleans()):
                world.look()
        elif choice == 18:
            world.now += timedelta(seconds=draw(st.integers(0, 30)))
        self.collect()

    def finish(self) -> None:
        """Everything that was ordered comes to its end."""
        self.world.change_run(paused=False)
        self.world.look()
        for _ in range(3000):
            self.collect()
            if self.world.run.state.is_final:
                return
            if self.pool:
                self.world.tell(self.pool.pop(0))
            elif self.world.wakes:
                self.world.wakes.sort(key=lambda wake: wake.due)
                wake = self.world.wakes.pop(0)
                self.world.now = max(self.world.now, wake.due)
                self.world.tell(TimeCame(wake.path))
            else:
                break
        unfinished = {task.path: task for task in self.world.tasks.unfinished()}
        assert self.world.run.state.is_final, f"the run does not end: {unfinished}"


def nothing_changes(world: World, fact: Fact) -> None:
    """Hands a fact in and holds that it changes nothing."""
    before = dict(world.tasks.tasks), dict(world.tasks.attempts), len(world.orders), len(world.events), world.run
    step = world.tell(fact)
    after = dict(world.tasks.tasks), dict(world.tasks.attempts), len(world.orders), len(world.events), world.run
    assert before == after and not step.orders and not step.events, f"{fact} changed something: {step}"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_every_run_ends_whatever_happens(data: st.DataObject) -> None:
    world = World(data.draw(pipelines()))
    chaos = Chaos(world, data.draw)
    world.look()
    for _ in range(data.draw(st.integers(0, 60))):
        chaos.act()
        world.check()
        if world.run.state.is_final:
            break
    chaos.finish()
    world.check()
    nothing_changes(world, LookedOver())
    for fact in chaos.past[-5:]:
        nothing_changes(world, fact)
    if world.run.stop and world.run.state is State.FAILED:
        assert "time limit" in world.run.reason
    if world.run.state in (State.FAILED, State.CANCELED) and data.draw(st.booleans()):
        begin_again(world, chaos)


def begin_again(world: World, chaos: Chaos) -> None:
    """Retries an ended run, with other behaviours; what had succeeded stays as it is."""
    succeeded = {path: one for path, one in world.tasks.tasks.items() if one.state is State.SUCCEEDED}
    chaos.behaviour.clear()
    chaos.pool.clear()
    world.wakes.clear()
    world.retry(carry_on=False)
    world.check()
    for fact in chaos.past[-5:]:
        nothing_changes(world, fact)
    chaos.finish()
    world.check()
    changed = {path: (one, world.tasks.tasks[path]) for path, one in succeeded.items() if world.tasks.tasks[path] != one}
    assert not changed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_the_order_of_facts_does_not_change_how_a_run_ends(data: st.DataObject) -> None:
    spec = data.draw(pipelines())
    behaviour: dict[str, str] = {}
    ends = []
    for round_ in range(2):
        world = World(spec)
        chaos = Chaos(world, data.draw)
        chaos.behaviour = behaviour
        world.look()
        for _ in range(3000):
            chaos.collect()
            if not chaos.pool or world.run.state.is_final:
                break
            position = 0 if round_ == 0 else data.draw(st.integers(0, min(5, len(chaos.pool) - 1)))
            fact = chaos.pool.pop(position)
            if round_ and data.draw(st.integers(0, 4)) == 0:
                world.tell(fact, fact)
            else:
                world.tell(fact)
        chaos.finish()
        world.check()
        ends.append({path: (one.state, one.failures) for path, one in world.tasks.tasks.items()})
    assert ends[0] == ends[1]
