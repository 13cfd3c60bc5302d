"""The life of a package: read, parsed, drawn, launched, and run to its end by the engine with steps that a script plays."""

from __future__ import annotations

import dataclasses
import json
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipelines.drawing.visible import see
from pipelines.packages import read_package
from pipelines.spec import paths
from pipelines.spec.arguments import check_arguments, expand_macros
from pipelines.spec.constants import run_constants, task_uuid
from pipelines.spec.model import ComponentSpec, ImporterSpec, ParameterType, PipelineSpec
from pipelines.spec.parse import Document, build, parse_text
from pipelines.spec.platform import local_notices
from pipelines.spec.problems import Refused
from runs.engine.inputs import value_in_scope
from runs.engine.model import (
    AttemptFailed,
    AttemptSucceeded,
    CacheAnswered,
    Fact,
    Kind,
    LookInCache,
    StartAttempt,
    Stop,
    StopAttempt,
    Task,
    TimeCame,
    Values,
)
from runs.execution import fingerprint, placeholders
from runs.execution.importer import ImportRefused, imported
from runs.execution.order import complete, mounted_claims
from tests.engine.world import WORLDS, World, artifact
from tests.fuzz.mutations import Package

Json = Any

MOST_ORDERS = 150  # of a run; then it is stopped
MOST_ITERATIONS = 30
MOST_EVENTS = 20_000

TEXTS = ("", "a", "text", "3", "[1, 2]", '{"a": 1}', "{{$.pipeline_job_uuid}}", "\u202eé", "true", "null", "[[RunUUID]]")
MADE: dict[ParameterType, tuple[Json, ...]] = {
    ParameterType.STRING: TEXTS,
    ParameterType.NUMBER_INTEGER: (0, 1, 3, -7, 2**53),
    ParameterType.NUMBER_DOUBLE: (0, 2.5, -1e300, 3),
    ParameterType.BOOLEAN: (True, False),
    ParameterType.LIST: ([], [1, 2], ["a", None], [{"a": 1}, {"b": [2]}], [[1], "x"], list(range(40))),
    ParameterType.STRUCT: ({}, {"a": 1, "b": 2}, {"a": {"b": [1, None]}}, {"": "x"}),
}


def live(package: Package, chance: random.Random) -> str:
    """A package's whole life. How it ended: `refused`, or the state of its run. Raises AssertionError, or what escaped."""
    try:
        document = parse_text(read_package(package.data, package.name))
    except Refused as refused:
        check_sentences(refused)
        return "refused"
    return live_document(document, chance)


def live_document(document: Document, chance: random.Random) -> str:
    """The life of a document that was taken."""
    pipeline, platform = json.loads(json.dumps([document.pipeline, document.platform], allow_nan=False))
    spec = build(pipeline, platform)
    assert spec == document.spec, "what is stored is another pipeline than what was checked"
    check_picture(spec, chance)
    local_notices(spec)
    arguments = make_arguments(spec, chance)
    if check_arguments(spec, arguments):
        return "not launched"
    try:
        return run(spec, arguments, chance)
    finally:
        WORLDS.clear()


def check_sentences(refused: Refused) -> None:
    """A refusal has sentences that are short, and lines that there can be."""
    assert refused.problems, "refused without a problem"
    for problem in refused.problems:
        assert problem.message.strip() and problem.message.rstrip()[-1] in ".?!…)", problem
        assert len(problem.message) < 5000, problem
        assert problem.line is None or problem.line > 0, problem
        assert "Traceback" not in problem.message and "object at 0x" not in problem.message, problem


def check_picture(spec: PipelineSpec, chance: random.Random) -> None:
    """The picture, as it is first and with groups opened: every line has two ends that are there."""
    folded = see(spec)
    opened = [node.path for node in folded.nodes if node.opens and chance.random() < 0.7]
    for graph in (folded, see(spec, opened, artifacts=True)):
        ids = {node.id for node in graph.nodes} | {f"n-{group.path}" for group in graph.groups}
        assert len({node.id for node in graph.nodes}) == len(graph.nodes), "two nodes have one id"
        for edge in graph.edges:
            assert {edge.tail, edge.head} <= ids, f"{edge} has an end that is not drawn"


def make_arguments(spec: PipelineSpec, chance: random.Random) -> dict[str, Json]:
    """A value for most inputs, of the declared type; macros expanded as at launch."""
    arguments = {}
    for name, definition in spec.root.input_parameters.items():
        if definition.type in MADE and (chance.random() < 0.6 or not (definition.optional or definition.has_default)):
            arguments[name] = chance.choice(definition.literals or MADE[definition.type])
    check_arguments(spec, {**arguments, chance.choice(TEXTS): chance.choice(TEXTS)})
    return expand_macros(arguments, run_id="run-1", created_at=World(spec).now, scheduled_at=None)


