"""A world around the engine: keeps its tasks in memory, carries its orders out by a script, and watches the invariants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.spec import paths
from pipelines.spec.model import PipelineSpec
from runs.engine.advance import advance, retry
from runs.engine.memory import MemoryTasks
from runs.engine.model import (
    Again,
    Attempt,
    AttemptFailed,
    AttemptProgressed,
    AttemptStopped,
    AttemptSucceeded,
    CacheAnswered,
    Event,
    Fact,
    LookedOver,
    LookInCache,
    Order,
    Phase,
    Run,
    Snapshot,
    StartAttempt,
    State,
    Step,
    StopAttempt,
    Task,
    TimeCame,
    Values,
    WakeLater,
)
from runs.engine.plan import Plan, plan
from runs.engine.record import recorded, replay
from runs.engine.transitions import MOVES

VERBS = {
    "started": State.RUNNING,
    "succeeded": State.SUCCEEDED,
    "cached": State.SUCCEEDED,
    "skipped": State.SKIPPED,
    "failed": State.FAILED,
    "canceling": State.CANCELING,
    "canceled": State.CANCELED,
}
START = datetime(2026, 1, 1, tzinfo=UTC)
WORLDS: list[World] = []


def artifact(name: str, id: int = 0, **metadata: Any) -> dict[str, Any]:
    """An artifact value."""
    return {
        "id": id,
        "name": name,
        "uri": f"minio://kfdash/{name}",
        "type": "system.Artifact",
        "schema_version": "0.0.1",
        "metadata": metadata,
        "custom_path": "",
    }


def outputs(**parameters: Any) -> Values:
    """Output parameters only."""
    return Values(parameters)


Script = Callable[[Task, int], "Values | str | None"]
"""(task, attempt number) → outputs on success, a sentence on failure, None to keep it running until told otherwise."""


@dataclass
class World:
    """One run and what happens to it. `script` says what each attempt does; `cache` maps paths to outputs."""

    spec: PipelineSpec
    script: Script = lambda task, number: Values()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    cache: Mapping[str, Values] = field(default_factory=dict)
    again: Again | None = None
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        self.now = START + timedelta(days=1 if self.again else 0)
        id, suffix = ("run-2", "b8m3q") if self.again else ("run-1", "x7k2p")
        self.run = Run(id, "a run", f"{self.spec.name}-{suffix}", arguments=dict(self.arguments), created_at=self.now)
        self.tasks = MemoryTasks()
        self.events: list[Event] = []
        self.orders: list[Order] = []
        self.todo: list[StartAttempt | StopAttempt] = []
        self.wakes: list[WakeLater] = []
        self.started: list[tuple[str, int]] = []
        WORLDS.append(self)

    # --- facts in ---

    def tell(self, *facts: Fact) -> Step:
        """Hands facts in, keeps what follows, answers the cache as the driver does; returns the first step."""
        self.now += timedelta(milliseconds=1)
        first = step = self._advance(facts)
        self._answer_questions(step)
        return first

    def _answer_questions(self, step: Step) -> None:
        while answers := [self._answer(order) for order in step.orders if isinstance(order, LookInCache)]:
            step = self._advance(answers)

    def look(self) -> Step:
        """Looks the run over."""
        return self.tell(LookedOver())

    def retry(self, *, carry_on: bool = True) -> World:
        """Retries the run, and carries everything out."""
        self.now += timedelta(seconds=1)
        self._answer_questions(self._keep(retry(self.snapshot(), self.now)))
        return self.carry_on() if carry_on else self

    def _advance(self, facts: Sequence[Fact]) -> Step:
        before = {path: self.tasks.get(path) for path in self.tasks.tasks}
        step = advance(self.snapshot(), facts, self.now)
        self._check_step(before, step)
        return self._keep(step)

    def snapshot(self) -> Snapshot:
        """The run as the engine takes it."""
        return Snapshot(self.run, self.spec, self.tasks, self.again)

    def _keep(self, step: Step) -> Step:
        self.tasks.apply(step)
        self.run = step.run
        self.events += step.events
        for order in step.orders:
            self.orders.append(order)
            if isinstance(order, StartAttempt):
                self._check_start(order)
                assert (order.path, order.number) not in self.started, f"{order} was ordered twice"
                self.started.append((order.path, order.number))
                self.todo.append(order)
            elif isinstance(order, StopAttempt):
                self.todo.append(order)
            elif isinstance(order, WakeLater):
                self.wakes.append(order)
        return step

    def _answer(self, order: LookInCache) -> CacheAnswered:
        hit = self.cache.get(order.path) if order.use else None
        return CacheAnswered(order.path, self.now, f"print of {order.path}", hit, f"old:{order.path}" if hit else "")

    # --- orders out ---

    def facts_for(self, order: StartAttempt | StopAttempt) -> list[Fact]:
        """What an executor tells when it carries the order out."""
        path, number = order.path, order.number
        task = self.tasks.get(path)
        assert task is not None
        if isinstance(order, StopAttempt):
            return [AttemptStopped(path, number, self.now, 143)]
        result = self.script(task, number)
        running: list[Fact] = [
            AttemptProgressed(path, number, Phase.STARTING, self.now),
            AttemptProgressed(path, number, Phase.RUNNING, self.now),
        ]
        if result is None:
            return running
        if isinstance(result, str):
            return [*running, AttemptFailed(path, number, self.now, result, exit_code=1)]
        return [*running, AttemptSucceeded(path, number, self.now, result)]

    def go(self, most: int = 100_000) -> World:
        """Looks the run over, and carries everything out until nothing is left to do."""
        self.look()
        return self.carry_on(most)

    def carry_on(self, most: int = 100_000) -> World:
        """Carries out what is ordered, and lets time pass, until nothing is left to do."""
        for _ in range(most):
            if self.todo:
                for fact in self.facts_for(self.todo.pop(0)):
                    self.tell(fact)
            elif self.wakes and not self.run.state.is_final:
                self.wakes.sort(key=lambda wake: wake.due)
                wake = self.wakes.pop(0)
                self.now = max(self.now, wake.due)
                self.tell(TimeCame(wake.path))
            else:
                return self
        raise AssertionError("the run does not come to rest")

    def change_run(self, **fields: Any) -> World:
        """Changes the run as a service would: stop, pause, …"""
        self.run = replace(self.run, **fields)
        return self

    # --- running again ---

    def run_again(self, *from_paths: str, **changes: Any) -> World:
        """The world of a run that takes over from this one; `changes` are fields of World. It is not looked at yet."""
        chosen = frozenset(f"root/{path}" for path in from_paths)
        arguments = changes.pop("arguments", self.arguments)
        same = frozenset(name for name, value in self.arguments.items() if arguments.get(name) == value)
        fields = {"spec": self.spec, "script": self.script, "cache": self.cache, "arguments": arguments, **changes}
        return World(again=Again(self.run.id, self.spec, self.tasks, chosen, same), **fields)

    def plan(self) -> Plan:
        """What the run will do, asked before it begins."""
        return plan(self.snapshot(), lambda task, order: self._answer(order), self.now, list(self.again_paths()))

    def again_paths(self) -> Iterable[str]:
        """All paths of the run that is taken over from."""
        return self.again.tasks.tasks if self.again else ()  # type: ignore[attr-defined]

    # --- looking ---

    def __getitem__(self, path: str) -> Task:
        task = self.tasks.get(f"root/{path}" if path else "root")
        assert task is not None, f"there is no task {path}: {sorted(self.tasks.tasks)}"
        return task

    def state(self, path: str = "") -> str:
        """A task's state; the root's without a path."""
        return self[path].state.value

    def states(self) -> dict[str, str]:
        """All states but the root's, by path below the root."""
        return {path.removeprefix("root/"): task.state.value for path, task in self.tasks.tasks.items() if path != "root"}

    def kinds(self) -> list[str]:
        """The kinds of events, with their paths."""
        return [f"{event.kind} {event.path}" for event in self.events]

    # --- invariants ---

    def _check_step(self, before: Mapping[str, Task | None], step: Step) -> None:
        for path, task in step.tasks.items():
            old = before.get(path)
            if old is not None and old.state is not task.state:
                # Several moves may be made in one step: what is final stays so, and anything else leads on.
                assert MOVES[old.state], f"{path} left the final state {old.state} for {task.state}"
            if old is not None and old.state.is_final:
                assert old == task, f"{path} changed after its end"

    def _check_start(self, order: StartAttempt) -> None:
        """A step starts only in a group that runs, with its inputs there and what it waits for ended."""
        task, parent = self.tasks.get(order.path), self.tasks.get(paths.parent(order.path))
        assert task is not None and task.inputs is not None and task.under_way and task.attempt == order.number
        assert not self.run.paused or self.run.stop
        if parent is None or paths.index(order.path) is not None:
            return
        spec, _ = self.spec.at(order.path)
        assert spec is not None and parent.state in (State.RUNNING, State.CANCELING)
        for key in spec.dependencies:
            dependency = self.tasks.get(paths.child(parent.path, key))
            assert dependency is not None and dependency.state.is_final, f"{order.path} began before {key} had ended"
            assert spec.waits_for_any_end or dependency.state is State.SUCCEEDED, (
                f"{order.path} began after {key} {dependency.state}"
            )

    def check_story(self) -> None:
        """Every path's events, one after the other, are moves that the table allows."""
        states: dict[str, State] = {}
        for event in self.events:
            subject, _, verb = event.kind.partition(".")
            before = states.get(event.path, State.PENDING)
            if event.kind == "attempt.retry":
                after = State.PENDING
            elif event.kind in ("task.reset", "run.retried"):
                states[event.path] = State.PENDING
                continue
            elif subject in ("task", "run") and verb in VERBS:
                after = VERBS[verb]
            else:
                continue
            assert before is after or after in MOVES[before], f"{event.path} went from {before} to {after}"
            assert before is not after or after is State.PENDING, f"{event.path} became {after} twice"
            states[event.path] = after
        for path, task in self.tasks.tasks.items():
            assert states.get(path, State.PENDING) is task.state, f"{path} is {task.state}, and its events say {states.get(path)}"

    def check(self) -> None:
        """Invariants that hold between any two steps."""
        check_tasks(self.spec, self.run, self.tasks)
        self.check_story()
        self.check_replay()

    def check_replay(self) -> None:
        """All events replayed, as rows would give them back, are the tasks."""
        stored = [replace(event, data=json.loads(json.dumps(dict(event.data)))) for event in self.events]
        replayed = replay(stored)
        assert replayed.keys() == self.tasks.tasks.keys()
        for path, task in self.tasks.tasks.items():
            assert recorded(replayed[path]) == recorded(task), f"{path} is replayed as another"


