"""A task's inputs: from the enclosing group, from siblings, from constants; converted, checked, or refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.spec import cel, constants, paths, values
from pipelines.spec.model import (
    ArtifactDefinition,
    ComponentSpec,
    Constant,
    FinalStatus,
    FromInput,
    FromTask,
    ParameterDefinition,
    ParameterInput,
    ParameterSource,
    ParameterType,
    TaskSpec,
)
from runs.engine.draft import Draft
from runs.engine.model import ArtifactValue, Run, Snapshot, State, Task, Values
from runs.engine.places import Place

Json = Any


class Unresolved(ValueError):
    """An input that cannot be had. The message is a sentence that names it."""


class _Absent:
    """Not supplied; unlike null, which was supplied as such."""


ABSENT = _Absent()
_ITEM = "loop-item"  # in the names that the SDK gives to the items of loops


# --- what a group's members can refer to ----------------------------------------------------------------------------


class Scope:
    """The group around a task: its inputs and its members' outputs."""

    def __init__(self, draft: Draft, group: Task) -> None:
        self.draft = draft
        self.group = group
        self._place = draft.places[group.path]

    def parameter(self, name: str) -> Json | _Absent:
        """The group's input parameter, ABSENT where it has none."""
        return self._look(lambda inputs: inputs.parameters, name)

    def artifact(self, name: str) -> list[ArtifactValue] | _Absent:
        """The group's input artifacts of that name, ABSENT where it has none."""
        found: list[ArtifactValue] | _Absent = self._look(lambda inputs: inputs.artifacts, name)
        return found

    def _look(self, of: Callable[[Values], Mapping[str, Json]], name: str) -> Json | _Absent:
        found = of(self.group.inputs or Values())
        if name not in found and self._place.index is not None:
            # The list that a loop goes over is not copied into every iteration.
            found = of(self.draft.get(self._place.parent).inputs or Values())
        return found.get(name, ABSENT)

    def declares_parameter(self, name: str) -> bool:
        """Whether the group's component has such an input."""
        return name in self._place.component.input_parameters

    def declares_artifact(self, name: str) -> bool:
        """Whether the group's component has such an input."""
        return name in self._place.component.input_artifacts

    def sibling(self, key: str) -> Task:
        """A member of the group by its key."""
        return self.draft.get(paths.child(self.group.path, key))


def final_status(task: Task, key: str, resource_name: str) -> dict[str, Json]:
    """KFP's status object of a task that has ended, for exit tasks."""
    state = {State.SUCCEEDED: "COMPLETE", State.FAILED: "FAILED"}.get(task.state, "CANCELED")
    if task.state is State.SUCCEEDED and task.cached_from and not task.kind.is_group:
        state = "CACHED"
    error = {"code": 1, "message": task.reason} if task.state is State.FAILED else {}
    return {"state": state, "pipelineTaskName": key, "pipelineJobResourceName": resource_name, "error": error}


# --- resolving ------------------------------------------------------------------------------------------------------


def resolve(scope: Scope, place: Place) -> Values:
    """The inputs of the task at `place`, as its caller gives them; a nested pipeline's with its defaults.

    Component defaults of executors are not among them: they are added when the order is made, and are not part of the
    fingerprint. Raises Unresolved.
    """
    task = place.task
    assert task is not None, "the root's inputs come from the run"
    scope.draft.prefetch(paths.child(scope.group.path, key) for key in _producers(task))
    parameters = _Parameters(scope, place).resolve()
    artifacts = _artifacts(scope, place)
    _check_required(place, parameters, artifacts)
    if place.kind.is_group:
        parameters = with_defaults(place.component, parameters, leave_out=_loop_inputs(task))
    return Values(parameters, artifacts)


def value_in_scope(snapshot: Snapshot, path: str, given: Mapping[str, Json]) -> Json:
    """The value of an input-parameter spec of the platform document, seen from the group around the task at `path`.

    `given` holds `componentInputParameter`, `taskOutputParameter` or `runtimeValue`, in camelCase. None where there is no
    value. Raises Unresolved for an input that the group does not have, and for a selector that finds nothing.
    """
    draft = Draft(snapshot, datetime.min.replace(tzinfo=UTC))
    above = draft.places[path].parent
    scope = Scope(draft, draft.get(above))
    value: Json = None
    if name := given.get("componentInputParameter"):
        value = scope.parameter(name)
        if value is ABSENT and not scope.declares_parameter(name):
            raise Unresolved(f"A setting refers to the input '{name}', which the pipeline around the step does not have.")
    elif output := given.get("taskOutputParameter"):
        outputs = scope.sibling(output["producerTask"]).outputs
        value = outputs.parameters.get(output["outputParameterKey"]) if outputs else None
    else:
        constant = given.get("runtimeValue", {}).get("constant")
        value = values.expand(constant, constants_of(draft, path), lambda name: None)
    if value is None or value is ABSENT:
        return None
    if selector := given.get("parameterExpressionSelector"):
        try:
            value = cel.select(selector, value)
        except cel.ExpressionError as error:
            raise Unresolved(f"A setting cannot be taken out of {short(value)}: {error}") from None
    return values.normalise(value)


