"""For executor tests: shell scripts as orders, and a watcher that gathers what an executor tells."""

from __future__ import annotations

import shlex
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipelines.spec.model import (
    ArtifactDefinition,
    ArtifactType,
    ComponentSpec,
    ContainerSpec,
    DagSpec,
    ParameterDefinition,
    ParameterType,
    PipelineSpec,
    PlatformSpec,
    TaskSpec,
)
from runs.engine.model import (
    AttemptFailed,
    AttemptLost,
    AttemptProgressed,
    AttemptStopped,
    AttemptSucceeded,
    Fact,
    Kind,
    Phase,
    Run,
    Task,
    Values,
)
from runs.execution.order import complete
from runs.executors.base import AttemptKey, AttemptOrder, Executor, FactObserved, LogLine, LogObserved

ENDS = (AttemptSucceeded, AttemptFailed, AttemptLost, AttemptStopped)


# --- what a step does, as a shell script or as a behaviour ----------------------------------------------------------


@dataclass(frozen=True)
class Say:
    """Print a line."""

    text: str
    stream: str = "o"


@dataclass(frozen=True)
class Sleep:
    """Take some seconds."""

    seconds: float


@dataclass(frozen=True)
class Give:
    """Write a text to the file of an output parameter."""

    output: str
    text: str


@dataclass(frozen=True)
class Exit:
    """End with an exit code."""

    code: int


@dataclass(frozen=True)
class OnStop:
    """What to say when told to stop, before ending; with None, do not end."""

    text: str | None


Act = Say | Sleep | Give | Exit | OnStop


def to_shell(acts: tuple[Act, ...]) -> str:
    """The acts as a POSIX shell script."""
    lines = []
    for act in acts:
        match act:
            case Say(text, stream):
                lines.append(f"printf '%s\\n' {shlex.quote(text)}" + (" >&2" if stream == "e" else ""))
            case Sleep(seconds):
                # In small pieces, so that a trap is run soon.
                lines.append(f"n=0; while [ $n -lt {round(seconds * 10)} ]; do sleep 0.1; n=$((n+1)); done")
            case Give(output, text):
                lines.append(f"printf '%s' {shlex.quote(text)} > {{{{$.outputs.parameters['{output}'].output_file}}}}")
            case Exit(code):
                lines.append(f"exit {code}")
            case OnStop(None):
                lines.append("trap '' TERM")
            case OnStop(text):
                lines.append(f"trap {shlex.quote(f'echo {shlex.quote(text or str())}; exit 0')} TERM")
    return "\n".join(lines)


def order(
    *acts: Act,
    script: str = "",
    key: str = "step",
    image: str = "busybox:1.36",
    command: tuple[str, ...] = ("sh", "-c"),
    args: tuple[str, ...] | None = None,
    outputs: Mapping[str, ParameterType] | None = None,
    artifacts: Mapping[str, str] | None = None,
    inputs: Values | None = None,
    env: tuple[tuple[str, str], ...] = (),
    timeout: float | None = None,
    run_id: str = "",
    number: int = 1,
) -> AttemptOrder:
    """A complete order for a step that does these acts, or runs this script, in a run of its own."""
    run_id = run_id or str(uuid.uuid4())
    inputs = inputs or Values()
    component = ComponentSpec(
        name="comp-step",
        input_parameters={name: ParameterDefinition(_type_of(value)) for name, value in inputs.parameters.items()},
        input_artifacts={name: ArtifactDefinition() for name in inputs.artifacts},
        output_parameters={name: ParameterDefinition(type) for name, type in (outputs or {}).items()},
        output_artifacts={name: ArtifactDefinition(ArtifactType(title)) for name, title in (artifacts or {}).items()},
        executor="exec-step",
    )
    if args is None:
        args = (script or to_shell(acts) or "true",)
    task = TaskSpec(key=key, name=key, component=component.name)
    spec = PipelineSpec(
        name="contract",
        root=ComponentSpec(name="root", dag=DagSpec({key: task})),
        components={component.name: component},
        executors={"exec-step": ContainerSpec("exec-step", image, command, args, env)},
        platform=PlatformSpec({"exec-step": {"activeDeadlineSeconds": timeout}} if timeout else {}),
    )
    root = f"minio://kfdash/v2/artifacts/contract/{run_id}"
    run = Run(run_id, "a run", f"contract-{run_id[:5]}", pipeline_root=root)
    value = Task(f"root/{key}", Kind.CONTAINER, inputs=inputs)
    return complete(spec=spec, component=component, run=run, task=value, number=number)


