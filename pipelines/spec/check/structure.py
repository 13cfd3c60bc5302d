"""The header, and each component and executor by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipelines.spec.build import EXECUTORS
from pipelines.spec.check.scope import components
from pipelines.spec.model import ComponentSpec, ImporterSpec, ParameterDefinition, ParameterType, PipelineSpec
from pipelines.spec.problems import Finding, Place, suggestion
from pipelines.spec.values import fits, kind_of

SCHEMA_VERSION = "2.1.0"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")


def check(spec: PipelineSpec) -> Iterator[Finding]:
    """Header, components, executors."""
    yield from _header(spec)
    for component, place in components(spec):
        yield from _implementation(spec, component, place)
        yield from _definitions(component, place)
        executor = spec.executors.get(component.executor)
        if isinstance(executor, ImporterSpec):
            yield from _importer(component, place, executor)


def _header(spec: PipelineSpec) -> Iterator[Finding]:
    place: Place = ("pipelineInfo", "name")
    if not spec.name:
        yield Finding(place, "The pipeline has no name (pipelineInfo.name).")
    elif not _NAME.fullmatch(spec.name):
        rule = "lower-case letters, digits and hyphens, at most 128, beginning with a letter or a digit"
        yield Finding(place, f"The pipeline's name `{spec.name[:140]}` cannot be used; names are {rule}.")
    if spec.schema_version != SCHEMA_VERSION:
        given = f"`{spec.schema_version}`" if spec.schema_version else "missing"
        hint = f"is {given}; only {SCHEMA_VERSION} can be read. Compile the pipeline with `kfp` 2."
        yield Finding(("schemaVersion",), f"The schemaVersion {hint}")
    if spec.root.dag is None:
        yield Finding(("root",), "There is no root with a DAG, so there is nothing to run.")


def _implementation(spec: PipelineSpec, component: ComponentSpec, place: Place) -> Iterator[Finding]:
    if component.dag is not None:
        tasks = component.dag.tasks
        if not tasks:
            yield Finding((*place, "dag"), "This DAG has no tasks, so there is nothing to run.")
        elif all(task.waits_for_any_end for task in tasks.values()):
            yield Finding((*place, "dag"), "This DAG has only exit tasks; they need something to wait for.")
    elif place == ("root",):
        return  # said by the header
    elif not component.executor:
        yield Finding(place, f"The component `{component.name}` has neither a DAG nor an executor.")
    elif component.executor not in spec.executors:
        hint = suggestion(component.executor, spec.executors)
        yield Finding((*place, "executorLabel"), f"There is no executor `{component.executor}` in deploymentSpec{hint}")


def _definitions(component: ComponentSpec, place: Place) -> Iterator[Finding]:
    for name, definition in component.input_parameters.items():
        here = (*place, "inputDefinitions", "parameters", name)
        yield from _default(name, definition, here)
    both_ways = [
        ("inputDefinitions", "input", component.input_parameters, component.input_artifacts),
        ("outputDefinitions", "output", component.output_parameters, component.output_artifacts),
    ]
    for section, word, parameters, artifacts in both_ways:
        for name in parameters.keys() & artifacts.keys():
            yield Finding((*place, section), f"The {word} `{name}` is declared as a parameter and as an artifact.")
        if "" in parameters or "" in artifacts:
            yield Finding((*place, section), f"An {word} has an empty name.")


def _default(name: str, definition: ParameterDefinition, place: Place) -> Iterator[Finding]:
    kind = definition.type
    for index, literal in enumerate(definition.literals):
        if not fits(kind, literal):
            yield Finding((*place, "literals", index), f"A literal of `{name}` is {kind_of(literal)}, not of the type {kind}.")
    if not definition.has_default or definition.default is None:
        return
    here = (*place, "defaultValue")
    if kind is not ParameterType.STRING and not fits(kind, definition.default):
        yield Finding(here, f"The default of `{name}` is {kind_of(definition.default)}, not of the type {kind}.")
    elif definition.literals and definition.default not in definition.literals:
        yield Finding(here, f"The default of `{name}` is none of its literals.")


def _importer(component: ComponentSpec, place: Place, executor: ImporterSpec) -> Iterator[Finding]:
    if list(component.output_artifacts) != ["artifact"] or component.output_parameters:
        yield Finding((*place, "outputDefinitions"), "An importer has exactly one output, an artifact called `artifact`.")
    here = (*EXECUTORS, executor.label, "importer", "artifactUri")
    if executor.uri_input and executor.uri_input not in component.input_parameters:
        hint = suggestion(executor.uri_input, component.input_parameters)
        yield Finding(
            here, f"The importer takes its URI from `{executor.uri_input}`, but `{component.name}` has no such input{hint}"
        )