def check_tasks(spec: PipelineSpec, run: Run, tasks: MemoryTasks) -> None:
    """What must be true of the tasks of a run at any moment."""
    for path, task in tasks.tasks.items():
        parent = tasks.get(paths.parent(path)) if path != "root" else None
        assert path == "root" or parent is not None, f"{path} has no parent"
        assert task.state.is_final == (task.finished_at is not None), f"{path}: {task.state} and {task.finished_at}"
        assert not (task.state.is_final and task.under_way), f"{path} has ended and is under way"
        if task.state in (State.FAILED, State.SKIPPED, State.CANCELED):
            assert task.reason.endswith((".", ")", "…")), f"{path} is {task.state} without a sentence: {task.reason!r}"
        if task.state is State.FAILED:
            assert tasks.get(task.culprit) is not None, f"{path} failed without a culprit"
        if parent is not None and parent.state.is_final:
            assert task.state.is_final, f"{path} is {task.state} in {parent.path}, which has ended"
        if task.under_way or task.state is State.RUNNING:
            assert task.inputs is not None, f"{path} runs without inputs"
        _check_attempts(task, tasks)
        if task.kind.is_group:
            _check_group(spec, run, task, tasks)
    root = tasks.get("root")
    if root is not None:
        assert run.state is root.state


