"""What a run will do before it begins: the engine itself is asked, with a run that is never carried out.

The first look at the run is made in memory, with questions to the cache answered. What it starts will run, what it takes over
or skips is so; what it leaves waiting is judged by what it waits for. The run that is launched afterwards makes the same look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from pipelines.spec import paths
from pipelines.spec.model import ROOT, ComponentSpec, PipelineSpec
from runs.engine.advance import advance
from runs.engine.again import Earlier, depends
from runs.engine.memory import MemoryTasks
from runs.engine.model import CacheAnswered, CacheUse, Fact, Kind, LookedOver, LookInCache, Snapshot, State, Step, Task
from runs.engine.places import Place, Places

Json = Any

Answer = Callable[[Task, LookInCache], CacheAnswered]
"""Looks a task up in the cache as the driver does, without counting a hit."""


class Do(StrEnum):
    """What becomes of a step."""

    RUN = "run"
    REUSE = "reuse"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """What becomes of a task. `sure` is False where that hangs on what comes out of a step that runs before it."""

    path: str
    kind: Kind
    do: Do
    why: str = ""  # a sentence
    sure: bool = True
    cached_from: str = ""  # `<run id>:<path>` of the task whose outputs are reused


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of every task known so far, a group before what is in it."""

    steps: tuple[PlannedStep, ...]
    gone: tuple[str, ...] = ()  # paths of the earlier run that this one will not have

    @property
    def counts(self) -> dict[str, int]:
        """How many steps (groups not counted) run, are reused, are skipped."""
        found = {do.value: 0 for do in Do}
        for step in self.steps:
            found[step.do.value] += not step.kind.is_group
        return found

    def to_json(self) -> dict[str, Json]:
        """As pages and the API have it."""
        steps = [
            {
                "path": step.path,
                "kind": step.kind.value,
                "do": step.do.value,
                "why": step.why,
                "sure": step.sure,
                "from": step.cached_from,
            }
            for step in self.steps
        ]
        return {"steps": steps, "counts": self.counts, "gone": list(self.gone)}


def plan(snapshot: Snapshot, answer: Answer, now: datetime, earlier_paths: Iterable[str] = ()) -> Plan:
    """The plan of a run that has not begun. `snapshot.tasks` is not written to; `earlier_paths` are all of the earlier run."""
    tasks, whys = _first_look(snapshot, answer, now)
    planner = _Planner(snapshot, tasks, whys)
    known = dict.fromkeys(earlier_paths)
    steps = [planner.planned(task) for path, task in tasks.tasks.items() if path != ROOT]
    below = planner.below_waiting_groups(path for path in known if path not in tasks.tasks)
    found = {step.path: step for step in [*steps, *below]}
    planner.sum_up_groups(found)
    return Plan(_in_order(found), tuple(path for path in known if path != ROOT and path not in found))


def _first_look(snapshot: Snapshot, answer: Answer, now: datetime) -> tuple[MemoryTasks, dict[str, str]]:
    tasks = MemoryTasks()
    run, spec = snapshot.run, _without_limits(snapshot.spec)
    whys: dict[str, str] = {}
    facts: list[Fact] = [LookedOver()]
    while facts:
        step: Step = advance(Snapshot(run, spec, tasks, snapshot.again), facts, now)
        tasks.apply(step)
        run = step.run
        whys |= {event.path: str(event.data["reason"]) for event in step.events if event.kind == "task.again"}
        facts = [answer(tasks.tasks[order.path], order) for order in step.orders if isinstance(order, LookInCache)]
    return tasks, whys


def _without_limits(spec: PipelineSpec) -> PipelineSpec:
    """The pipeline with all iterations at once: which of them are reused does not hang on their turn."""

    def unlimited(component: ComponentSpec) -> ComponentSpec:
        dag = component.dag
        if dag is None or not any(task.parallelism for task in dag.tasks.values()):
            return component
        tasks = {key: replace(task, parallelism=0) for key, task in dag.tasks.items()}
        return replace(component, dag=replace(dag, tasks=tasks))

    return replace(
        spec, root=unlimited(spec.root), components={name: unlimited(component) for name, component in spec.components.items()}
    )


