"""A layout made ready for the template `pipelines/_graph.html`: what stands in each box, with or without states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kfdash import words
from pipelines.drawing import markup
from pipelines.drawing.stored import Layout

MARGIN = 24  # points of canvas around the drawing
_NAME = 22  # characters of a name that a box holds
_EXPRESSION = 23  # characters of a condition
_SECOND = 25  # characters of the second line and the type together
_PLAN_ICONS = {
    "task": "code",
    "exit": "flag",
    "importer": "download",
    "loop": "loop",
    "pipeline": "nest",
    "condition": "cond",
    "artifact": "art",
}


@dataclass(frozen=True)
class MarkBox:
    """A mark of a loop's strip: it stands for the iterations from `first` up to `first + count`."""

    first: int
    count: int
    x: float
    width: float
    state: str = "PENDING"
    attention: bool = False
    cached: bool = False
    title: str = ""

    @property
    def look(self) -> str:
        """The symbol that draws it."""
        return words.state_mark(self.state, attention=self.attention, cached=self.cached)


@dataclass(frozen=True)
class Look:
    """How a task stands: its state, and what is said of it. `since` (ISO time) makes the second line a clock."""

    path: str
    state: str = "PENDING"
    attention: bool = False
    cached: bool = False
    line: str = ""
    said: str = ""
    since: str = ""
    starting: bool = False
    marks: Sequence[MarkBox] = ()
    times: int | None = None
    planned: str = ""  # before a run: `run`, or `maybe` where that is not sure
    word: str = ""  # instead of the state's word
    chosen: bool = False  # drawn as selected

    @property
    def look(self) -> str:
        """The icon's name in the sprite."""
        return words.state_mark(self.state, attention=self.attention, cached=self.cached, starting=self.starting)


@dataclass
class Picture:
    """What the template draws: `nodes`, `groups` and `edges` are dicts ready to print."""

    width: float
    height: float
    nodes: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    edges: list[dict[str, Any]] = field(default_factory=list)
    selected: str = ""
    margin: int = MARGIN

    @property
    def many(self) -> bool:
        """Whether it is so large that boxes are bare until they are in sight, and have no shadows and clips."""
        return len(self.nodes) > 300

    @property
    def edge_markup(self) -> str:
        """The lines as SVG."""
        return markup.edges(self.edges, bare=self.many)

    @property
    def node_markup(self) -> str:
        """The boxes as SVG."""
        return markup.nodes(self.nodes, bare=self.many)

    @property
    def view_box(self) -> str:
        """All of it, with the margin."""
        return f"{-MARGIN} {-MARGIN} {self.width + 2 * MARGIN:.0f} {self.height + 2 * MARGIN:.0f}"


def picture(
    layout: Layout,
    *,
    look: Callable[[str], Look] | None = None,
    href: Callable[[str], str] = lambda path: f"?task={path}",
    selected: str = "",
) -> Picture:
    """The picture of a layout. `look` gives each template path its state; without it the drawing is a plan."""
    found = Picture(layout["width"], layout["height"], selected=selected)
    looks: dict[str, Look] = {}
    for node in layout["nodes"]:
        seen = look(node["path"]) if look is not None and node["kind"] != "artifact" else None
        if seen is not None:
            looks[node["id"]] = seen
        found.nodes.append(_node(node, seen, href, selected))
    for group in layout["groups"]:
        seen = look(group["path"]) if look is not None else None
        found.groups.append(_group(group, seen, href, selected))
    found.edges = [{**edge, "how": _edge_class(edge, looks.get(edge["tail"]), looks.get(edge["head"]))} for edge in layout["edges"]]
    return found


