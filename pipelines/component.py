"""What a page says about one step of a pipeline: image, command, source, where its inputs come from, what it asks of a cluster."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kfdash.words import counted, duration
from pipelines.drawing import expression_text, type_word
from pipelines.drawing.words import title
from pipelines.ordering import ordered
from pipelines.spec import paths
from pipelines.spec.model import (
    ROOT,
    ArtifactDefinition,
    ArtifactInput,
    ComponentSpec,
    Constant,
    ContainerSpec,
    FinalStatus,
    FromInput,
    FromTask,
    ImporterSpec,
    ParameterDefinition,
    ParameterInput,
    ParameterType,
    PipelineSpec,
    ResourceSpec,
    TaskSpec,
)

_TYPE_WORDS = {
    ParameterType.NUMBER_INTEGER: "integer",
    ParameterType.NUMBER_DOUBLE: "number",
    ParameterType.STRING: "string",
    ParameterType.BOOLEAN: "boolean",
    ParameterType.LIST: "list",
    ParameterType.STRUCT: "struct",
    ParameterType.TASK_FINAL_STATUS: "final status",
    ParameterType.TASK_CONFIG: "task configuration",
}
# The lines that the compiler puts before a component's own source.
_ADDED = re.compile(r"\A\s*import kfp\s*\nfrom kfp import dsl\s*\nfrom kfp\.dsl import \*\s*\nfrom typing import \*\s*\n+")
_PROGRAM = re.compile(r"executor_main|_parser = |def \w+\(")
_ALWAYS_INSTALLED = "typing-extensions>=3.7.4,<5"  # by the compiler, for Python 3.8
_LONGEST_VALUE = 120


@dataclass(frozen=True)
class Port:
    """An input or output: its type as people say it, and for an input where the value comes from."""

    name: str
    type: str
    icon: str
    source: str = ""
    description: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Component:
    """A step of a pipeline, as its panel shows it."""

    path: str
    name: str
    word: str  # python, container, importer, loop, condition, pipeline, exit
    image: str = ""
    command: tuple[str, ...] = ()
    source: str = ""
    packages: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    platform: str = ""
    executor: str = ""


def describe(spec: PipelineSpec, path: str) -> Component | None:
    """The step at a template path; None where there is none."""
    if path.partition("/")[0] != ROOT:
        return None
    try:
        task, component = spec.at(path)
    except (KeyError, AssertionError):
        return None
    executor = spec.executor_of(component)
    container = executor if isinstance(executor, ContainerSpec) else None
    command = (*container.command, *container.args) if container else ()
    source = python_source(command)
    names = _names(spec, path)
    platform = spec.platform.executors.get(component.executor) if component.executor else None
    return Component(
        path=path,
        name=(task.name or task.key) if task else (spec.display_name or spec.name),
        word=type_word(spec, task, component),
        image=container.image if container else "",
        command=() if source else command,
        source=source,
        packages=packages(command) if source else (),
        facts=tuple(_facts(spec, path, task, component, names)),
        environment=container.env if container else (),
        inputs=tuple(_inputs(task, component, names)),
        outputs=tuple(_outputs(component)),
        platform=json.dumps(platform, indent=2, ensure_ascii=False) if platform else "",
        executor=component.executor,
    )


def first_step(spec: PipelineSpec) -> str:
    """The template path of the first step of the top level; the root's where there is none."""
    dag = spec.root.dag
    return paths.child(ROOT, ordered(dag)[0]) if dag and dag.tasks else ROOT


def python_source(command: tuple[str, ...]) -> str:
    """The source of a component written in Python, without what the compiler added; empty for any other command."""
    if not any("executor_main" in word for word in command):
        return ""
    found = next((word for word in command if "\n" in word and re.search(r"^\s*(async )?def \w+\(", word, re.M)), "")
    return _ADDED.sub("", found).strip("\n")


def packages(command: tuple[str, ...]) -> tuple[str, ...]:
    """What a Python component installs before it begins, `kfp` itself left out."""
    found: list[str] = []
    for word in command:
        for line in re.findall(r"pip install([^\n]*)", word):
            try:
                parts = shlex.split(line.split("&&")[0])
            except ValueError:
                continue
            found += [part for part in parts if re.match(r"[A-Za-z]", part) and not re.match(r"kfp\b", part) and part not in found]
    return tuple(part for part in found if part not in ("python3", "sh") and not part.startswith(_ALWAYS_INSTALLED))


