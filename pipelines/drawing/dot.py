"""Graphviz as a function: a visible graph in, positions in points out. Labels never pass through it."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from pipelines.drawing.visible import Graph, Node

_DEFAULTS_UP_TO = 1500  # nodes; above, dot's patience is limited
_PATIENCE = 120  # seconds
_HEAD = 20  # points that dot keeps free at the top of a group for its head
_ROOM = f'<table border="0" cellborder="0" cellspacing="0" cellpadding="0"><tr><td width="180" height="{_HEAD}"></td></tr></table>'
_WHEEL = "graphviz-pure"

Box = tuple[float, float, float, float]  # x and y of the upper left corner, width, height
Point = tuple[float, float]


class GraphvizMissing(Exception):
    """There is no Graphviz, or it failed. The message is for people."""


@dataclass
class Placed:
    """Where dot put things, y downwards; `nodes` and `groups` by id, `splines` by index of the edge."""

    width: float = 0
    height: float = 0
    nodes: dict[str, Box] = field(default_factory=dict)
    groups: dict[str, Box] = field(default_factory=dict)
    splines: dict[int, list[Point]] = field(default_factory=dict)


@cache
def program() -> list[str]:
    """The command that runs dot: the wheel's program, else the system's. Raises GraphvizMissing."""
    for folder in dict.fromkeys((sysconfig.get_path("scripts"), str(pathlib.Path(sys.executable).parent))):
        if found := shutil.which(_WHEEL, path=folder):
            return [found, "-Kdot"]
    if found := shutil.which(_WHEEL):
        return [found, "-Kdot"]
    if found := shutil.which("dot"):
        return [found]
    raise GraphvizMissing(
        "The graph cannot be drawn: there is no Graphviz. Install the Python package graphviz-pure, or the system's dot."
    )


def place(graph: Graph, *, tight: bool = False) -> Placed:
    """Has dot place the graph's nodes; `tight` is for graphs with artifacts. Raises GraphvizMissing."""
    if not graph.nodes:
        return Placed()
    names = {node.id: f"v{index}" for index, node in enumerate(graph.nodes)}
    text = _source(graph, names, tight)
    try:
        done = subprocess.run([*program(), "-Tjson0"], input=text, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise GraphvizMissing(f"Graphviz took more than {_PATIENCE} s for {len(graph.nodes)} nodes. Use the table.") from None
    except OSError as error:
        raise GraphvizMissing(f"Graphviz could not be started: {error}.") from None
    if done.returncode:
        raise GraphvizMissing(f"Graphviz failed (exit code {done.returncode}): {done.stderr.strip()[-300:]}")
    return _read(json.loads(done.stdout), graph, names)


def _source(graph: Graph, names: Mapping[str, str], tight: bool) -> str:
    separation = 20 if tight else 34
    lines = [
        "digraph {",
        f"graph [rankdir=TB ranksep={separation / 72:.4f} nodesep={22 / 72:.4f} compound=true pad=0];",
        'node [shape=box fixedsize=true label=""];',
        "edge [headport=n tailport=s arrowhead=none];",
    ]
    if len(graph.nodes) > _DEFAULTS_UP_TO:
        lines.append("graph [nslimit=0.05 nslimit1=0.05 mclimit=0.1];")
    lines += _cluster("", graph, names)
    anchors = _anchors(graph)
    for index, edge in enumerate(graph.edges):
        tail, head = anchors.get(edge.tail, edge.tail), anchors.get(edge.head, edge.head)
        if tail in names and head in names:
            lines.append(f"{names[tail]} -> {names[head]} [id={index} weight={1 if edge.exit else 6}];")
    lines.append("}")
    return "\n".join(lines)


def _cluster(path: str, graph: Graph, names: Mapping[str, str]) -> list[str]:
    """The nodes and groups directly inside the group at `path` (empty: at the top)."""
    lines = [
        f"{names[node.id]} [width={node.width / 72:.4f} height={node.full_height / 72:.4f}];"
        for node in graph.nodes
        if node.group == path
    ]
    for index, group in enumerate(graph.groups):
        if group.group == path:
            lines += [f"subgraph cluster_{index} {{", f"margin=14; labeljust=l; label=<{_ROOM}>;"]
            lines += [*_cluster(group.path, graph, names), "}"]
    return lines


def _anchors(graph: Graph) -> dict[str, str]:
    """Group id → a node inside it, for edges that end at a group's border."""
    found: dict[str, str] = {}
    parents = {group.path: group.group for group in graph.groups}
    for node in graph.nodes:
        path = node.group
        while path:
            found.setdefault(f"n-{path}", node.id)
            path = parents.get(path, "")
    return found


def _read(data: Mapping[str, object], graph: Graph, names: Mapping[str, str]) -> Placed:
    left, low, right, high = _numbers(str(data["bb"]))
    placed = Placed(width=right - left, height=high - low)
    nodes: dict[str, Node] = {names[node.id]: node for node in graph.nodes}
    objects: list[dict[str, object]] = data.get("objects", [])  # type: ignore[assignment]
    for item in objects:
        name = str(item["name"])
        if name in nodes:
            node = nodes[name]
            x, y = _numbers(str(item["pos"]))
            box = (x - left - node.width / 2, high - y - node.full_height / 2, float(node.width), float(node.height))
            placed.nodes[node.id] = _rounded(box)
        elif name.startswith("cluster_") and "bb" in item:
            x1, y1, x2, y2 = _numbers(str(item["bb"]))
            group = graph.groups[int(name.removeprefix("cluster_"))]
            placed.groups[f"n-{group.path}"] = _rounded((x1 - left, high - y2, x2 - x1, y2 - y1))
    edges: list[dict[str, object]] = data.get("edges", [])  # type: ignore[assignment]
    for edge in edges:
        if "id" in edge and "pos" in edge:
            placed.splines[int(str(edge["id"]))] = _spline(str(edge["pos"]), left, high)
    return placed


def _spline(text: str, left: float, high: float) -> list[Point]:
    """The control points of dot's spline: start, then three for each cubic."""
    points = [pair for pair in text.split() if not pair.startswith(("e,", "s,"))]
    return [(round(x - left, 1), round(high - y, 1)) for x, y in (_numbers(point) for point in points)]


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _rounded(box: Box) -> Box:
    x, y, width, height = (round(value, 1) for value in box)
    return x, y, width, height
