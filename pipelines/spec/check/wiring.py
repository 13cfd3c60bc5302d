"""Tasks: what they refer to, where their inputs come from, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from pipelines.spec.cel import compile_error, mentioned_parameters
from pipelines.spec.check import fitting
from pipelines.spec.check.scope import Scope, scopes
from pipelines.spec.model import (
    ROOT,
    ArtifactSelector,
    ComponentSpec,
    Constant,
    FinalStatus,
    FromTask,
    ImporterSpec,
    ParameterSelector,
    ParameterType,
    PipelineSpec,
    TaskSpec,
)
from pipelines.spec.problems import Finding, Place, suggestion
from pipelines.spec.values import parameters_mentioned

GROUP_INPUT = "pipelinechannel--"  # the SDK also gives a task inputs that only its texts refer to; their names begin so


def check(spec: PipelineSpec) -> Iterator[Finding]:
    """Every task of every DAG, and every DAG's outputs."""
    for scope in scopes(spec):
        for task in scope.dag.tasks.values():
            yield from _task(scope, task)
        yield from _outputs(scope)


def _task(scope: Scope, task: TaskSpec) -> Iterator[Finding]:
    place = scope.task_place(task.key)
    yield from _dependencies(scope, task, place)
    yield from _policies(task, place)
    component = scope.spec.components.get(task.component)
    yield from _condition(scope, task, component, place)
    if component is None:
        if not task.component:
            yield Finding(place, f"The task `{task.key}` does not say which component it runs (componentRef.name).")
        else:
            hint = suggestion(task.component, scope.spec.components)
            yield Finding((*place, "componentRef", "name"), f"There is no component `{task.component}`{hint}")
        return
    yield from _known_inputs(task, component, (*place, "inputs"))
    yield from _required_inputs(task, component, place)
    yield from _loop(scope, task, component, place)
    for name, given in task.parameters.items():
        yield from fitting.parameter(scope, task, component, name, given, (*place, "inputs", "parameters", name))
    for name, artifact in task.artifacts.items():
        yield from fitting.artifact(scope, task, component, name, artifact, (*place, "inputs", "artifacts", name))


def _dependencies(scope: Scope, task: TaskSpec, place: Place) -> Iterator[Finding]:
    named_by_inputs = set()
    inputs = chain(
        ((("inputs", "parameters", name), item.source) for name, item in task.parameters.items()),
        ((("inputs", "artifacts", name), item.source) for name, item in task.artifacts.items()),
    )
    for where, source in inputs:
        if not isinstance(source, FromTask | FinalStatus):
            continue
        named_by_inputs.add(source.producer)
        yield from _dependency(scope, task, source.producer, (*place, *where))
    for key in task.dependencies:
        if key not in named_by_inputs:
            yield from _dependency(scope, task, key, (*place, "dependentTasks"))


def _dependency(scope: Scope, task: TaskSpec, key: str, place: Place) -> Iterator[Finding]:
    if not key:
        yield Finding(place, "This does not say which task it refers to.")
    elif key not in scope.dag.tasks:
        yield Finding(place, scope.missing_task(key))
    elif scope.dag.tasks[key].waits_for_any_end and key != task.key:
        yield Finding(
            place,
            f"The task `{task.key}` depends on `{key}`, which runs however the tasks before it end (an exit task or one that"
            " ignores their failure); nothing can depend on such a task.",
        )


def _policies(task: TaskSpec, place: Place) -> Iterator[Finding]:
    if task.parallelism < 0:
        yield Finding((*place, "iteratorPolicy", "parallelismLimit"), "The limit of parallel iterations is below zero.")
    if task.retry is None:
        return
    numbers = {"maxRetryCount": task.retry.max_retries, "backoffDuration": task.retry.delay, "backoffFactor": task.retry.factor}
    for name, number in (numbers | {"backoffMaxDuration": task.retry.max_window or 0}).items():
        if number < 0:
            yield Finding((*place, "retryPolicy", name), f"The retry policy's {name} is below zero.")


def _condition(scope: Scope, task: TaskSpec, component: ComponentSpec | None, place: Place) -> Iterator[Finding]:
    expression = task.trigger.condition
    if not expression:
        return
    here = (*place, "triggerPolicy", "condition")
    declared = component.input_parameters if component else {}
    if component and isinstance(scope.spec.executors.get(component.executor), ImporterSpec):
        yield Finding(here, "An importer cannot have a condition; put it into an `If` group.")
    if error := compile_error(expression):
        yield Finding(here, error)
        return
    for name in mentioned_parameters(expression):
        if name not in task.parameters and name not in declared:
            hint = suggestion(name, task.parameters)
            yield Finding(here, f"The condition reads the input `{name}`, which the task does not have{hint}")


# --- inputs ---------------------------------------------------------------------------------------------------------