def type_name(definition: ParameterDefinition | ArtifactDefinition) -> str:
    """`integer`, `list`, `Dataset`, `list of Model`."""
    if isinstance(definition, ParameterDefinition):
        return _TYPE_WORDS[definition.type]
    title = definition.type.title.rpartition(".")[2] or "Artifact"
    return f"list of {title}" if definition.is_list else title


# --- inside ---------------------------------------------------------------------------------------------------------


def _names(spec: PipelineSpec, path: str) -> dict[str, str]:
    """What the steps beside the one at `path` are called, by their keys."""
    above = spec.at(paths.parent(path))[1].dag if paths.parent(path) else None
    return {key: title(spec, task) for key, task in above.tasks.items()} if above else {}


def _facts(
    spec: PipelineSpec, path: str, task: TaskSpec | None, component: ComponentSpec, names: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    executor = spec.executor_of(component)
    if isinstance(executor, ContainerSpec):
        if limits := _limits(executor.resources):
            yield "Limits", limits
    elif isinstance(executor, ImporterSpec):
        yield "Imports", executor.uri or f"the address in {executor.uri_input}"
    if component.dag is not None:
        yield "Holds", counted(len(component.dag.tasks), "step")
    if task is None:
        return
    _, above = spec.at(paths.parent(path))
    if above.dag is not None and (expression := expression_text(spec, paths.parent(path), above.dag, task)):
        yield "Runs", expression
    if task.waits_for_any_end:
        yield "Runs", "however the steps before it end"
    if task.iterator is not None:
        yield "Repeats", _repeats(task)
    if task.dependencies:
        yield "After", ", ".join(names.get(key, key) for key in task.dependencies)
    if task.retry and task.retry.max_retries:
        growing = ", doubling" if task.retry.factor == 2 and task.retry.delay else ""
        yield "Retries", f"{task.retry.max_retries}, after {duration(task.retry.delay)}{growing}"
    if component.dag is None:
        yield "Cache", "on" + (f", key {task.caching.key}" if task.caching.key else "") if task.caching.enabled else "off"


def _repeats(task: TaskSpec) -> str:
    iterator = task.iterator
    assert iterator is not None
    times = counted(len(iterator.raw), "item") if iterator.raw is not None else f"each item of {_plain(iterator.items_input)}"
    return f"{times}, at most {task.parallelism} at once" if task.parallelism else times


def _limits(resources: ResourceSpec) -> str:
    said = []
    if resources.cpu_limit:
        said.append(f"{resources.cpu_limit} CPU")
    if resources.memory_limit:
        said.append(f"{resources.memory_limit} memory")
    if resources.accelerator_count or resources.accelerator_type:
        said.append(f"{resources.accelerator_count or 1} × {resources.accelerator_type or 'accelerator'}")
    return ", ".join(said)


def _inputs(task: TaskSpec | None, component: ComponentSpec, names: Mapping[str, str]) -> Iterator[Port]:
    for name, definition in component.input_parameters.items():
        given = task.parameters.get(name) if task else None
        source = _source(given, names) if given else _default(definition)
        yield Port(_plain(name), type_name(definition), "tag", source, definition.description, definition.optional)
    for name, artifact in component.input_artifacts.items():
        taken = task.artifacts.get(name) if task else None
        yield Port(_plain(name), type_name(artifact), _icon(artifact), _source(taken, names) if taken else "", artifact.description)


def _outputs(component: ComponentSpec) -> Iterator[Port]:
    for name, definition in component.output_parameters.items():
        yield Port(_plain(name), type_name(definition), "tag", description=definition.description)
    for name, artifact in component.output_artifacts.items():
        yield Port(_plain(name), type_name(artifact), _icon(artifact), description=artifact.description)


def _icon(definition: ArtifactDefinition) -> str:
    title = definition.type.title
    for part, icon in (("Dataset", "data"), ("Model", "model"), ("Metrics", "metric"), ("HTML", "doc"), ("Markdown", "doc")):
        if part in title:
            return icon
    return "file"


def _default(definition: ParameterDefinition) -> str:
    return f"default {_short(definition.default)}" if definition.has_default else ""


def _source(given: ParameterInput | ArtifactInput, names: Mapping[str, str]) -> str:
    match given.source:
        case Constant(value):
            return _short(value)
        case FromInput(name):
            return f"from {_plain(name)}"
        case FromTask(producer, key):
            return f"from {names.get(producer, producer)}" + ("" if key == "Output" else f", {_plain(key)}")
        case FinalStatus(producer):
            return f"how {names.get(producer, producer)} ended"


def _plain(name: str) -> str:
    return name.removeprefix("pipelinechannel--")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
