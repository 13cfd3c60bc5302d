"""Running again from chosen steps: which steps of an earlier run stand for those of this one, and why others do not.

A step is taken over when it is neither chosen nor depends on anything that runs again, had succeeded before this run was
launched, is the same step, and has the same inputs. A value that differs only because each run has its own id and names counts
as the same. Groups begin and end by what is in them, and are marked as taken over when all that is in them was.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.spec import paths, values
from pipelines.spec.model import Constant, ContainerSpec, FinalStatus, FromInput, PipelineSpec
from runs.engine.model import Again, ArtifactValue, Kind, State, Task, Values
from runs.engine.places import Place, Places

if TYPE_CHECKING:
    from runs.engine.draft import Draft

Json = Any

_ABSENT = object()
_HOW_IT_ENDED = {
    State.FAILED: "It failed in the earlier run.",
    State.CANCELED: "It was stopped in the earlier run.",
    State.SKIPPED: "It was skipped in the earlier run.",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The earlier task that stands for one of this run, or the sentence that says why there is none."""

    task: Task | None
    why: str = ""


class Earlier:
    """An earlier run, seen from a run that takes over from it."""

    def __init__(self, again: Again) -> None:
        self.again = again
        self.places = Places(again.spec)
        self._touched = again.paths.union(above for path in again.paths for above in paths.ancestors(path))
        self._causes = again.memory
        self._anew: dict[str, str] = {}

    def prefetch(self, wanted: list[str]) -> None:
        """Says that these paths will be asked for."""
        self.again.tasks.prefetch(wanted)

    # --- what is to be done again ---

    def cause(self, now: Places, path: str) -> str:
        """The path that makes the one at `path` be done again: a chosen one, or one that it depends on. Empty for none."""
        if self._is_in(self.again.paths, path):
            return path
        above = paths.parent(path)
        if not above:
            return ""
        if found := self.cause(now, above):
            return found
        if paths.index(path) is not None:
            return ""
        if above not in self._causes:
            self._causes[above] = self._causes_in(now, above)
        return self._causes[above].get(path, "")

    @staticmethod
    def _is_in(chosen: Collection[str], path: str) -> bool:
        """Whether a path is among those; one without indices stands for the step in every iteration."""
        return path in chosen or ("[" in path and paths.template(path) in chosen)

    def _causes_in(self, now: Places, group: str) -> dict[str, str]:
        """Member → the member that makes it be done again, for all that follow one that is chosen or holds a chosen one."""
        dag = now[group].component.dag
        if dag is None:
            return {}
        begun = [key for key in dag.tasks if self._is_in(self._touched, paths.child(group, key))]
        found: dict[str, str] = {}
        while begun:
            key = begun.pop()
            for dependant in dag.dependants[key]:
                if (path := paths.child(group, dependant)) not in found:
                    found[path] = paths.child(group, key)
                    begun.append(dependant)
        return found

    def why_again(self, now: Places, path: str) -> str:
        """The sentence for what is done again because of a choice; empty where no choice asks for it."""
        cause = self.cause(now, path)
        if not cause:
            return ""
        if cause == path:
            return "Chosen to run again."
        if path.startswith((f"{cause}/", f"{cause}[")):
            return f"It is in {paths.key(cause)}, which runs again."
        return depends(cause)

    # --- one step ---

    def is_taken_over(self, task: Task) -> bool:
        """Whether a final task ended as in the earlier run, with nothing done for it."""
        if task.state is State.SKIPPED:
            old = self.again.tasks.get(task.path)
            return old is not None and old.state is State.SKIPPED
        return task.cached_from.startswith(f"{self.again.run_id}:")

    def anew_before(self, draft: Draft, path: str) -> str:
        """The first task that this one depends on, itself or by its groups, and that was not taken over. Empty for none."""
        place = draft.places[path]
        if not place.parent:
            return ""
        if place.parent not in self._anew:
            self._anew[place.parent] = self.anew_before(draft, place.parent)
        if self._anew[place.parent] or place.index is not None or place.task is None:
            return self._anew[place.parent]
        wanted = [paths.child(place.parent, key) for key in place.task.dependencies]
        draft.prefetch(wanted)
        return next((one for one in wanted if not self.is_taken_over(draft.get(one))), "")

    def judge(self, draft: Draft, task: Task) -> Verdict:
        """Whether the earlier run's task at the same path stands for this one, whose inputs are there."""
        if why := self.why_again(draft.places, task.path):
            return Verdict(None, why)
        if task.kind in (Kind.CREATE_CLAIM, Kind.DELETE_CLAIM):
            return Verdict(None, "Volume claims are made anew for each run.")
        if self.again.bound(draft.places[task.path].component, task.inputs or Values()):
            return Verdict(None, "It works in the run's workspace, which is made anew for each run.")
        if anew := self.anew_before(draft, task.path):
            return Verdict(None, depends(anew))
        old = self.again.tasks.get(task.path)
        if old is None or old.kind is not task.kind:
            return Verdict(None, "The earlier run has no such step, or its outputs are gone.")
        if old.state is not State.SUCCEEDED or old.inputs is None:
            return Verdict(None, _HOW_IT_ENDED.get(old.state, "It had not ended in the earlier run."))
        launched = draft.run.created_at
        if launched and old.finished_at and old.finished_at > launched:
            return Verdict(None, "It ended in the earlier run only after this one was launched.")
        place = draft.places[task.path]
        why = _step_differs(draft.spec, place, self.again.spec, self.places[task.path]) or self._inputs_differ(draft, task, old)
        return Verdict(None, why) if why else Verdict(old)

    def _inputs_differ(self, draft: Draft, task: Task, old: Task) -> str:
        new_inputs, old_inputs = task.inputs or Values(), old.inputs or Values()
        for name in dict.fromkeys([*new_inputs.parameters, *old_inputs.parameters]):
            if not self._same(draft, task.path, name):
                was, is_now = old_inputs.parameters.get(name, _ABSENT), new_inputs.parameters.get(name, _ABSENT)
                return f"Its input '{name}' differs: {_told(was)} → {_told(is_now)}."
        for name in dict.fromkeys([*new_inputs.artifacts, *old_inputs.artifacts]):
            if _identities(new_inputs.artifacts.get(name, [])) != _identities(old_inputs.artifacts.get(name, [])):
                return f"Its input artifact '{name}' is another one."
        return ""

    def _same(self, draft: Draft, path: str, name: str) -> bool:
        """Whether an input parameter is the same as in the earlier run, by value or by where it comes from."""
        new, old = _input(draft.find, path, name), _input(self.again.tasks.get, path, name)
        if new is _ABSENT or old is _ABSENT:
            return new is old
        if values.to_json_text(new) == values.to_json_text(old):
            return True
        try:
            place, before = draft.places[path], self.places[path]
        except KeyError:
            return False
        if place.task is None or before.task is None:
            return name in self.again.same_arguments
        return self._same_source(draft, place, before, name, new, old)

    def _same_source(self, draft: Draft, place: Place, before: Place, name: str, new: Json, old: Json) -> bool:
        assert place.task is not None and before.task is not None
        if place.index is not None:
            iterator = place.task.iterator
            if iterator != before.task.iterator or place.index != before.index or iterator is None:
                return False
            if name != iterator.item_input:
                return self._same(draft, place.parent, name)
            return iterator.raw is not None or self._same(draft, place.parent, iterator.items_input)
        given = place.task.parameters.get(name)
        if given is None or given != before.task.parameters.get(name):
            return False
        match given.source:
            case FromInput(of):
                return self._same(draft, place.parent, of)
            case Constant(value):
                text = values.to_json_text(value)
                others = (other for other in place.task.parameters if other != name and f"'{other}'" in text)
                return all(self._same(draft, place.path, other) for other in others)
            case FinalStatus():
                return bool(_status(new) == _status(old))
        return False  # what another step gave: a step that was taken over gave the same value


