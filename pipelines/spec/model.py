"""A pipeline as a value: what KFP's PipelineSpec says, typed, immutable, with the look-ups that readers need.

Names are those of KFP's `pipeline_spec.proto` (api/v2alpha1). Numbers are Python ints where they are integral
(`3.0` in a document is `3` here), because KFP renders them so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from pipelines.spec import paths
from pipelines.spec.parameter_types import ParameterType as ParameterType

Json = Any  # None, bool, int, float, str, list[Json] or dict[str, Json]


@dataclass(frozen=True)
class ArtifactType:
    """The type of an artifact: a schema title with its version, or an instance schema (YAML text)."""

    title: str = "system.Artifact"
    version: str = "0.0.1"
    instance_schema: str = ""


@dataclass(frozen=True)
class ParameterDefinition:
    """A declared parameter of a component. `default` means something only where `has_default`."""

    type: ParameterType
    has_default: bool = False
    default: Json = None
    optional: bool = False
    description: str = ""
    literals: tuple[Json, ...] = ()


@dataclass(frozen=True)
class ArtifactDefinition:
    """A declared artifact of a component. `metadata` is what an output is born with."""

    type: ArtifactType = ArtifactType()
    is_list: bool = False
    optional: bool = False
    description: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)


# --- where an input's value comes from ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constant:
    """A literal JSON value; strings in it may hold placeholders."""

    value: Json


@dataclass(frozen=True)
class FromInput:
    """The input called `name` of the enclosing DAG."""

    name: str


@dataclass(frozen=True)
class FromTask:
    """The output called `key` of the sibling task `producer`."""

    producer: str
    key: str


@dataclass(frozen=True)
class FinalStatus:
    """The final status of the sibling task `producer`, as an object."""

    producer: str


ParameterSource = Constant | FromInput | FromTask | FinalStatus
ArtifactSource = FromInput | FromTask


@dataclass(frozen=True)
class ParameterInput:
    """How a task gets a parameter; `selector` is a CEL expression over the value, or empty."""

    source: ParameterSource
    selector: str = ""


@dataclass(frozen=True)
class ArtifactInput:
    """How a task gets an artifact (or a list of them)."""

    source: ArtifactSource


# --- policies of a task ---------------------------------------------------------------------------------------------


class TriggerStrategy(StrEnum):
    """When a task may start, seen from its dependencies."""

    ALL_UPSTREAM_TASKS_SUCCEEDED = "ALL_UPSTREAM_TASKS_SUCCEEDED"
    ALL_UPSTREAM_TASKS_COMPLETED = "ALL_UPSTREAM_TASKS_COMPLETED"


@dataclass(frozen=True)
class TriggerPolicy:
    """A CEL condition (empty: none) and the strategy."""

    condition: str = ""
    strategy: TriggerStrategy = TriggerStrategy.ALL_UPSTREAM_TASKS_SUCCEEDED


@dataclass(frozen=True)
class CachingOptions:
    """Whether the task may be answered from the cache, and the user's own key, if any."""

    enabled: bool = False
    key: str = ""


@dataclass(frozen=True)
class RetryPolicy:
    """Up to `max_retries` further attempts; delays in seconds; `max_window` counts from the first attempt, None is no window."""

    max_retries: int = 0
    delay: float = 0.0
    factor: float = 2.0
    max_window: float | None = None


@dataclass(frozen=True)
class Iterator:
    """A loop over `raw` items, or over the task's own input `items_input` (of artifacts where `over_artifacts`)."""

    item_input: str
    raw: tuple[Json, ...] | None = None
    items_input: str = ""
    over_artifacts: bool = False


@dataclass(frozen=True)
class TaskSpec:
    """One task of a DAG. `dependencies` are all siblings it waits for: named ones and producers of its inputs."""

    key: str
    name: str
    component: str
    dependencies: tuple[str, ...] = ()
    parameters: Mapping[str, ParameterInput] = field(default_factory=dict)
    artifacts: Mapping[str, ArtifactInput] = field(default_factory=dict)
    caching: CachingOptions = CachingOptions()
    trigger: TriggerPolicy = TriggerPolicy()
    iterator: Iterator | None = None
    parallelism: int = 0  # most iterations at once; 0 is no limit
    retry: RetryPolicy | None = None

    @property
    def waits_for_any_end(self) -> bool:
        """Whether it runs however its dependencies ended (exit tasks, `ignore_upstream_failure`)."""
        return self.trigger.strategy is TriggerStrategy.ALL_UPSTREAM_TASKS_COMPLETED


