"""Layouts, kept in rows: made once for each specification, set of opened groups and whether artifacts are shown.

A layout is JSON, all lengths in points (1 pt is 1 px on pages):

    {"width", "height",
     "nodes":  [{"id", "path", "kind", "name", "type", "expression", "steps", "iterations", "opens", "sheets",
                 "group", "artifact", "x", "y", "w", "h"}, …],
     "groups": [{"id", "path", "kind", "name", "expression", "iterations", "group", "x", "y", "w", "h"}, …],
     "edges":  [{"tail", "head", "exit", "d"}, …]}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

from pipelines.drawing import dot, routes
from pipelines.drawing.visible import Graph, see
from pipelines.models import Drawing, Specification
from pipelines.spec.model import PipelineSpec
from pipelines.specifications import load

LARGE = 1500  # steps; pictures of larger specifications are made by a job, not while somebody waits
_MADE_BY = 1  # goes up when the way of drawing changes: older drawings are made anew

Layout = dict[str, Any]


def is_large(specification: Specification) -> bool:
    """Whether its picture is left to a job."""
    return specification.step_count > LARGE


def find(specification_id: str, opened: Collection[str] = (), artifacts: bool = False) -> Layout | None:
    """The stored layout, None where it has not been drawn."""
    row = Drawing.objects.filter(specification_id=specification_id, key=_key(opened, artifacts)).only("layout").first()
    return row.layout if row is not None else None


def draw(specification_id: str, opened: Collection[str] = (), artifacts: bool = False) -> Layout:
    """The layout with these groups (template paths) opened: from its row, else drawn and stored. Raises GraphvizMissing."""
    if (found := find(specification_id, opened, artifacts)) is not None:
        return found
    layout = lay_out(load(specification_id), opened, artifacts=artifacts)
    row, _ = Drawing.objects.get_or_create(
        specification_id=specification_id, key=_key(opened, artifacts), defaults={"layout": layout}
    )
    return row.layout


def lay_out(spec: PipelineSpec, opened: Collection[str] = (), *, artifacts: bool = False) -> Layout:
    """Draws without storing. Raises GraphvizMissing."""
    graph = see(spec, opened, artifacts=artifacts)
    placed = dot.place(graph, tight=artifacts)
    return _to_json(graph, placed)


def _key(opened: Collection[str], artifacts: bool) -> str:
    text = json.dumps([_MADE_BY, sorted(set(opened)), artifacts], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _to_json(graph: Graph, placed: dot.Placed) -> Layout:
    lines = routes.route(graph, placed)
    return {
        "width": round(placed.width, 1),
        "height": round(placed.height, 1),
        "nodes": [
            {
                "id": node.id,
                "path": node.path,
                "kind": node.kind,
                "name": node.name,
                "type": node.type,
                "expression": node.expression,
                "steps": node.steps,
                "iterations": node.iterations,
                "opens": node.opens,
                "sheets": node.sheets,
                "group": node.group,
                "artifact": node.artifact,
                **_box(placed.nodes[node.id]),
            }
            for node in graph.nodes
            if node.id in placed.nodes
        ],
        "groups": [
            {
                "id": f"n-{group.path}",
                "path": group.path,
                "kind": group.kind,
                "name": group.name,
                "expression": group.expression,
                "iterations": group.iterations,
                "group": group.group,
                **_box(placed.groups[f"n-{group.path}"]),
            }
            for group in graph.groups
            if f"n-{group.path}" in placed.groups
        ],
        "edges": [
            {"tail": edge.tail, "head": edge.head, "exit": edge.exit, "d": line}
            for edge, line in zip(graph.edges, lines, strict=True)
            if line
        ],
    }


def _box(box: dot.Box) -> dict[str, float]:
    x, y, width, height = box
    return {"x": x, "y": y, "w": width, "h": height}