def depends(path: str) -> str:
    """The sentence for a step that runs again because the one at `path` does."""
    return f"Depends on {paths.key(path)}, which runs again."


def take_over(draft: Draft, task: Task) -> bool:
    """Ends a step whose inputs are there as it ended in the earlier run, where that stands for it; else says why not."""
    earlier = draft.earlier
    if earlier is None or task.attempt:
        return False
    verdict = earlier.judge(draft, task)
    old = verdict.task
    if old is None:
        draft.tell("task.again", task.path, reason=verdict.why)
        return False
    task = draft.change(task, fingerprint=old.fingerprint)
    draft.succeed(task, old.outputs or Values(), started_at=draft.now, cached_from=f"{earlier.again.run_id}:{task.path}")
    return True


def came_from(draft: Draft, group: Task, members: list[str]) -> str:
    """`<run id>:<path>` of the earlier group where all members of this one, at these paths, were taken over; else empty."""
    earlier = draft.earlier
    if earlier is None or earlier.cause(draft.places, group.path) or earlier.anew_before(draft, group.path):
        return ""
    old = earlier.again.tasks.get(group.path)
    if old is None or old.state is not State.SUCCEEDED or old.children != len(members):
        return ""
    whole = all(earlier.is_taken_over(member) for member in draft.children(group, members))
    return f"{earlier.again.run_id}:{group.path}" if whole else ""