def _check_attempts(task: Task, tasks: MemoryTasks) -> None:
    newest: Attempt | None = tasks.attempts.get((task.path, task.attempt))
    assert (newest is not None) == (task.attempt > 0), f"{task.path} has no attempt {task.attempt}"
    if newest is not None:
        assert task.under_way == (newest.phase is not Phase.ENDED), f"{task.path}: {newest}"
    for number in range(1, task.attempt):
        assert tasks.attempts[task.path, number].phase is Phase.ENDED


def _check_group(spec: PipelineSpec, run: Run, group: Task, tasks: MemoryTasks) -> None:
    members = tasks.children(group.path)
    assert len(members) == group.children, f"{group.path} has {len(members)} members and says {group.children}"
    counted = {state: sum(member.state is state for member in members) for state in State}
    assert group.ended == sum(member.state.is_final for member in members), group.path
    assert group.succeeded == counted[State.SUCCEEDED], group.path
    assert group.canceled == counted[State.CANCELED], group.path
    failed = sum(member.state is State.FAILED and not _is_exit(spec, member) for member in members)
    assert group.failed == failed, group.path
    if not members:
        return
    if group.ended == group.children:
        assert group.state.is_final, f"all members of {group.path} have ended, and it is {group.state}"
    if group.path == "root" and run.stop:
        assert not group.state.is_final or group.state in (State.CANCELED, State.FAILED)
    elif group.state.is_final:
        expected = State.CANCELED if group.canceled else State.FAILED if failed else State.SUCCEEDED
        assert group.state is expected, f"{group.path} is {group.state}, and its members say {expected}"
    if group.kind.value == "loop":
        begun_open = sum(not member.state.is_final for member in members[: group.next_iteration])
        assert group.running == begun_open, f"{group.path} counts {group.running} running iterations, and {begun_open} are"
        limit = spec.at(group.path)[0].parallelism  # type: ignore[union-attr]
        begun = [member for member in members if member.ready_at is not None or member.state is State.RUNNING]
        active = sum(not member.state.is_final for member in begun)
        assert not limit or active <= limit, f"{active} iterations of {group.path} run, and {limit} may"


def _is_exit(spec: PipelineSpec, member: Task) -> bool:
    if paths.index(member.path) is not None or member.path == "root":
        return False
    task, _ = spec.at(member.path)
    return task is not None and task.waits_for_any_end
