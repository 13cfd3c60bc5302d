"""What is to be seen of a pipeline: nodes, opened groups, artifacts and the edges between them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from pipelines.drawing import words
from pipelines.spec import paths
from pipelines.spec.model import ComponentSpec, DagSpec, FromInput, FromTask, PipelineSpec, TaskSpec

MOST_NODES = 400  # more start folded
_MOST_ENDS = 24  # edges between two opened groups; more become one between their borders
SHEETS = 8  # points that the sheets under a folded group peek out

SIZES = {
    "task": (196, 48),
    "exit": (196, 48),
    "importer": (196, 48),
    "loop": (212, 78),
    "pipeline": (196, 56),
    "condition": (212, 70),
}


@dataclass(frozen=True)
class Node:
    """A box. `path` is the task's template path, for an artifact its producer's; `kind` is a key of SIZES or `artifact`."""

    id: str
    path: str
    kind: str
    name: str
    width: int
    height: int
    type: str = ""
    expression: str = ""
    steps: int = 0
    iterations: int | None = None
    opens: bool = False
    group: str = ""  # path of the opened group around it
    artifact: str = ""  # name of the output, for an artifact

    @property
    def sheets(self) -> bool:
        """Whether two sheets peek out below: it stands for several steps."""
        return self.kind in ("loop", "pipeline")

    @property
    def full_height(self) -> int:
        """The height with its sheets."""
        return self.height + (SHEETS if self.sheets else 0)


@dataclass(frozen=True)
class Group:
    """An opened group: a frame around its nodes."""

    path: str
    kind: str
    name: str
    expression: str = ""
    iterations: int | None = None
    group: str = ""


@dataclass(frozen=True)
class Edge:
    """A line from one node or group to another, by id; `exit` is the dashed kind."""

    tail: str
    head: str
    exit: bool = False


@dataclass
class Graph:
    """All that is drawn, in the document's order."""

    nodes: list[Node] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


@dataclass(frozen=True)
class Ends:
    """The ids of the nodes with which a task begins and ends; `border` is the group's id where it is an opened one."""

    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    border: str = ""


def node_id(path: str) -> str:
    """The SVG id of the node or group at a template path."""
    return f"n-{path}"


def see(spec: PipelineSpec, opened: Collection[str] = (), *, artifacts: bool = False) -> Graph:
    """The visible graph with these groups (template paths) opened; the compiler's wrappers are shown as what they hold."""
    graph = _Seer(spec, frozenset(opened), artifacts, unwrap=True).see()
    if len(graph.nodes) > MOST_NODES and not opened:
        folded = _Seer(spec, frozenset(), artifacts, unwrap=False).see()
        return folded if len(folded.nodes) < len(graph.nodes) else graph
    return graph


