"""What a group gives outwards when it has succeeded: a DAG by its selectors, a loop as lists over its iterations."""

from __future__ import annotations

from typing import Any

from pipelines.spec import paths
from pipelines.spec.model import ComponentSpec, FromTask
from runs.engine.draft import Draft
from runs.engine.model import ArtifactValue, State, Task, Values

Json = Any


def dag_outputs(draft: Draft, group: Task, component: ComponentSpec) -> Values:
    """The outputs of a DAG, each from the first of its sources that succeeded; without one it is left out."""
    if component.dag is None:
        return Values()
    dag = component.dag
    sources = [source for selector in dag.output_parameters.values() for source in selector.sources]
    sources += [source for selector in dag.output_artifacts.values() for source in selector.sources]
    draft.prefetch(paths.child(group.path, source.producer) for source in sources)
    parameters: dict[str, Json] = {}
    for name, selector in dag.output_parameters.items():
        for producer, key in _succeeded(draft, group, selector.sources):
            outputs = producer.outputs or Values()
            if key in outputs.parameters:
                parameters[name] = outputs.parameters[key]
                break
            if not producer.kind.is_group:  # a group without it skipped what makes it; a step ran and gave nothing
                parameters[name] = None
                break
    artifacts: dict[str, list[ArtifactValue]] = {}
    for name, chosen in dag.output_artifacts.items():
        for producer, key in _succeeded(draft, group, chosen.sources):
            if producer.outputs and key in producer.outputs.artifacts:
                artifacts[name] = list(producer.outputs.artifacts[key])
                break
    return Values(parameters, artifacts)


def _succeeded(draft: Draft, group: Task, sources: tuple[FromTask, ...]) -> list[tuple[Task, str]]:
    found = ((draft.find(paths.child(group.path, source.producer)), source.key) for source in sources)
    return [(task, key) for task, key in found if task is not None and task.state is State.SUCCEEDED]


def loop_outputs(draft: Draft, loop: Task, component: ComponentSpec) -> Values:
    """Every output as a list in the iterations' order: parameters nest, artifacts are one flat list.

    Iterations whose producer was skipped are left out; what ran and gave no parameter contributes null.
    """
    parameter_names = component.dag.output_parameters if component.dag else component.output_parameters
    artifact_names = component.dag.output_artifacts if component.dag else component.output_artifacts
    if not parameter_names and not artifact_names:
        return Values()
    parameters: dict[str, list[Json]] = {name: [] for name in parameter_names}
    artifacts: dict[str, list[ArtifactValue]] = {name: [] for name in artifact_names}
    for iteration in draft.children(loop, [paths.iteration(loop.path, index) for index in range(loop.children)]):
        outputs = iteration.outputs or Values()
        for name, collected in parameters.items():
            if name in outputs.parameters:
                collected.append(outputs.parameters[name])
            elif not iteration.kind.is_group:
                collected.append(None)
        for name, flat in artifacts.items():
            flat.extend(outputs.artifacts.get(name, []))
    return Values(parameters, artifacts)
