"""What stands at a path: the task's and the component's specification, and what holds there by inheritance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.spec import paths
from pipelines.spec.model import ROOT, ComponentSpec, ContainerSpec, ImporterSpec, PipelineSpec, RetryPolicy, TaskSpec
from runs.engine.model import Kind

_CLAIM_IMAGES: Mapping[str, Kind] = {"argostub/createpvc": Kind.CREATE_CLAIM, "argostub/deletepvc": Kind.DELETE_CLAIM}


@dataclass(frozen=True, slots=True)
class Place:
    """A path seen from the specification. The root has no task; `index` is the iteration's, None elsewhere."""

    path: str
    parent: str
    kind: Kind
    component: ComponentSpec
    task: TaskSpec | None
    index: int | None
    retry: RetryPolicy | None  # the task's own, else that of the nearest group above
    in_exit: bool  # whether it, or a group above, runs however its dependencies ended

    @property
    def key(self) -> str:
        """The task's key; the root's is `root`."""
        return self.task.key if self.task else ROOT


class Places:
    """Places by path, worked out when asked for."""

    def __init__(self, spec: PipelineSpec) -> None:
        self._spec = spec
        self._known: dict[str, Place] = {}

    def __getitem__(self, path: str) -> Place:
        """The place at a path. Raises KeyError where the specification has no such task."""
        place = self._known.get(path)
        if place is None:
            place = self._known[path] = self._find(path)
        return place

    def _find(self, path: str) -> Place:
        above = paths.parent(path)
        if not above:
            if path != ROOT:
                raise KeyError(path)
            return Place(path, "", self._kind(self._spec.root), self._spec.root, None, None, None, False)
        parent = self[above]
        index = paths.index(path)
        if index is not None:
            kind = self._kind(parent.component)
            return Place(path, above, kind, parent.component, parent.task, index, parent.retry, parent.in_exit)
        dag = parent.component.dag
        if dag is None:
            raise KeyError(path)
        task = dag.tasks[paths.key(path)]
        component = self._spec.components[task.component]
        kind = Kind.LOOP if task.iterator else self._kind(component)
        in_exit = parent.in_exit or task.waits_for_any_end
        return Place(path, above, kind, component, task, None, task.retry or parent.retry, in_exit)

    def _kind(self, component: ComponentSpec) -> Kind:
        """The kind of a task or iteration of this component."""
        executor = self._spec.executor_of(component)
        if isinstance(executor, ImporterSpec):
            return Kind.IMPORTER
        if isinstance(executor, ContainerSpec):
            return _CLAIM_IMAGES.get(executor.image.partition(":")[0], Kind.CONTAINER)
        return Kind.DAG
