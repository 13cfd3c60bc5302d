"""What would never end: tasks that wait for each other, components that contain themselves, pipelines that multiply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipelines.spec.check.scope import components, scopes
from pipelines.spec.model import ROOT, PipelineSpec
from pipelines.spec.problems import Finding

MOST_CYCLES = 20  # that are named; a dense knot has more than anybody can read
MAX_NESTING = 50  # of DAGs in DAGs
MAX_TASKS = 100_000  # tasks of a pipeline with all its nested DAGs, loops counted once


def check(spec: PipelineSpec) -> Iterator[Finding]:
    """Cycles among tasks, cycles among components, and the size of it all."""
    for scope in scopes(spec):
        waits = {key: [name for name in task.dependencies if name in scope.dag.tasks] for key, task in scope.dag.tasks.items()}
        for cycle in find_cycles(waits):
            if len(cycle) == 1:
                message = f"The task `{cycle[0]}` waits for itself."
            else:
                message = f"These tasks wait for each other, so none can start: {_arrows(cycle)}."
            yield Finding(scope.task_place(cycle[0]), message)
    contains = {
        component.name: list(dict.fromkeys(task.component for task in component.dag.tasks.values()))
        for component, _ in components(spec)
        if component.dag is not None
    }
    recursions = find_cycles(contains)
    for cycle in recursions:
        yield Finding(("components", cycle[0]), f"A pipeline cannot contain itself: {_arrows(cycle)}.")
    if not recursions:
        yield from _size(contains, spec)


def _arrows(cycle: Sequence[str]) -> str:
    return " → ".join(f"`{name}`" for name in [*cycle, cycle[0]])


def find_cycles(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Cycles of a directed graph, at least one for each knot, each as the nodes along it. Without recursion: graphs are deep."""
    found: list[list[str]] = []
    done: set[str] = set()
    for start in edges:
        if start in done:
            continue
        path = [start]
        on_path = {start: 0}
        pending = [iter(edges[start])]
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                left = path.pop()
                del on_path[left]
                done.add(left)
            elif following in on_path:
                found.append(path[on_path[following] :])
                if len(found) == MOST_CYCLES:
                    return found
            elif following not in done and following in edges:
                on_path[following] = len(path)
                path.append(following)
                pending.append(iter(edges[following]))
    return found


def _size(contains: Mapping[str, Sequence[str]], spec: PipelineSpec) -> Iterator[Finding]:
    """Refuses DAGs that lie too deep, or use each other so often that the pipeline has no end for practical purposes."""
    sizes: dict[str, int] = {}
    depths: dict[str, int] = {}
    for name in _inner_first(contains):
        dag = (spec.root if name == ROOT else spec.components[name]).dag
        inner = [task.component for task in dag.tasks.values()] if dag else []
        sizes[name] = sum(1 + sizes.get(component, 0) for component in inner)
        depths[name] = 1 + max((depths.get(component, 0) for component in inner), default=0)
    total, depth = sizes.get(ROOT, 0), depths.get(ROOT, 0)
    if total > MAX_TASKS:
        shown = f"{total:,}" if total < 10**12 else "more than a million million"
        yield Finding((ROOT, "dag"), f"With all its nested DAGs the pipeline has {shown} tasks; the most is {MAX_TASKS:,}.")
    if depth > MAX_NESTING:
        yield Finding((ROOT, "dag"), f"DAGs lie {depth} levels deep in each other; the most is {MAX_NESTING}.")


def _inner_first(contains: Mapping[str, Sequence[str]]) -> list[str]:
    """The DAGs in such an order that what one contains stands before it. There must be no cycle."""
    ordered: dict[str, None] = {}
    pending = [(name, False) for name in contains]
    while pending:
        name, entered = pending.pop()
        if entered:
            ordered[name] = None
        elif name not in ordered:
            pending.append((name, True))
            pending += [(inner, False) for inner in contains[name] if inner in contains and inner not in ordered]
    return list(ordered)
