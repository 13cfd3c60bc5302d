"""Small pipelines by hand, as values: what the parser would make of a compiled document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.spec.model import (
    ArtifactDefinition,
    ArtifactInput,
    ArtifactSelector,
    CachingOptions,
    ComponentSpec,
    Constant,
    ContainerSpec,
    DagSpec,
    FinalStatus,
    FromInput,
    FromTask,
    Iterator,
    ParameterDefinition,
    ParameterInput,
    ParameterSelector,
    ParameterType,
    PipelineSpec,
    PlatformSpec,
    RetryPolicy,
    TaskSpec,
    TriggerPolicy,
    TriggerStrategy,
)

ANY_END = TriggerStrategy.ALL_UPSTREAM_TASKS_COMPLETED
ALL_SUCCEED = TriggerStrategy.ALL_UPSTREAM_TASKS_SUCCEEDED
NO_DEFAULT = object()


def parameter(
    type: str = "STRING", default: Any = NO_DEFAULT, *, optional: bool = False, literals: tuple[Any, ...] = ()
) -> ParameterDefinition:
    """A declared parameter."""
    has = default is not NO_DEFAULT
    return ParameterDefinition(ParameterType(type), has, default if has else None, optional, literals=literals)


def step(
    name: str,
    *,
    inputs: Mapping[str, Any] = {},
    outputs: Mapping[str, str] = {},
    artifacts_in: Mapping[str, Any] = {},
    artifacts_out: tuple[str, ...] = (),
) -> ComponentSpec:  # noqa: B006
    """A component with a container; `inputs` and `outputs` map names to types (or definitions)."""
    return ComponentSpec(
        name,
        input_parameters=_definitions(inputs),
        output_parameters=_definitions(outputs),
        input_artifacts={
            key: value if isinstance(value, ArtifactDefinition) else ArtifactDefinition() for key, value in artifacts_in.items()
        },
        output_artifacts={key: ArtifactDefinition() for key in artifacts_out},
        executor=f"exec-{name}",
    )


def dag(
    name: str,
    tasks: list[TaskSpec],
    *,
    inputs: Mapping[str, Any] = {},
    artifacts_in: Mapping[str, Any] = {},
    gives: Mapping[str, Any] = {},
    gives_artifacts: Mapping[str, Any] = {},
) -> ComponentSpec:  # noqa: B006
    """A component with a DAG; `gives` maps an output to `"task.key"`, or a list of these (OneOf)."""
    return ComponentSpec(
        name,
        input_parameters=_definitions(inputs),
        input_artifacts={
            key: value if isinstance(value, ArtifactDefinition) else ArtifactDefinition() for key, value in artifacts_in.items()
        },
        dag=DagSpec(
            {task.key: task for task in tasks},
            {key: ParameterSelector(_from_tasks(value)) for key, value in gives.items()},
            {key: ArtifactSelector(_from_tasks(value)) for key, value in gives_artifacts.items()},
        ),
    )


def task(
    key: str,
    component: str,
    *,
    after: tuple[str, ...] = (),
    inputs: Mapping[str, Any] = {},  # noqa: B006
    artifacts: Mapping[str, str] = {},  # noqa: B006
    when: str = "",
    any_end: bool = False,
    cached: bool = False,
    over: Any = None,
    over_artifacts: str = "",
    item: str = "item",
    at_once: int = 0,
    retry: RetryPolicy | None = None,
) -> TaskSpec:
    """A task. Inputs are constants, `<name` (the group's input), `task.key` after `@` (`@train.Output`) or sources.

    `over` is a list (raw items) or the name of an own input.
    """
    parameters = {name: _parameter_input(value) for name, value in inputs.items()}
    given = {name: ArtifactInput(_source(value)) for name, value in artifacts.items()}  # type: ignore[arg-type]
    sources = [one.source for one in parameters.values()] + [one.source for one in given.values()]
    producers = [source.producer for source in sources if isinstance(source, FromTask | FinalStatus)]
    iterator = None
    if over_artifacts:
        iterator = Iterator(item, items_input=over_artifacts, over_artifacts=True)
    elif isinstance(over, str):
        iterator = Iterator(item, items_input=over)
    elif over is not None:
        iterator = Iterator(item, raw=tuple(over))
    return TaskSpec(
        key,
        key,
        component,
        dependencies=tuple(dict.fromkeys([*after, *producers])),
        parameters=parameters,
        artifacts=given,
        caching=CachingOptions(cached),
        trigger=TriggerPolicy(when, ANY_END if any_end else ALL_SUCCEED),
        iterator=iterator,
        parallelism=at_once,
        retry=retry,
    )


def pipeline(root: ComponentSpec, *components: ComponentSpec, limit: float = 0) -> PipelineSpec:
    """A pipeline of these components; every one without a DAG gets a container."""
    every = [*components, root]
    executors = {one.executor: ContainerSpec(one.executor, f"image/{one.name}") for one in every if one.executor}
    platform = PlatformSpec(pipeline={"activeDeadlineSeconds": limit} if limit else {})
    return PipelineSpec("example", root, {one.name: one for one in components}, executors, platform=platform)


def _definitions(given: Mapping[str, Any]) -> dict[str, ParameterDefinition]:
    return {name: value if isinstance(value, ParameterDefinition) else parameter(value) for name, value in given.items()}


def _from_tasks(value: str | list[str]) -> tuple[FromTask, ...]:
    every = [value] if isinstance(value, str) else value
    return tuple(FromTask(*one.split(".", 1)) for one in every)


def _parameter_input(value: Any) -> ParameterInput:
    if isinstance(value, ParameterInput):
        return value
    return ParameterInput(_source(value))


def _source(value: Any) -> Any:
    if isinstance(value, FinalStatus | FromInput | FromTask | Constant):
        return value
    if isinstance(value, str) and value.startswith("<"):
        return FromInput(value[1:])
    if isinstance(value, str) and value.startswith("@"):
        return FromTask(*value[1:].split(".", 1))
    return Constant(value)