def _node(node: Mapping[str, Any], look: Look | None, href: Callable[[str], str], selected: str) -> dict[str, Any]:
    path = look.path if look is not None else node["path"]
    line = look.line if look is not None else ""
    if not line and (look is None or look.state == "PENDING"):
        line = _plan_line(node)
    kind, name = node["type"], node["name"]
    times = (look.times if look is not None else None) or node["iterations"]
    room = 18 if times is not None or node["opens"] else _NAME
    second_fits = len(line) + len(kind) <= _SECOND
    return {
        **node,
        "w": int(node["w"]),
        "h": int(node["h"]),
        "path": path,
        "href": href(path),
        "look": look,
        "icon": _icon(look, node["kind"]),
        "shown": _cut(name, room),
        "line": _cut(line, 27 if kind == "condition" or not second_fits else _SECOND + 8),
        "hot": look is not None and (look.state == "FAILED" or look.attention),
        "type": kind if second_fits and node["kind"] in ("task", "exit", "importer", "pipeline") else "",
        "title": _title(name, look, node),
        "times": times,
        "marks": look.marks if look is not None and look.marks else strip_marks([Look(path)] * min(times or 0, 500)),
        "shown_expression": _cut(node["expression"], _EXPRESSION),
        "expression_width": round(min(len(node["expression"]), _EXPRESSION) * 6.65 + 12),
        "selected": (look is not None and look.chosen) or (bool(selected) and path == selected),
        "mx": round(node["x"] + node["w"] / 2, 1),
    }


def _group(group: Mapping[str, Any], look: Look | None, href: Callable[[str], str], selected: str) -> dict[str, Any]:
    path = look.path if look is not None else group["path"]
    shown = _cut(group["name"], 26)
    return {
        **group,
        "path": path,
        "href": href(path),
        "look": look,
        "icon": _icon(look, group["kind"]),
        "shown": shown,
        "line": look.line if look is not None else "",
        "title": _title(group["name"], look, group),
        "shown_expression": _cut(group["expression"], 40),
        "selected": (look is not None and look.chosen) or (bool(selected) and path == selected),
    }


def _icon(look: Look | None, kind: str) -> str:
    if look is None:
        return f"i-{_PLAN_ICONS[kind]}"
    return "i-play" if look.planned else f"st-{look.look}"


def _plan_line(node: Mapping[str, Any]) -> str:
    if node["kind"] == "exit":
        return "always runs last"
    if node["kind"] == "loop":
        return words.counted(node["iterations"], "iteration") if node["iterations"] is not None else "a list known when it runs"
    return words.counted(node["steps"], "step") if node["steps"] else ""


def _title(name: str, look: Look | None, thing: Mapping[str, Any]) -> str:
    if look is None:
        return f"{name}: {thing['expression']}" if thing["expression"] else name
    state = words.state_word(look.state, attention=look.attention, cached=look.cached, starting=look.starting)
    word = look.word or state.lower()
    return f"{name}: {word}" + (f" – {look.said}" if look.said else "")


def _edge_class(edge: Mapping[str, Any], tail: Look | None, head: Look | None) -> str:
    if head is not None and head.state == "RUNNING":
        return "on"
    if any(look is not None and look.state == "SKIPPED" for look in (tail, head)):
        return "off"
    return "exit" if edge["exit"] else ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


# Of several iterations under one mark the worst is shown.
_WORST_FIRST = ("FAILED", "WAITING", "CANCELING", "RUNNING", "PENDING", "CANCELED", "SKIPPED", "SUCCEEDED", "CACHED")
_MOST_MARKS = 120


def strip_marks(iterations: Sequence[Look], *, width: float = 164) -> list[MarkBox]:
    """The marks of a loop's strip on `width` points: one an iteration up to 120, above that each stands for several."""
    count = len(iterations)
    if not count:
        return []
    slots = min(count, _MOST_MARKS)
    pitch = min(14.0, width / slots)
    gap = 4.0 if pitch >= 12 else 2.0 if pitch >= 5 else pitch * 0.3
    marks = []
    for slot in range(slots):
        first, end = slot * count // slots, (slot + 1) * count // slots
        worst = min(iterations[first:end], key=lambda one: _WORST_FIRST.index(one.look))
        marks.append(
            MarkBox(
                first=first,
                count=end - first,
                x=round(slot * pitch, 2),
                width=round(max(pitch - gap, 1.6), 2),
                state=worst.state,
                attention=worst.attention,
                cached=worst.cached,
                title=worst.said,
            )
        )
    return marks