def root_inputs(run: Run, component: ComponentSpec) -> Values:
    """The run's arguments with defaults, and null for optional ones. Raises Unresolved."""
    parameters: dict[str, Json] = {}
    for name, definition in component.input_parameters.items():
        if name in run.arguments and run.arguments[name] is not None:
            parameters[name] = convert(name, definition, run.arguments[name])
        elif not definition.has_default and not definition.optional:
            raise Unresolved(f"The pipeline's input '{name}' is required and was not given.")
    for name, artifact in component.input_artifacts.items():
        if not artifact.optional:
            raise Unresolved(f"The pipeline's input '{name}' is an artifact, and a run cannot be given artifacts.")
    return Values(with_defaults(component, parameters))


def with_defaults(component: ComponentSpec, given: Mapping[str, Json], leave_out: frozenset[str] = frozenset()) -> dict[str, Json]:
    """The parameters of a pipeline or group: what was given, then defaults, then null."""
    parameters = dict(given)
    for name, definition in component.input_parameters.items():
        if name not in parameters and name not in leave_out:
            parameters[name] = values.normalise(definition.default) if definition.has_default else None
    return parameters


def convert(name: str, definition: ParameterDefinition, value: Json) -> Json:
    """A value as its declared type wants it: STRING takes the text of anything. Raises Unresolved."""
    if definition.type is ParameterType.STRING:
        value = values.to_text(value)
    elif not values.fits(definition.type, value):
        raise Unresolved(f"The input '{name}' wants {definition.type}, but got {values.kind_of(value)}: {short(value)}.")
    value = values.normalise(value)
    if definition.literals and value not in [values.normalise(literal) for literal in definition.literals]:
        allowed = ", ".join(short(literal) for literal in definition.literals)
        raise Unresolved(f"The input '{name}' is {short(value)}, which is none of {allowed}.")
    return value