@dataclass(frozen=True)
class ParameterSelector:
    """A DAG's output parameter: the first of `sources` whose task succeeded gives the value."""

    sources: tuple[FromTask, ...]


@dataclass(frozen=True)
class ArtifactSelector:
    """A DAG's output artifact: the first of `sources` whose task succeeded gives it."""

    sources: tuple[FromTask, ...]


@dataclass(frozen=True)
class DagSpec:
    """Tasks by key, in document order, and what the DAG gives outwards."""

    tasks: Mapping[str, TaskSpec]
    output_parameters: Mapping[str, ParameterSelector] = field(default_factory=dict)
    output_artifacts: Mapping[str, ArtifactSelector] = field(default_factory=dict)

    @cached_property
    def dependants(self) -> Mapping[str, tuple[str, ...]]:
        """Task key → keys of the tasks that wait for it."""
        found: dict[str, list[str]] = {key: [] for key in self.tasks}
        for task in self.tasks.values():
            for dependency in task.dependencies:
                found[dependency].append(task.key)
        return {key: tuple(value) for key, value in found.items()}


@dataclass(frozen=True)
class ComponentSpec:
    """A component: its interface, and either a DAG or the label of an executor."""

    name: str
    input_parameters: Mapping[str, ParameterDefinition] = field(default_factory=dict)
    input_artifacts: Mapping[str, ArtifactDefinition] = field(default_factory=dict)
    output_parameters: Mapping[str, ParameterDefinition] = field(default_factory=dict)
    output_artifacts: Mapping[str, ArtifactDefinition] = field(default_factory=dict)
    dag: DagSpec | None = None
    executor: str = ""
    task_config_passthroughs: tuple[tuple[str, bool], ...] = ()  # (field, apply to the task too)


# --- executors ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ResourceSpec:
    """Kubernetes quantities or placeholders, as the document has them; empty where not said."""

    cpu_limit: str = ""
    memory_limit: str = ""
    cpu_request: str = ""
    memory_request: str = ""
    accelerator_type: str = ""
    accelerator_count: str = ""


@dataclass(frozen=True)
class ContainerSpec:
    """A container executor. `command` and `args` hold placeholders; `env` keeps its order."""

    label: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    resources: ResourceSpec = ResourceSpec()


@dataclass(frozen=True)
class ImporterSpec:
    """An importer executor: `uri` is a constant, else the value of the task's input `uri_input`."""

    label: str
    type: ArtifactType
    uri: str = ""
    uri_input: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    reimport: bool = False
    download_to_workspace: bool = False


ExecutorSpec = ContainerSpec | ImporterSpec


@dataclass(frozen=True)
class PlatformSpec:
    """The Kubernetes part of a package, checked for its shape and otherwise as the document has it (camelCase keys).

    `executors` is KubernetesExecutorConfig by executor label; `pipeline` is pipelineConfig.
    """

    executors: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    pipeline: Mapping[str, Json] = field(default_factory=dict)


ROOT = "root"


@dataclass(frozen=True)
class PipelineSpec:
    """A whole pipeline."""

    name: str
    root: ComponentSpec
    components: Mapping[str, ComponentSpec]
    executors: Mapping[str, ExecutorSpec]
    display_name: str = ""
    description: str = ""
    schema_version: str = "2.1.0"
    sdk_version: str = ""
    platform: PlatformSpec = PlatformSpec()

    def component_of(self, task: TaskSpec) -> ComponentSpec:
        """The component that a task refers to."""
        return self.components[task.component]

    def at(self, path: str) -> tuple[TaskSpec | None, ComponentSpec]:
        """The task and component at a path of a run (`pipelines.spec.paths`); the root has no task. Raises KeyError."""
        component, task = self.root, None
        for segment in paths.template(path).split("/")[1:]:
            assert component.dag is not None, f"{path} leads through {component.name}, which is no DAG"
            task = component.dag.tasks[paths.unescape(segment)]
            component = self.components[task.component]
        return task, component

    def executor_of(self, component: ComponentSpec) -> ExecutorSpec | None:
        """The executor of a component, None for a DAG."""
        return self.executors[component.executor] if component.executor else None