# --- comparing ------------------------------------------------------------------------------------------------------


def _step_differs(spec: PipelineSpec, place: Place, old_spec: PipelineSpec, before: Place) -> str:
    """The sentence that says in what a step differs from that of another version; empty where it does not."""
    if spec is old_spec:
        return ""
    new, old = place.component, before.component
    executor, old_executor = spec.executor_of(new), old_spec.executor_of(old)
    if isinstance(executor, ContainerSpec) and isinstance(old_executor, ContainerSpec):
        if executor.image != old_executor.image:
            return f"Its image changed: {old_executor.image} → {executor.image}."
        if (executor.command, executor.args) != (old_executor.command, old_executor.args):
            return "Its code or command changed."
        if dict(executor.env) != dict(old_executor.env):
            return "Its environment variables changed."
    elif executor is None or old_executor is None or replace(executor, label="") != replace(old_executor, label=""):
        return "It is another kind of step now."
    if (new.output_parameters, new.output_artifacts) != (old.output_parameters, old.output_artifacts):
        return "Its outputs changed."
    if new.input_parameters != old.input_parameters or new.input_artifacts != old.input_artifacts:
        return "Its declared inputs changed."
    settings, old_settings = spec.platform.executors.get(new.executor), old_spec.platform.executors.get(old.executor)
    return "" if (settings or {}) == (old_settings or {}) else "Its settings for the cluster changed."


def _input(find: Any, path: str, name: str) -> Json:
    """An input parameter of a task; an iteration has those of its loop too."""
    task = find(path)
    inputs = task.inputs if task is not None else None
    if inputs is not None and name in inputs.parameters:
        return inputs.parameters[name]
    return _input(find, paths.parent(path), name) if paths.index(path) is not None else _ABSENT


def _identities(artifacts: list[ArtifactValue]) -> list[int | str]:
    return [artifact["id"] or artifact["uri"] for artifact in artifacts]


def _status(status: Json) -> Json:
    """A final status without what each run has of its own."""
    if not isinstance(status, dict):
        return status
    state = {"CACHED": "COMPLETE"}.get(status.get("state", ""), status.get("state"))
    return {**status, "state": state, "pipelineJobResourceName": ""}


def _told(value: Json, limit: int = 60) -> str:
    if value is _ABSENT:
        return "nothing"
    text = values.to_json_text(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
