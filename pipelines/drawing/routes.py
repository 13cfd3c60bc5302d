"""How the lines run: a plain S from bottom centre to top centre; where that would touch a node, a straight lane beside the
nodes with an S at either end; where there is none, the way dot found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from pipelines.drawing.dot import Box, Placed, Point
from pipelines.drawing.visible import SHEETS, Graph

_CLEAR = 7  # points between a line and a node it passes
_CELL = 100  # points: the raster by which boxes are looked up
_LANES_UP_TO = 1500  # nodes; above, what is not plain runs as dot found it
_SPREAD_FROM = 5  # edges into one node whose ends are spread along its top
_LANE = 15  # points between a lane and the nodes beside it
_TURN = 30  # points of height for the S at either end of a lane
_TRIED = 40  # lanes
_ARROW = 1.5  # points that a line ends above the box, for the arrow's tip


def route(graph: Graph, placed: Placed) -> list[str]:
    """For each edge of the graph, in order, the `d` of an SVG path; empty where an end was not placed."""
    sheets = {node.id: SHEETS if node.sheets else 0 for node in graph.nodes}
    boxes = {
        **placed.groups,
        **{id: (x, y, width, height + sheets[id]) for id, (x, y, width, height) in placed.nodes.items()},
    }
    field = _Field({id: boxes[id] for id in placed.nodes})
    ends = _ends(graph, boxes)
    groups = list(placed.groups.values())
    found = []
    for index, edge in enumerate(graph.edges):
        if edge.tail not in boxes or edge.head not in boxes:
            found.append("")
            continue
        start, end = _bottom(boxes[edge.tail]), ends[index]
        curve = _plain(start, end)
        skip = {edge.tail, edge.head}
        if end[1] - start[1] < 4 or field.touches(curve, skip):
            lane = _lane(start, end, field, skip, groups) if len(placed.nodes) <= _LANES_UP_TO else None
            curve = lane or _by_dot(placed.splines.get(index), start, end) or curve
        found.append(_path(curve))
    return found


def _bottom(box: Box) -> Point:
    x, y, width, height = box
    return x + width / 2, y + height


def _ends(graph: Graph, boxes: dict[str, Box]) -> dict[int, Point]:
    """Where each edge arrives: the middle of the top, or spread along it where many do, in the order of their tails."""
    arriving: dict[str, list[int]] = defaultdict(list)
    for index, edge in enumerate(graph.edges):
        if edge.tail in boxes and edge.head in boxes:
            arriving[edge.head].append(index)
    found: dict[int, Point] = {}
    for head, edges in arriving.items():
        x, y, width, _ = boxes[head]
        edges.sort(key=lambda index: _bottom(boxes[graph.edges[index].tail])[0])
        step = min(18.0, (width - 48) / max(1, len(edges) - 1)) if len(edges) >= _SPREAD_FROM else 0.0
        for at, index in enumerate(edges):
            found[index] = (x + width / 2 + step * (at - (len(edges) - 1) / 2), y - _ARROW)
    return found


def _plain(start: Point, end: Point) -> list[Point]:
    """One cubic, vertical at both ends."""
    (x1, y1), (x2, y2) = start, end
    bend = max(14.0, (y2 - y1) * 0.5)
    return [start, (x1, y1 + bend), (x2, y2 - bend), end]


def _lane(start: Point, end: Point, field: _Field, skip: set[str], groups: Sequence[Box]) -> list[Point] | None:
    """S, straight down beside what is in the way, S; the nearest free lane, rather not through a group; None where none is."""
    top, bottom = start[1] + _TURN, end[1] - _TURN
    if bottom <= top:
        return None
    middle = (start[0] + end[0]) / 2
    beside = {x for box in field.between(top, bottom) for x in (box[0] - _LANE, box[0] + box[2] + _LANE)}
    candidates = sorted(beside | {start[0], end[0]}, key=lambda x: (_crosses(x, top, bottom, start, groups), abs(x - middle)))
    for x in candidates[:_TRIED]:
        first = [start, (start[0], start[1] + 20), (x, top - 24), (x, top)]
        last = [(x, bottom), (x, bottom + 24), (end[0], end[1] - 20), end]
        straight = [(x, top), (x, top + (bottom - top) / 3), (x, bottom - (bottom - top) / 3), (x, bottom)]
        if not any(field.touches(part, skip) for part in (straight, first, last)):
            return [*first, *straight[1:], *last[1:]]
    return None


def _crosses(x: float, top: float, bottom: float, start: Point, groups: Sequence[Box]) -> bool:
    """Whether a lane runs through a group that its line does not begin in."""
    return any(
        gx - 8 < x < gx + width + 8 and gy < bottom and gy + height > top
        for gx, gy, width, height in groups
        if not (gx < start[0] < gx + width and gy < start[1] < gy + height)
    )


def _by_dot(spline: Sequence[Point] | None, start: Point, end: Point) -> list[Point] | None:
    """Dot's spline, moved to begin and end where ours do."""
    if not spline or len(spline) < 4:
        return None
    dx, dy = start[0] - spline[0][0], start[1] - spline[0][1]
    ex, ey = end[0] - spline[-1][0], end[1] - spline[-1][1]
    curve = list(spline)
    curve[0], curve[1] = start, (curve[1][0] + dx, curve[1][1] + dy)
    curve[-1], curve[-2] = end, (curve[-2][0] + ex, curve[-2][1] + ey)
    return curve


def _path(curve: Sequence[Point]) -> str:
    points = [f"{x:.1f},{y:.1f}" for x, y in curve]
    return f"M{points[0]}C{' '.join(points[1:])}"


class _Field:
    """Boxes by cells of a raster, so that a curve is compared with its neighbours only."""

    def __init__(self, boxes: dict[str, Box]) -> None:
        self.cells: dict[tuple[int, int], list[tuple[str, float, float, float, float]]] = defaultdict(list)
        self.rows: dict[int, list[Box]] = defaultdict(list)
        for id, box in boxes.items():
            left, top = box[0] - _CLEAR, box[1] - _CLEAR
            right, bottom = box[0] + box[2] + _CLEAR, box[1] + box[3] + _CLEAR
            for row in range(int(top // _CELL), int(bottom // _CELL) + 1):
                self.rows[row].append(box)
                for column in range(int(left // _CELL), int(right // _CELL) + 1):
                    self.cells[column, row].append((id, left, top, right, bottom))

    def between(self, top: float, bottom: float) -> Iterable[Box]:
        """All boxes that reach into a range of heights."""
        for row in range(int(top // _CELL), int(bottom // _CELL) + 1):
            for box in self.rows.get(row, ()):
                if box[1] < bottom and box[1] + box[3] > top:
                    yield box

    def touches(self, curve: Sequence[Point], skip: set[str]) -> bool:
        """Whether a cubic comes too near a box."""
        steps = max(8, min(120, int(abs(curve[3][1] - curve[0][1]) + abs(curve[3][0] - curve[0][0])) // 14))
        for x, y in _along(curve, steps):
            for id, left, top, right, bottom in self.cells.get((int(x // _CELL), int(y // _CELL)), ()):
                if left < x < right and top < y < bottom and id not in skip:
                    return True
        return False


def _along(curve: Sequence[Point], steps: int) -> Iterable[Point]:
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = curve
    for step in range(1, steps):
        t = step / steps
        u = 1 - t
        a, b, c, d = u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t
        yield a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3
