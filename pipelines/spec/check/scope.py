"""Where a check stands: a component with its place, and what can be seen from there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.spec.model import ROOT, ComponentSpec, DagSpec, PipelineSpec, TaskSpec
from pipelines.spec.problems import Place, suggestion


@dataclass(frozen=True)
class Scope:
    """A component that is a DAG, seen from inside."""

    spec: PipelineSpec
    component: ComponentSpec
    dag: DagSpec
    place: Place  # of the component
    homes: dict[str, list[str]]  # task key → names of the components whose DAGs have such a task

    def task_place(self, key: str) -> Place:
        """The place of one of the DAG's tasks."""
        return (*self.place, "dag", "tasks", key)

    def component_of(self, key: str) -> ComponentSpec | None:
        """The component of one of the DAG's tasks; None where the task or its component is missing."""
        task = self.dag.tasks.get(key)
        return self.spec.components.get(task.component) if task else None

    @property
    def title(self) -> str:
        """The DAG as a sentence names it."""
        return "the pipeline" if self.component.name == ROOT else f"`{self.component.name}`"

    def missing_task(self, key: str) -> str:
        """Why a task cannot be referred to from here, as a sentence."""
        homes = [name for name in self.homes.get(key, ()) if name != self.component.name]
        if homes:
            where = "the pipeline itself" if homes[0] == ROOT else f"`{homes[0]}`"
            return f"The task `{key}` is in another DAG, {where}; only tasks of {self.title} can be referred to here."
        return f"There is no task `{key}` in {self.title}{suggestion(key, self.dag.tasks)}"


def components(spec: PipelineSpec) -> Iterator[tuple[ComponentSpec, Place]]:
    """The root and all components, with their places."""
    yield spec.root, (ROOT,)
    for name, component in spec.components.items():
        yield component, ("components", name)


def scopes(spec: PipelineSpec) -> list[Scope]:
    """All DAGs of a pipeline."""
    homes: dict[str, list[str]] = {}
    for task, component in tasks(spec):
        homes.setdefault(task.key, []).append(component.name)
    return [
        Scope(spec, component, component.dag, place, homes) for component, place in components(spec) if component.dag is not None
    ]


def tasks(spec: PipelineSpec) -> Iterator[tuple[TaskSpec, ComponentSpec]]:
    """All tasks, each with the component whose DAG it is in."""
    for component, _ in components(spec):
        if component.dag is not None:
            for task in component.dag.tasks.values():
                yield task, component
