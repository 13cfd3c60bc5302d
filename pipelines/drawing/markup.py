"""The boxes and lines of a picture as SVG: thousands of them are written here some fifteen times faster than by a template.

What is not many (canvas, groups, markers) stands in `pipelines/_graph.html`. Whatever is not a number of ours is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from django.utils.safestring import SafeString, mark_safe

_SELECTED = ' aria-current="true"'
_FOLDED = '<rect class="hit" width="16" height="16"/><use class="pk" href="#i-right"/></svg>'


def edges(listed: Iterable[Mapping[str, Any]], *, bare: bool = False) -> SafeString:
    """The lines, each with its arrow; `bare` ones get theirs when they are in sight."""
    return mark_safe("\n".join(_edge(edge, bare) for edge in listed))  # noqa: S308  # escaped below


def nodes(listed: Iterable[Mapping[str, Any]], *, bare: bool = False) -> SafeString:
    """The boxes and the pills of artifacts. Of `bare` boxes, except the selected one, what stands inside is a comment."""
    return mark_safe("\n".join(_artifact(node) if node["kind"] == "artifact" else _node(node, bare) for node in listed))  # noqa: S308


def _edge(edge: Mapping[str, Any], bare: bool) -> str:
    ends = f'data-tail="{escape(edge["tail"])}" data-head="{escape(edge["head"])}"{" data-exit" if edge["exit"] else ""}'
    arrow = "" if bare else f' marker-end="url(#{"arr-on" if edge["how"] == "on" else "arr"})"'
    return f'<path class="edge {edge["how"]}" {ends} d="{escape(edge["d"])}"{arrow}/>'


def _artifact(node: Mapping[str, Any]) -> str:
    name, path, href = escape(node["artifact"]), escape(node["path"]), escape(node["href"])
    return (
        f'<a class="art" id="{escape(node["id"])}" data-artifact="{name}" data-path="{path}" href="{href}&amp;tab=io" tabindex="-1"'
        f' transform="translate({node["x"]},{node["y"]})"><title>{name}</title>'
        f'<rect class="pill" width="{node["w"]}" height="24" rx="12"/><svg class="pk" x="11" y="5.5" width="13" height="13"'
        f' viewBox="0 0 16 16"><use href="#i-art"/></svg><text x="28" y="16">{escape(node["shown"])}</text></a>'
    )


def _node(node: Mapping[str, Any], bare: bool) -> str:
    width, height, look = node["w"], node["h"], node["look"]
    path, name, title = escape(node["path"]), escape(node["name"]), escape(node["title"])
    hidden = bare and not node["selected"]
    label = f' aria-label="{title}"' if hidden else ""
    halo = f'<rect class="halo" x="-3" y="-3" width="{width + 6}" height="{height + 6}" rx="11"/>'
    inside = (
        f"<title>{title}</title>{halo}"
        f'<svg class="{"si" if look and not look.planned else "pk"}" x="12" y="9" width="16" height="16" viewBox="0 0 16 16">'
        f'<use href="#{node["icon"]}"/></svg><g clip-path="url(#in-{width})">'
        f'<text class="nm" x="36" y="21.5">{escape(node["shown"])}</text>{_below(node)}</g>{_corner(node)}'
    )
    return (
        f'<a class="node" id="{escape(node["id"])}" data-path="{path}" data-kind="{node["kind"]}" data-name="{name}"'
        f' href="{escape(node["href"])}" tabindex="-1" transform="translate({node["x"]},{node["y"]})"{_state(look)}'
        f"{_SELECTED if node['selected'] else ''}{label}>"
        f"{_sheets(width, height) if node['sheets'] else ''}"
        f'<rect class="box" width="{width}" height="{height}" rx="8"/>{_comment(inside) if hidden else inside}</a>'
    )


def _comment(inside: str) -> str:
    """Markup as a comment: a browser keeps it as text, and lays nothing out, until a script has a use for it.

    Every `>` of a text is escaped and none of ours follows a hyphen, so nothing in it ends the comment.
    """
    return f"<!--{inside}-->"


def _state(look: Any) -> str:
    if look is None:
        return " data-plan"
    if look.planned:
        return f' data-plan data-do="{look.planned}"'
    flags = (("attention", look.attention), ("starting", look.starting), ("cached", look.cached))
    return f' data-state="{look.state}"' + "".join(f" data-{name}" for name, on in flags if on)


def _sheets(width: int, height: int) -> str:
    return "".join(
        f'<rect class="stack" x="{x}" y="{y}" width="{width - 2 * x}" height="{height}" rx="8"/>' for x, y in ((14, 8), (7, 4))
    )


def _below(node: Mapping[str, Any]) -> str:
    """What stands under the name: a loop's strip, a condition's expression, the line of state or plan."""
    hot, line, look = " hot" if node["hot"] else "", escape(node["line"]), node["look"]
    since = f' data-since="{escape(look.since)}"' if look is not None and look.since else ""
    if node["kind"] == "loop":
        return f'{"".join(map(_mark, node["marks"]))}<text class="sub{hot}" x="36" y="63">{line}</text>'
    if node["kind"] == "condition":
        return (
            f'<rect class="exprbox" x="36" y="28" width="{node["expression_width"]}" height="17" rx="4"/>'
            f'<text class="expr" x="42" y="40">{escape(node["shown_expression"])}</text>'
            f'<text class="sub{hot}" x="36" y="60"{since}>{line}</text>'
        )
    kind = f'<text class="ty" x="{node["w"] - 11}" y="38" text-anchor="end">{escape(node["type"])}</text>' if node["type"] else ""
    return f'<text class="sub{hot}" x="36" y="38"{since}>{line}</text>{kind}'


def _mark(mark: Any) -> str:
    flags = f"{' data-attention' if mark.attention else ''}{' data-cached' if mark.cached else ''}"
    return (
        f'<use class="mk" data-state="{mark.state}"{flags} data-first="{mark.first}" data-count="{mark.count}"'
        f' href="#mk-{mark.look}" x="{mark.x}" y="31" width="{mark.width}" height="14" transform="translate(36)"/>'
    )


def _corner(node: Mapping[str, Any]) -> str:
    """How often it runs, and what opens it."""
    width, times = node["w"], node["times"]
    count = f'<text class="ty times" x="{width - 34}" y="21" text-anchor="end">×{times}</text>' if times is not None else ""
    if not node["opens"]:
        return count
    opener = f'data-unfold="{escape(node["id"])}" x="{width - 28}" y="8" width="18" height="18" viewBox="0 0 16 16"'
    return f'{count}<svg class="fold" {opener}>{_FOLDED}'
