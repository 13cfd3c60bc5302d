"""Whether what is given exists and has the type that is wanted."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.spec.cel import compile_error
from pipelines.spec.check.scope import Scope
from pipelines.spec.model import (
    ArtifactDefinition,
    ArtifactInput,
    ArtifactSelector,
    ArtifactType,
    ComponentSpec,
    Constant,
    FinalStatus,
    FromInput,
    FromTask,
    ParameterDefinition,
    ParameterInput,
    ParameterSelector,
    ParameterSource,
    ParameterType,
    TaskSpec,
)
from pipelines.spec.problems import Finding, Place, suggestion
from pipelines.spec.values import fits, kind_of

_NUMBERS = frozenset({ParameterType.NUMBER_INTEGER, ParameterType.NUMBER_DOUBLE})
_OBJECTS = frozenset({ParameterType.STRUCT, ParameterType.TASK_FINAL_STATUS, ParameterType.TASK_CONFIG})
_LOOP_ITEM = "loop-item"  # in the names that the SDK gives to a loop's items
_ANY_ARTIFACT = "system.Artifact"
_LISTS = frozenset({ParameterType.LIST, ParameterType.STRING})  # what a loop can go over: a list, or the text of one


def takes(wanted: ParameterType, given: ParameterType) -> bool:
    """Whether a value of one declared type can be given where another is declared: everything has a text."""
    same_kind = any({wanted, given} <= kinds for kinds in (_NUMBERS, _OBJECTS))
    return wanted is ParameterType.STRING or wanted is given or same_kind


def takes_artifact(wanted: ArtifactType, given: ArtifactType) -> bool:
    """The same for artifacts: the same title and major version, or one of them is the general type."""
    if not wanted.title or not given.title or _ANY_ARTIFACT in (wanted.title, given.title):
        return True
    return wanted.title == given.title and wanted.version.split(".")[0] == given.version.split(".")[0]


# --- parameters -----------------------------------------------------------------------------------------------------


def parameter(
    scope: Scope, task: TaskSpec, component: ComponentSpec, name: str, given: ParameterInput, place: Place
) -> Iterator[Finding]:
    """A task's input parameter: its source exists, its selector compiles, its type fits."""
    if given.selector and (error := compile_error(given.selector, selector=True)):
        yield Finding((*place, "parameterExpressionSelector"), error)
    if problem := _missing_source(scope, given.source):
        yield Finding(place, problem)
        return
    wanted = component.input_parameters.get(name)
    if wanted is None or given.selector or (task.iterator and task.iterator.items_input == name):
        return  # what a selector gives is known at run time; what a loop goes over is checked with the loop
    if isinstance(given.source, Constant):
        yield from _constant(wanted, name, given.source, (*place, "runtimeValue"))
        return
    type = source_type(scope, given.source)
    if type is not None and not takes(wanted.type, type):
        yield Finding(place, f"The input `{name}` is of the type {wanted.type}, but {_described(given.source)} gives {type}.")


def _constant(wanted: ParameterDefinition, name: str, constant: Constant, place: Place) -> Iterator[Finding]:
    value = constant.value
    if wanted.type is ParameterType.STRING:
        is_fixed = isinstance(value, str) and "{{$" not in value
    elif value is None and (wanted.optional or wanted.has_default):
        return
    elif not fits(wanted.type, value):
        yield Finding(place, f"The input `{name}` is of the type {wanted.type}, but the constant given is {kind_of(value)}.")
        return
    else:
        is_fixed = True
    if wanted.literals and is_fixed and value not in wanted.literals:
        yield Finding(place, f"The constant given to `{name}` is none of its literals.")


def _missing_source(scope: Scope, source: ParameterSource) -> str | None:
    """Why a source gives nothing; a missing task is said elsewhere, with the dependencies."""
    if isinstance(source, FromInput):
        if source.name in scope.component.input_artifacts:
            return f"`{source.name}` is an input artifact of {scope.title}, not a parameter."
        if source.name not in scope.component.input_parameters:
            hint = suggestion(source.name, scope.component.input_parameters)
            return f"Nothing gives this: there is no input parameter `{source.name}` in {scope.title}{hint}"
    if isinstance(source, FromTask) and (component := scope.component_of(source.producer)):
        if source.key in component.output_artifacts:
            return f"`{source.key}` is an output artifact of `{source.producer}`, not a parameter."
        if source.key not in component.output_parameters:
            hint = suggestion(source.key, component.output_parameters)
            return f"Nothing gives this: the task `{source.producer}` has no output parameter `{source.key}`{hint}"
    return None


def source_type(scope: Scope, source: ParameterSource) -> ParameterType | None:
    """The type that a source gives; None for constants and where it cannot be known."""
    if isinstance(source, FromInput):
        found = scope.component.input_parameters.get(source.name)
        # The SDK declares the items of a list whose items have no type as texts; only the run knows what they are.
        is_item = _LOOP_ITEM in source.name and found is not None and found.type is ParameterType.STRING
        return None if is_item or found is None else found.type
    if isinstance(source, FinalStatus):
        return ParameterType.TASK_FINAL_STATUS
    if isinstance(source, FromTask) and (component := scope.component_of(source.producer)):
        if scope.dag.tasks[source.producer].iterator:
            return ParameterType.LIST  # seen from outside, a loop gives the list over its iterations
        output = component.output_parameters.get(source.key)
        # Of what is collected, the SDK also declares single values in inner groups as lists.
        return output.type if output and not (component.dag and output.type is ParameterType.LIST) else None
    return None


def _described(source: ParameterSource) -> str:
    if isinstance(source, FromTask):
        return f"`{source.key}` of the task `{source.producer}`"
    if isinstance(source, FromInput):
        return f"the input `{source.name}`"
    return "the final status"