def run(spec: PipelineSpec, arguments: dict[str, Json], chance: random.Random) -> str:
    """A run to its end; the state that it came to."""
    world = Life(spec, arguments=arguments, chance=chance)
    world.change_run(most_iterations=MOST_ITERATIONS)
    world.look()
    stopped = False
    while not world.run.state.is_final:
        if len(world.started) > MOST_ORDERS and not stopped:
            stopped = True
            world.change_run(stop=chance.choice((Stop.GRACEFUL, Stop.FORCE)))
            world.look()
        if world.todo:
            for fact in world.facts_for(world.todo.pop(chance.randrange(len(world.todo)) if chance.random() < 0.3 else 0)):
                world.tell(fact)
        elif world.wakes:
            world.pass_time()
        else:
            raise AssertionError(f"The run has come to rest and has not ended: {world.states()}")
        assert len(world.events) < MOST_EVENTS, f"The run does not end: {world.states()}"
    world.check()
    return str(world.run.state.value)


@dataclass
class Life(World):
    """A world whose orders are made complete as the dispatcher does it, and whose steps do what chance says."""

    chance: random.Random = field(default_factory=random.Random)

    def pass_time(self) -> None:
        """On to the next moment that something waits for."""
        self.wakes.sort(key=lambda wake: wake.due)
        wake = self.wakes.pop(0)
        self.now = max(self.now, wake.due)
        self.tell(TimeCame(wake.path))

    def _answer(self, order: LookInCache) -> CacheAnswered:
        task = self.tasks.get(order.path)
        assert task is not None and task.inputs is not None
        task_spec, component = self.spec.at(order.path)
        claims = mounted_claims(self.spec, component, task.inputs, self.run.resource_name)
        key = fingerprint.fingerprint(spec=self.spec, component=component, task_spec=task_spec, inputs=task.inputs, claims=claims)
        return CacheAnswered(order.path, self.now, key)

    def facts_for(self, order: StartAttempt | StopAttempt) -> list[Fact]:
        """What becomes of an order."""
        if isinstance(order, StopAttempt):
            return super().facts_for(order)
        task = self.tasks.get(order.path)
        assert task is not None
        if order.kind is Kind.IMPORTER:
            return [self._import(task, order.number)]
        if order.kind is Kind.CONTAINER and (problem := self._problem(task, order.number)):
            return [AttemptFailed(order.path, order.number, self.now, problem, "invalid-order", retryable=False)]
        if self.chance.random() < 0.1:
            return [AttemptFailed(order.path, order.number, self.now, "It failed.", exit_code=1)]
        return [AttemptSucceeded(order.path, order.number, self.now, self._made(self.spec.at(order.path)[1]))]

    def _problem(self, task: Task, number: int) -> str:
        """Why the order cannot be made complete; empty where it can."""
        _, component = self.spec.at(task.path)
        assert component is not None
        resolve = partial(value_in_scope, self.snapshot(), task.path)
        try:
            order = complete(spec=self.spec, component=component, run=self.run, task=task, number=number, resolve=resolve)
            placeholders.substitute(order, order.executor_input, lambda uri: f"/artifacts/{uri}")
        except ValueError as error:
            assert str(error).rstrip()[-1:] in ".…", f"no sentence: {error!r}"
            return str(error)
        json.dumps(dataclasses.asdict(order), allow_nan=False)
        return ""

    def _import(self, task: Task, number: int) -> Fact:
        _, component = self.spec.at(task.path)
        assert component is not None and task.inputs is not None
        importer = self.spec.executor_of(component)
        assert isinstance(importer, ImporterSpec)
        constants = run_constants(
            run_id=self.run.id,
            run_name=self.run.name,
            resource_name=self.run.resource_name,
            pipeline_root=self.run.pipeline_root,
            task_key=paths.key(task.path),
            task_uuid=task_uuid(self.run.id, task.path),
            created_at=self.run.created_at,
            scheduled_at=None,
        )
        try:
            name, value = imported(importer, component, task.inputs, constants, artifacts_dir="/artifacts")
        except ImportRefused as error:
            return AttemptFailed(task.path, number, self.now, str(error), "import", retryable=False)
        return AttemptSucceeded(task.path, number, self.now, Values(artifacts={name: [value]}))

    def _made(self, component: ComponentSpec) -> Values:
        parameters = {
            name: self.chance.choice(MADE.get(definition.type, (None,))) for name, definition in component.output_parameters.items()
        }
        return Values(parameters, {name: [artifact(name, 1)] for name in component.output_artifacts})