class _Planner:
    """Reads a plan off the tasks of a run after its first look."""

    def __init__(self, snapshot: Snapshot, tasks: MemoryTasks, whys: Mapping[str, str]) -> None:
        self.places = Places(snapshot.spec)
        self.earlier = Earlier(snapshot.again) if snapshot.again else None
        self.cache = snapshot.run.cache
        self.tasks = tasks
        self.whys = whys
        self._unsure: dict[str, set[str]] = {}

    def planned(self, task: Task) -> PlannedStep:
        """What becomes of a task that is there after the first look."""
        if task.state is State.SKIPPED or (task.state is State.SUCCEEDED and task.kind is Kind.LOOP and not task.children):
            return PlannedStep(task.path, task.kind, Do.SKIP, task.reason)
        if task.state is State.SUCCEEDED:
            return PlannedStep(task.path, task.kind, Do.REUSE, self._from_whom(task), True, task.cached_from)
        if task.state is State.FAILED:
            return PlannedStep(task.path, task.kind, Do.RUN, task.reason)
        if task.ready_at is not None:
            return PlannedStep(task.path, task.kind, Do.RUN, self.whys.get(task.path, ""))
        return self._waiting(task.path, task.kind)

    def below_waiting_groups(self, known: Iterable[str]) -> list[PlannedStep]:
        """The members, in the earlier run, of groups that wait: what is in them is not known before they begin."""
        found = []
        for path in known:
            try:
                place = self.places[path]
            except KeyError:
                continue  # the pipeline has no such step any more
            group = next((above for above in paths.ancestors(path) if above in self.tasks.tasks), ROOT)
            if self.tasks.tasks[group].state is State.PENDING:
                found.append(self._waiting(path, place.kind))
        return found

    def sum_up_groups(self, found: dict[str, PlannedStep]) -> None:
        """A group runs where anything in it does, else it is reused where anything in it is."""
        members: dict[str, list[str]] = {}
        for path in found:
            members.setdefault(paths.parent(path), []).append(path)
        for path in sorted(members, key=len, reverse=True):
            group = found.get(path)
            if group is None or path not in self.tasks.tasks or self.tasks.tasks[path].state is State.PENDING:
                continue
            done = {found[member].do for member in members[path]}
            do = Do.RUN if Do.RUN in done else Do.REUSE if Do.REUSE in done else Do.SKIP
            sure = all(found[member].sure for member in members[path])
            found[path] = PlannedStep(path, group.kind, do, group.why if do is not Do.REUSE else "", sure)

    def _from_whom(self, task: Task) -> str:
        run_id = task.cached_from.partition(":")[0]
        if not run_id or (self.earlier and run_id == self.earlier.again.run_id):
            return ""
        return "The cache has its outputs from another run."

    def _waiting(self, path: str, kind: Kind) -> PlannedStep:
        why = self.earlier.why_again(self.places, path) if self.earlier else ""
        return PlannedStep(path, kind, Do.RUN, why or self._what_it_waits_for(path), not self._is_unsure(path))

    def _what_it_waits_for(self, path: str) -> str:
        """A sentence on the first task that it waits for, itself or by its groups."""
        while path != ROOT:
            place = self.places[path]
            if place.index is None and place.task is not None:
                for key in place.task.dependencies:
                    task = self.tasks.tasks.get(before := paths.child(place.parent, key))
                    if task is not None and not task.state.is_final:
                        return depends(before)
            path = place.parent
        return ""

    def _is_unsure(self, path: str) -> bool:
        """Whether a task that waits may turn out to be skipped or reused."""
        place = self.places[path]
        if not place.parent:
            return False
        group = self.tasks.tasks.get(place.parent)
        if (group is None or group.state is State.PENDING) and self._is_unsure(place.parent):
            return True
        if place.index is not None:
            return group is None or group.state is State.PENDING or self._may_be_cached(path)  # how many is not known yet
        if place.parent not in self._unsure:
            self._unsure[place.parent] = self._unsure_in(place.parent, place)
        return path in self._unsure[place.parent]

    def _unsure_in(self, group: str, member: Place) -> set[str]:
        dag = self.places[group].component.dag
        assert dag is not None, f"{member.path} is in {group}, which is no DAG"
        waiting = {key for key in dag.tasks if self._waits(paths.child(group, key))}
        forced = {key for key in waiting if self._is_forced(paths.child(group, key))}
        may_be_skipped = {key for key in waiting if dag.tasks[key].trigger.condition}
        may_be_reused = {key for key in waiting - forced if self._may_be_cached(paths.child(group, key))}
        skipped = [key for key in waiting if self._was_skipped(paths.child(group, key))]  # again, if what comes before it fails
        after = {dependant for key in skipped for dependant in dag.dependants[key] if dag.tasks[dependant].waits_for_any_end}
        may_be_reused |= after & waiting - forced
        open_keys = [*may_be_skipped, *may_be_reused]
        while open_keys:
            key = open_keys.pop()
            for dependant in waiting.intersection(dag.dependants[key]):
                if key in may_be_skipped and not dag.tasks[dependant].waits_for_any_end:
                    found = may_be_skipped
                elif dependant not in forced:  # what it depends on may end as it did in the earlier run
                    found = may_be_reused
                else:
                    continue
                if dependant not in found:
                    found.add(dependant)
                    open_keys.append(dependant)
        return {paths.child(group, key) for key in may_be_skipped | may_be_reused}

    def _waits(self, path: str) -> bool:
        task = self.tasks.tasks.get(path)
        return task is None or (task.state is State.PENDING and task.ready_at is None)

    def _was_skipped(self, path: str) -> bool:
        old = self.earlier.again.tasks.get(path) if self.earlier is not None else None
        return old is not None and old.state is State.SKIPPED

    def _is_forced(self, path: str) -> bool:
        return self.earlier is not None and bool(self.earlier.cause(self.places, path))

    def _may_be_cached(self, path: str) -> bool:
        """Whether a step that waits asks the cache when its turn comes."""
        if self.cache is not CacheUse.USE or self._is_forced(path):
            return False
        place = self.places[path]
        return place.kind is Kind.CONTAINER and place.task is not None and place.task.caching.enabled


def _in_order(found: Mapping[str, PlannedStep]) -> tuple[PlannedStep, ...]:
    """A group before its members, members in the order in which they were found."""
    members: dict[str, list[str]] = {}
    for path in found:
        members.setdefault(paths.parent(path), []).append(path)
    ordered: list[PlannedStep] = []
    waiting = members.get(ROOT, [])[::-1]
    while waiting:
        path = waiting.pop()
        ordered.append(found[path])
        waiting += members.get(path, [])[::-1]
    return tuple(ordered)