def short(value: Json, limit: int = 80) -> str:
    """A value as JSON, cut to a length fit for a sentence."""
    text = values.to_json_text(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def constants_of(draft: Draft, path: str) -> dict[str, str]:
    """The placeholders that the run and the task give: whole placeholder → text."""
    run = draft.run
    return constants.run_constants(
        run_id=run.id,
        run_name=run.name,
        resource_name=run.resource_name,
        pipeline_root=run.pipeline_root,
        task_key=paths.key(path),
        task_uuid=constants.task_uuid(run.id, path),
        created_at=run.created_at,
        scheduled_at=run.scheduled_at,
    )


def _loop_inputs(task: TaskSpec) -> frozenset[str]:
    """Inputs that a loop gives its iterations itself."""
    return frozenset({task.iterator.item_input, task.iterator.items_input}) if task.iterator else frozenset()


def _producers(task: TaskSpec) -> set[str]:
    sources = [given.source for given in task.parameters.values()] + [given.source for given in task.artifacts.values()]
    return {source.producer for source in sources if isinstance(source, FromTask | FinalStatus)}


def _check_required(place: Place, parameters: Mapping[str, Json], artifacts: Mapping[str, Json]) -> None:
    assert place.task is not None
    skip = _loop_inputs(place.task) | place.task.parameters.keys() | place.task.artifacts.keys()
    for name, definition in place.component.input_parameters.items():
        if name in skip or name in parameters or definition.optional or definition.has_default:
            continue
        if definition.type is not ParameterType.TASK_CONFIG:  # made with the order, not given
            raise Unresolved(f"The input '{name}' is required and was not given.")
    for name, artifact in place.component.input_artifacts.items():
        if name not in skip and name not in artifacts and not artifact.optional:
            raise Unresolved(f"The input artifact '{name}' is required and was not given.")


class _Parameters:
    """The parameters of one task, those that constants mention before the constants."""

    def __init__(self, scope: Scope, place: Place) -> None:
        assert place.task is not None
        self.scope = scope
        self.place = place
        self.task = place.task
        self.found: dict[str, Json] = {}
        self._constants: dict[str, str] | None = None

    def resolve(self) -> dict[str, Json]:
        given = self.task.parameters
        mentioning = {
            name for name, one in given.items() if isinstance(one.source, Constant) and values.has_placeholders(one.source.value)
        }
        for name in [*(name for name in given if name not in mentioning), *(name for name in given if name in mentioning)]:
            value = self._value(name, given[name])
            if value is not ABSENT:
                self.found[name] = value
        return {name: self.found[name] for name in given if name in self.found}

    def _value(self, name: str, given: ParameterInput) -> Json | _Absent:
        definition = self.place.component.input_parameters.get(name)
        value = values.normalise(self._from(given.source, name, definition))
        if value is ABSENT:
            return ABSENT
        if value is None:
            return self._null(name, given.source, definition)
        if given.selector:
            try:
                value = cel.select(given.selector, value)
            except cel.ExpressionError as error:
                raise Unresolved(f"The input '{name}' cannot be taken out of {short(value)}: {error}") from None
        if definition is None:
            return value
        try:
            return convert(name, definition, value)
        except Unresolved as error:
            raise Unresolved(f"{error}{_about_items(given.source, value)}") from None

    def _from(self, source: ParameterSource, name: str, definition: ParameterDefinition | None) -> Json | _Absent:
        match source:
            case Constant(value):
                return self._expanded(value)
            case FromInput(of):
                value = self.scope.parameter(of)
                if value is not ABSENT:
                    return value
                if self.scope.declares_parameter(of):
                    return None
                raise Unresolved(f"The input '{name}' refers to '{of}', which the pipeline around it does not have.")
            case FromTask(producer, key):
                outputs = self.scope.sibling(producer).outputs
                return outputs.parameters.get(key) if outputs else None
            case FinalStatus(producer):
                return final_status(self.scope.sibling(producer), producer, self.scope.draft.run.resource_name)

    def _null(self, name: str, source: ParameterSource, definition: ParameterDefinition | None) -> Json | _Absent:
        """What null becomes: a group hands it on, an executor counts it as not supplied."""
        produced = isinstance(source, FromTask)
        if definition is None:
            return None
        if self.place.kind.is_group and not produced:
            return None
        if definition.has_default:
            return values.normalise(definition.default) if self.place.kind.is_group else ABSENT
        if definition.optional:
            return None if self.place.kind.is_group else ABSENT
        if definition.type is ParameterType.STRING and produced:
            return ""
        raise Unresolved(self._why_null(name, source))

    def _why_null(self, name: str, source: ParameterSource) -> str:
        match source:
            case FromTask(producer, key):
                how = {State.SUCCEEDED: "did not produce", State.FAILED: "failed and did not produce"}
                verb = how.get(self.scope.sibling(producer).state, "did not run and did not produce")
                return f"The input '{name}' needs the output '{key}' of '{producer}', which {producer} {verb}."
            case FromInput(of):
                return f"The input '{name}' is required, but '{of}', which it comes from, was not given."
            case _:
                return f"The input '{name}' is required, but it is null."

    def _expanded(self, value: Json) -> Json:
        if not values.has_placeholders(value):
            return value
        if self._constants is None:
            self._constants = constants_of(self.scope.draft, self.place.path)
        return values.expand(value, self._constants, self._text_of)

    def _text_of(self, name: str) -> str | None:
        """The text of another input of this task for an f-string; None where it has no such input."""
        if name in self.found:
            return values.to_text(self.found[name])
        if name not in self.task.parameters:
            return None
        definition = self.place.component.input_parameters.get(name)
        return values.to_text(definition.default) if definition and definition.has_default else ""


def _about_items(source: ParameterSource, value: Json) -> str:
    """What to do about the item of a loop that came as text: the SDK declares it so where the list has no type for its items."""
    if isinstance(source, FromInput) and _ITEM in source.name and isinstance(value, str):
        return " Items of a list that does not say what they are come as text: declare it with their type, such as List[int]."
    return ""


def _artifacts(scope: Scope, place: Place) -> dict[str, list[ArtifactValue]]:
    assert place.task is not None
    found: dict[str, list[ArtifactValue]] = {}
    for name, given in place.task.artifacts.items():
        definition = place.component.input_artifacts.get(name)
        value: list[ArtifactValue] | _Absent
        match given.source:
            case FromInput(of):
                value = scope.artifact(of)
                if isinstance(value, _Absent) and not scope.declares_artifact(of):
                    raise Unresolved(f"The input artifact '{name}' refers to '{of}', which the pipeline around it does not have.")
                missing = f"The input artifact '{name}' is required, but '{of}', which it comes from, was not given."
            case FromTask(producer, key):
                outputs = scope.sibling(producer).outputs
                value = outputs.artifacts.get(key, ABSENT) if outputs else ABSENT
                missing = f"The input artifact '{name}' needs the output '{key}' of '{producer}', which it did not produce."
        if not isinstance(value, _Absent):
            found[name] = list(value)
        elif not _may_miss(place, definition):
            raise Unresolved(missing)
    return found


def _may_miss(place: Place, definition: ArtifactDefinition | None) -> bool:
    """Whether the task can do without an artifact; a group only hands it on, so its members decide."""
    return place.kind.is_group or definition is None or definition.optional
