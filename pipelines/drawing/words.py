"""How a specification's things are called on pages: kinds of steps, and expressions a person can read."""

from __future__ import annotations

import re

from pipelines.spec import paths
from pipelines.spec.model import ROOT, ComponentSpec, DagSpec, FromInput, FromTask, ImporterSpec, PipelineSpec, TaskSpec

_MADE_UP = re.compile(r"^(for-loop|condition)-\d+$")
_FRAME = re.compile(r"^(exit-handler|condition-branches)-\d+$")
_EXIT_HANDLER = re.compile(r"^exit-handler-\d+$")
_BRANCHES = re.compile(r"^condition-branches-\d+$")
_INPUT = re.compile(r"inputs\.parameter_values\[\s*(?P<quote>['\"])(?P<name>.*?)(?P=quote)\s*\]")
_CAST = re.compile(r"\b(?:int|double|string|bool)\(([\w.-]+)\)")
_SIGNS = {"==": "=", "!=": "≠", ">=": "≥", "<=": "≤", "&&": "and", "||": "or"}
_QUOTED_OR_SIGN = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|==|!=|>=|<=|&&|\|\|")


def is_frame(task: TaskSpec, component: ComponentSpec) -> bool:
    """Whether a task is a wrapper that the compiler made and nobody wrote: an exit handler's body, the branches of an if."""
    return component.dag is not None and task.iterator is None and bool(_FRAME.match(task.key))


def is_exit_task(task: TaskSpec) -> bool:
    """Whether a task is the exit task of an exit handler."""
    return task.waits_for_any_end and bool(task.dependencies) and all(_EXIT_HANDLER.match(key) for key in task.dependencies)


def title(spec: PipelineSpec, task: TaskSpec) -> str:
    """What a task is called: its name; a group whose name the compiler made is called after what it holds."""
    component = spec.component_of(task)
    if component.dag is None or not _MADE_UP.match(task.name):
        return task.name or task.key
    inner = [title(spec, child) for child in component.dag.tasks.values()]
    if not inner:
        return task.name
    return inner[0] if len(inner) == 1 else f"{inner[0]} +{len(inner) - 1}"


def type_word(spec: PipelineSpec, task: TaskSpec | None, component: ComponentSpec) -> str:
    """One word for what a task is: `python`, `container`, `importer`, `loop`, `condition`, `pipeline` or `exit`."""
    if task is not None and task.iterator is not None:
        return "loop"
    if component.dag is not None:
        return "condition" if task is not None and task.trigger.condition else "pipeline"
    if task is not None and is_exit_task(task):
        return "exit"
    executor = spec.executor_of(component)
    if isinstance(executor, ImporterSpec):
        return "importer"
    words = (*executor.command, *executor.args) if executor is not None else ()
    return "python" if any(".executor_main" in word for word in words) else "container"


def step_count(spec: PipelineSpec, component: ComponentSpec) -> int:
    """How many steps a component holds, groups not counted; 1 for a step."""
    if component.dag is None:
        return 1
    return sum(step_count(spec, spec.component_of(task)) for task in component.dag.tasks.values())


def iterations(task: TaskSpec) -> int | None:
    """How many iterations a loop has where the specification alone says so, else None."""
    return len(task.iterator.raw) if task.iterator is not None and task.iterator.raw is not None else None


def expression_text(spec: PipelineSpec, dag_path: str, dag: DagSpec, task: TaskSpec) -> str:
    """The condition of a task in the DAG at `dag_path` as a person writes it: `if drift > 0.2`, `else if …`, `else`, or empty."""
    condition = task.trigger.condition
    if not condition:
        return ""
    in_branches = bool(_BRANCHES.match(paths.key(dag_path))) if dag_path else False
    parts = _split_and(condition) if in_branches else [condition]
    wanted = [part for part in parts if not part.startswith("!(")]
    first = in_branches and next(iter(dag.tasks), "") == task.key
    if in_branches and not wanted:
        return "else"
    text = _readable(" && ".join(wanted) if in_branches else condition, spec, dag_path, task)
    return f"if {text}" if first or not in_branches else f"else if {text}"


def _split_and(condition: str) -> list[str]:
    """The operands of the outermost `&&`; brackets and quotes are kept together."""
    parts, depth, quote, start = [], 0, "", 0
    for at, char in enumerate(condition):
        if quote:
            quote = "" if char == quote and condition[at - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif depth == 0 and condition.startswith("&&", at):
            parts.append(condition[start:at].strip())
            start = at + 2
    parts.append(condition[start:].strip())
    return [part for part in parts if part]


def _readable(condition: str, spec: PipelineSpec, dag_path: str, task: TaskSpec) -> str:
    text = _INPUT.sub(lambda found: _input_name(found["name"], spec, dag_path, task), condition)
    while (shorter := _CAST.sub(r"\1", text)) != text:
        text = shorter
    return _QUOTED_OR_SIGN.sub(lambda found: _SIGNS.get(found[0], found[0]), text)


def _input_name(name: str, spec: PipelineSpec, dag_path: str, task: TaskSpec) -> str:
    """What the user called the value: its producer, or the output where that has a name; channels lose their prefix."""
    given = task.parameters.get(name)
    while given is not None and isinstance(given.source, FromInput) and dag_path and dag_path != ROOT:
        name, (above, _) = given.source.name, spec.at(dag_path)
        dag_path = paths.template(paths.parent(dag_path))
        given = above.parameters.get(name) if above is not None else None
    if given is not None and isinstance(given.source, FromTask) and not given.source.key.startswith("pipelinechannel--"):
        return given.source.producer if given.source.key == "Output" else given.source.key
    return name.removeprefix("pipelinechannel--").removesuffix("-Output")