class _Seer:
    """One walk over the DAGs."""

    def __init__(self, spec: PipelineSpec, opened: frozenset[str], artifacts: bool, unwrap: bool) -> None:
        self.spec = spec
        self.opened = opened
        self.artifacts = artifacts
        self.unwrap = unwrap
        self.graph = Graph()
        self.dags: list[tuple[str, DagSpec, TaskSpec | None, str]] = []  # path, dag, its task, path of the DAG above
        self.ends: dict[str, Ends] = {}

    def see(self) -> Graph:
        root = self.spec.root.dag
        assert root is not None, "the root of a pipeline is a DAG"
        self._walk("root", root, "")
        drawn = self._draw_artifacts() if self.artifacts else set()
        self._draw_edges(drawn)
        return self.graph

    def _walk(self, dag_path: str, dag: DagSpec, group: str, task: TaskSpec | None = None, above: str = "") -> None:
        self.dags.append((dag_path, dag, task, above))
        for child in dag.tasks.values():
            path = paths.child(dag_path, child.key)
            component = self.spec.component_of(child)
            inner = component.dag if component.dag is not None and component.dag.tasks else None
            if inner is not None and path in self.opened:
                self.graph.groups.append(self._group(path, dag_path, dag, child, component, group))
                self._walk(path, inner, path, child, dag_path)
                self.ends[path] = self._inner_ends(path, inner, node_id(path))
            elif inner is not None and self.unwrap and words.is_frame(child, component):
                self._walk(path, inner, group, child, dag_path)
                self.ends[path] = self._inner_ends(path, inner, "")
            else:
                node = self._node(path, dag_path, dag, child, component, group)
                self.graph.nodes.append(node)
                self.ends[path] = Ends((node.id,), (node.id,))

    def _inner_ends(self, path: str, dag: DagSpec, border: str) -> Ends:
        sources = [self.ends[paths.child(path, task.key)].sources for task in dag.tasks.values() if not task.dependencies]
        sinks = [self.ends[paths.child(path, key)].sinks for key, after in dag.dependants.items() if not after]
        return Ends(tuple(id for ids in sources for id in ids), tuple(id for ids in sinks for id in ids), border)

    def _node(self, path: str, dag_path: str, dag: DagSpec, task: TaskSpec, component: ComponentSpec, group: str) -> Node:
        word = words.type_word(self.spec, task, component)
        kind = word if word in SIZES else "task"
        width, height = SIZES[kind]
        return Node(
            id=node_id(path),
            path=path,
            kind=kind,
            name=words.title(self.spec, task),
            width=width,
            height=height,
            type=word,
            expression=words.expression_text(self.spec, dag_path, dag, task),
            steps=words.step_count(self.spec, component) if component.dag is not None else 0,
            iterations=words.iterations(task),
            opens=component.dag is not None and bool(component.dag.tasks),
            group=group,
        )

    def _group(self, path: str, dag_path: str, dag: DagSpec, task: TaskSpec, component: ComponentSpec, group: str) -> Group:
        return Group(
            path=path,
            kind=words.type_word(self.spec, task, component),
            name=words.title(self.spec, task),
            expression=words.expression_text(self.spec, dag_path, dag, task),
            iterations=words.iterations(task),
            group=group,
        )

    # --- edges ---

    def _draw_edges(self, drawn: set[tuple[str, str]]) -> None:
        """One edge for each dependency, between the nodes where both ends are; `drawn` ones go through an artifact."""
        seen = set(drawn)
        for dag_path, dag, _, _ in self.dags:
            for task in dag.tasks.values():
                head = self.ends[paths.child(dag_path, task.key)]
                for key in task.dependencies:
                    tail = self.ends[paths.child(dag_path, key)]
                    for pair in _pairs(tail, head):
                        if pair not in seen:
                            seen.add(pair)
                            self.graph.edges.append(Edge(*pair, exit=words.is_exit_task(task)))

    # --- artifacts ---

    def _draw_artifacts(self) -> set[tuple[str, str]]:
        """Adds a pill for each output artifact with edges to its users; returns the pairs of nodes they connect."""
        users: dict[tuple[str, str], list[str]] = {}
        for node in self.graph.nodes:
            _, component = self.spec.at(node.path)
            users |= {(node.path, name): [] for name in component.output_artifacts}
        for dag_path, dag, _, _ in self.dags:
            for task in dag.tasks.values():
                path = paths.child(dag_path, task.key)
                if not self._is_node(path):
                    continue
                for given in task.artifacts.values():
                    for made in self._makers(dag_path, given.source):
                        users.setdefault(made, []).append(node_id(path))
        groups = {node.path: node.group for node in self.graph.nodes}
        connected: set[tuple[str, str]] = set()
        for (path, name), heads in users.items():
            self._pill(path, name, groups.get(path, ""), dict.fromkeys(heads))
            connected |= {(node_id(path), head) for head in heads}
        return connected

    def _pill(self, path: str, name: str, group: str, heads: Collection[str]) -> None:
        pill = f"a-{path}:{name}"
        called = name.removeprefix("pipelinechannel--")
        shown = called if len(called) <= 24 else called[:23] + "…"
        width = round(len(shown) * 7) + 38
        inputs = "" if path == "root" else path
        self.graph.nodes.append(Node(pill, inputs, "artifact", shown, width, 24, group=group, artifact=name))
        if path != "root":
            self.graph.edges.append(Edge(node_id(path), pill))
        self.graph.edges += [Edge(pill, head) for head in heads]

    def _is_node(self, path: str) -> bool:
        ends = self.ends[path]
        return ends.sources == (node_id(path),) and not ends.border

    def _makers(self, dag_path: str, source: FromInput | FromTask) -> Iterator[tuple[str, str]]:
        """Which visible nodes make what a source in the DAG at `dag_path` gives: (path, output name) each."""
        if isinstance(source, FromTask):
            yield from self._made_by(paths.child(dag_path, source.producer), source.key)
            return
        _, _, task, above = next(entry for entry in self.dags if entry[0] == dag_path)
        if task is None:
            yield "root", source.name
            return
        items = task.artifacts.get(task.iterator.items_input) if task.iterator is not None else None
        if (given := task.artifacts.get(source.name, items)) is not None:
            yield from self._makers(above, given.source)

    def _made_by(self, path: str, key: str) -> Iterator[tuple[str, str]]:
        if self._is_node(path):
            yield path, key
            return
        _, component = self.spec.at(path)
        if component.dag is not None and (selector := component.dag.output_artifacts.get(key)) is not None:
            for inner in selector.sources:
                yield from self._made_by(paths.child(path, inner.producer), inner.key)


def _pairs(tail: Ends, head: Ends) -> Sequence[tuple[str, str]]:
    """Which ids to connect: all sinks with all sources, or border with border where that would be too many."""
    tails: Sequence[str] = tail.sinks
    heads: Sequence[str] = head.sources
    if len(tails) * len(heads) > _MOST_ENDS:
        tails = [tail.border] if tail.border else tails
        heads = [head.border] if head.border else heads
    return [(one, other) for one in tails for other in heads]