def _type_of(value: object) -> ParameterType:
    kinds = {
        bool: ParameterType.BOOLEAN,
        int: ParameterType.NUMBER_INTEGER,
        float: ParameterType.NUMBER_DOUBLE,
        str: ParameterType.STRING,
        list: ParameterType.LIST,
        dict: ParameterType.STRUCT,
    }
    return kinds[type(value)]


def key_of(order: AttemptOrder) -> AttemptKey:
    """How an executor knows the order's attempt."""
    return AttemptKey(order.name, order.run_id, order.path, order.number)


# --- what an executor tells -----------------------------------------------------------------------------------------


@dataclass
class Told:
    """What was told about one attempt, in order."""

    facts: list[Fact] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    log_ended: int = 0

    @property
    def ends(self) -> list[Fact]:
        """All facts that end it: one, or the same again."""
        return [fact for fact in self.facts if isinstance(fact, ENDS)]

    def texts(self, stream: str) -> list[str]:
        """The texts of one stream, in order."""
        return [line.text for line in self.lines if line.stream == stream]


class Watcher:
    """Gathers an executor's observations in a thread; waits with patience, and looks when nothing is told."""

    def __init__(self, executor: Executor, patience: float) -> None:
        self.executor = executor
        self.patience = patience
        self._told: dict[tuple[str, str, int], Told] = {}
        self._logs: dict[str, Told] = {}
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._closing = False
        threading.Thread(target=self._observe, name="watcher", daemon=True).start()

    def _observe(self) -> None:
        try:
            for batch in self.executor.observe():
                with self._changed:
                    for observation in batch:
                        self._take(observation)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  # shown by the test that waits
            if not self._closing:
                self._error = error

    def _take(self, observation: FactObserved | LogObserved) -> None:
        if isinstance(observation, FactObserved):
            fact = observation.fact
            self._of((observation.run_id, fact.path, fact.number)).facts.append(fact)  # type: ignore[union-attr]
        else:
            told = self._logs.setdefault(observation.log, Told())
            told.lines.extend(observation.lines)
            told.log_ended += observation.ended

    def _of(self, key: tuple[str, str, int]) -> Told:
        return self._told.setdefault(key, Told())

    def told(self, order: AttemptOrder) -> Told:
        """What was told about an order's attempt until now."""
        with self._changed:
            facts, log = self._of((order.run_id, order.path, order.number)), self._logs.get(order.log, Told())
            return Told(list(facts.facts), list(log.lines), log.log_ended)

    def until(self, order: AttemptOrder, is_so: Callable[[Told], bool], what: str) -> Told:
        """Waits until what was told satisfies `is_so`."""
        deadline = time.monotonic() + self.patience
        while not is_so(told := self.told(order)):
            assert self._error is None, f"Observing ended with {self._error!r}"
            assert time.monotonic() < deadline, f"Waited {self.patience:g} s in vain for {what}; told were {told}"
            with self._changed:
                self._changed.wait(0.2)
        return told

    def ready(self) -> None:
        """Waits until the executor's observations arrive: those from before the call of `observe` do not."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            marker = order(key="marker")
            self.executor.start([marker])
            for _ in range(20):
                if self.told(marker).facts:
                    self.end_of(marker)
                    return
                time.sleep(0.05)
        raise AssertionError(f"The executor told nothing within {self.patience:g} s; {self._error!r}")

    def end_of(self, order: AttemptOrder) -> Fact:
        """The attempt's end, as told."""
        return self.until(order, lambda told: bool(told.ends), f"the end of {order.name}").ends[0]

    def log_of(self, order: AttemptOrder) -> Told:
        """Everything told, once the log has ended too."""
        return self.until(order, lambda told: bool(told.ends) and told.log_ended > 0, f"the end of the log of {order.name}")

    def running(self, order: AttemptOrder) -> None:
        """Waits until the user's code runs."""
        self.until(
            order,
            lambda told: any(isinstance(f, AttemptProgressed) and f.phase is Phase.RUNNING for f in told.facts),
            f"{order.name} to run",
        )

    def close(self) -> None:
        """From now on the end of observing is no surprise."""
        self._closing = True