def _known_inputs(task: TaskSpec, component: ComponentSpec, place: Place) -> Iterator[Finding]:
    constants = {name: item.source.value for name, item in task.parameters.items() if isinstance(item.source, Constant)}
    tolerated = set(parameters_mentioned(list(constants.values())))
    # The SDK passes settings that come from parameters (`cpu_limit`) as inputs, too.
    tolerated |= {name for name, value in constants.items() if parameters_mentioned(value)}
    if task.trigger.condition:
        tolerated |= set(mentioned_parameters(task.trigger.condition))
    sections = [
        ("parameters", task.parameters, component.input_parameters, component.input_artifacts, "an artifact", "a parameter"),
        ("artifacts", task.artifacts, component.input_artifacts, component.input_parameters, "a parameter", "an artifact"),
    ]
    for section, given, declared, others, other_kind, kind in sections:
        for name in given:
            here = (*place, section, name)
            if name in declared or name in tolerated or name.startswith(GROUP_INPUT):
                continue
            if name in others:
                yield Finding(here, f"`{component.name}` declares the input `{name}` as {other_kind}, but is given {kind}.")
            elif task.iterator is None or name != task.iterator.items_input:
                yield Finding(here, f"`{component.name}` has no input `{name}`{suggestion(name, declared)}")


def _required_inputs(task: TaskSpec, component: ComponentSpec, place: Place) -> Iterator[Finding]:
    item = task.iterator.item_input if task.iterator else None
    for name, parameter in component.input_parameters.items():
        is_set_by_us = parameter.type is ParameterType.TASK_CONFIG or name == item
        if name not in task.parameters and not (parameter.optional or parameter.has_default or is_set_by_us):
            yield Finding(place, f"Nothing gives the parameter `{name}` that `{component.name}` needs.")
    for name, artifact in component.input_artifacts.items():
        if name not in task.artifacts and not artifact.optional and name != item:
            yield Finding(place, f"Nothing gives the artifact `{name}` that `{component.name}` needs.")


def _loop(scope: Scope, task: TaskSpec, component: ComponentSpec, place: Place) -> Iterator[Finding]:
    iterator = task.iterator
    if iterator is None:
        return
    here = (*place, "artifactIterator" if iterator.over_artifacts else "parameterIterator")
    declared = component.input_artifacts if iterator.over_artifacts else component.input_parameters
    if iterator.item_input not in declared:
        kind = "artifact" if iterator.over_artifacts else "parameter"
        hint = suggestion(iterator.item_input, declared)
        yield Finding(
            (*here, "itemInput"), f"`{component.name}` has no {kind} `{iterator.item_input}` to take the loop's item{hint}"
        )
    given = task.artifacts if iterator.over_artifacts else task.parameters
    if iterator.items_input and iterator.items_input not in given:
        hint = suggestion(iterator.items_input, given)
        yield Finding(
            (*here, "items"), f"The loop goes over the input `{iterator.items_input}`, which the task does not have{hint}"
        )
    else:
        yield from fitting.loop_items(scope, task, component, here)


# --- outputs of a DAG -----------------------------------------------------------------------------------------------


def _outputs(scope: Scope) -> Iterator[Finding]:
    component, dag = scope.component, scope.dag
    place = (*scope.place, "dag", "outputs")
    for name, selector in dag.output_parameters.items():
        yield from _selector(scope, selector, (*place, "parameters", name))
        if name not in component.output_parameters:
            yield Finding((*place, "parameters", name), f"The output parameter `{name}` is not declared in outputDefinitions.")
        else:
            yield from fitting.output_parameter(scope, name, selector, (*place, "parameters", name))
    for name, artifacts in dag.output_artifacts.items():
        yield from _selector(scope, artifacts, (*place, "artifacts", name))
        if name not in component.output_artifacts:
            yield Finding((*place, "artifacts", name), f"The output artifact `{name}` is not declared in outputDefinitions.")
        else:
            yield from fitting.output_artifact(scope, name, artifacts, (*place, "artifacts", name))
    declared = (*scope.place, "outputDefinitions")
    for kind, names in (
        ("parameter", component.output_parameters.keys() - dag.output_parameters.keys()),
        ("artifact", component.output_artifacts.keys() - dag.output_artifacts.keys()),
    ):
        for name in sorted(names):
            owner = "pipeline" if component.name == ROOT else f"DAG `{component.name}`"
            yield Finding(
                (*declared, f"{kind}s", name), f"The {owner} declares the output {kind} `{name}`, but nothing in it gives it."
            )


def _selector(scope: Scope, selector: ParameterSelector | ArtifactSelector, place: Place) -> Iterator[Finding]:
    if not selector.sources:
        yield Finding(place, "Nothing says which task gives this output.")
    for source in selector.sources:
        if source.producer not in scope.dag.tasks:
            yield Finding(place, scope.missing_task(source.producer))