def loop_items(scope: Scope, task: TaskSpec, component: ComponentSpec, place: Place) -> Iterator[Finding]:
    """What a loop goes over is a list, and literal items fit the input that takes them."""
    iterator = task.iterator
    if iterator is None:
        return
    if iterator.raw is not None:
        wanted = component.input_parameters.get(iterator.item_input)
        for index, item in enumerate(iterator.raw):
            if wanted and wanted.type is not ParameterType.STRING and not fits(wanted.type, item):
                kind = kind_of(item)
                message = f"Item {index + 1} of the loop is {kind}, but `{iterator.item_input}` is of the type {wanted.type}."
                yield Finding((*place, "items", "raw"), message)
    elif iterator.over_artifacts:
        given_artifact = task.artifacts.get(iterator.items_input)
        if given_artifact is not None and _is_one_artifact(scope, given_artifact):
            yield Finding((*place, "items"), f"The loop goes over `{iterator.items_input}`, which is one artifact, not a list.")
    elif iterator.items_input:
        given = task.parameters[iterator.items_input]
        if isinstance(given.source, Constant):
            if not isinstance(given.source.value, list | str):
                yield Finding((*place, "items"), f"The loop goes over {kind_of(given.source.value)}; it needs a list.")
            return
        type = None if given.selector else source_type(scope, given.source)
        if type is not None and type not in _LISTS:
            yield Finding(
                (*place, "items"), f"The loop goes over `{iterator.items_input}`, which is of the type {type}, not a list."
            )


def output_parameter(scope: Scope, name: str, selector: ParameterSelector, place: Place) -> Iterator[Finding]:
    """A DAG's output parameter: each of its sources exists and has the declared type."""
    wanted = scope.component.output_parameters[name].type
    is_collected = wanted is ParameterType.LIST  # see `source_type`
    for source in selector.sources:
        if problem := _missing_source(scope, source):
            yield Finding(place, problem)
            continue
        type = source_type(scope, source)
        if type is not None and not takes(wanted, type) and not is_collected:
            yield Finding(place, f"The output `{name}` is of the type {wanted}, but {_described(source)} gives {type}.")


# --- artifacts ------------------------------------------------------------------------------------------------------


def artifact(
    scope: Scope, task: TaskSpec, component: ComponentSpec, name: str, given: ArtifactInput, place: Place
) -> Iterator[Finding]:
    """A task's input artifact: its source exists and its type fits."""
    if problem := _missing_artifact(scope, given.source):
        yield Finding(place, problem)
        return
    wanted = component.input_artifacts.get(name)
    found = _artifact_source(scope, given)
    if wanted is None or found is None:
        return
    if not takes_artifact(wanted.type, found.type):
        yield Finding(place, f"The input `{name}` is of the type {wanted.type.title}, but is given {found.type.title}.")
    is_looped_over = task.iterator is not None and name in (task.iterator.items_input, task.iterator.item_input)
    if found.is_list and not wanted.is_list and not is_looped_over:
        yield Finding(place, f"The input `{name}` takes one artifact, but is given a list of them.")


def _missing_artifact(scope: Scope, source: FromInput | FromTask) -> str | None:
    if isinstance(source, FromInput):
        if source.name in scope.component.input_parameters:
            return f"`{source.name}` is an input parameter of {scope.title}, not an artifact."
        if source.name and source.name not in scope.component.input_artifacts:
            hint = suggestion(source.name, scope.component.input_artifacts)
            return f"Nothing gives this: there is no input artifact `{source.name}` in {scope.title}{hint}"
    elif component := scope.component_of(source.producer):
        if source.key in component.output_parameters:
            return f"`{source.key}` is an output parameter of `{source.producer}`, not an artifact."
        if source.key not in component.output_artifacts:
            hint = suggestion(source.key, component.output_artifacts)
            return f"Nothing gives this: the task `{source.producer}` has no output artifact `{source.key}`{hint}"
    return None


def _artifact_source(scope: Scope, given: ArtifactInput) -> ArtifactDefinition | None:
    """What a source gives, seen from here: of a loop, a list."""
    source = given.source
    if isinstance(source, FromInput):
        return scope.component.input_artifacts.get(source.name)
    component = scope.component_of(source.producer)
    found = component.output_artifacts.get(source.key) if component else None
    if found is None or component is None:
        return None
    if scope.dag.tasks[source.producer].iterator:
        return ArtifactDefinition(found.type, is_list=True)
    return ArtifactDefinition(found.type) if component.dag else found  # as for parameters: an inner group's list may be none


def _is_one_artifact(scope: Scope, given: ArtifactInput) -> bool:
    """Whether a source gives no list, by what is declared."""
    source = given.source
    if isinstance(source, FromTask):
        component = scope.component_of(source.producer)
        if scope.dag.tasks[source.producer].iterator:
            return False
        if component is not None and component.dag:
            return source.key in component.output_artifacts and not component.output_artifacts[source.key].is_list
    found = _artifact_source(scope, given)
    return found is not None and not found.is_list


def output_artifact(scope: Scope, name: str, selector: ArtifactSelector, place: Place) -> Iterator[Finding]:
    """A DAG's output artifact: each of its sources exists and has the declared type."""
    wanted = scope.component.output_artifacts[name]
    for source in selector.sources:
        if problem := _missing_artifact(scope, source):
            yield Finding(place, problem)
            continue
        found = _artifact_source(scope, ArtifactInput(source))
        if found is not None and not takes_artifact(wanted.type, found.type):
            yield Finding(place, f"The output `{name}` is of the type {wanted.type.title}, but is given {found.type.title}.")
        elif found is not None and found.is_list and not wanted.is_list:
            yield Finding(place, f"The output `{name}` is one artifact, but is given a list of them.")
