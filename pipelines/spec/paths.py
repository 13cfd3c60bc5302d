"""A task's address in a run: `root/for-each[2]/score`, with `/ [ ] %` in keys escaped.

The same in engine, rows, annotations, SVG ids and messages. A loop task is `root/for-each`, its third iteration
`root/for-each[2]`, a step in that `root/for-each[2]/score`.
"""

from __future__ import annotations

_ESCAPES = {"%": "%25", "/": "%2F", "[": "%5B", "]": "%5D"}
_UNESCAPES = {code: char for char, code in _ESCAPES.items()}


def escape(key: str) -> str:
    """A task key as it stands in a path."""
    if not any(char in key for char in _ESCAPES):
        return key
    return "".join(_ESCAPES.get(char, char) for char in key)


def unescape(segment: str) -> str:
    """The task key that `escape` made `segment` from."""
    for code in ("%2F", "%5B", "%5D", "%25"):
        segment = segment.replace(code, _UNESCAPES[code])
    return segment


def child(parent: str, key: str) -> str:
    """The path of the task `key` in the DAG at `parent`."""
    return f"{parent}/{escape(key)}"


def iteration(loop: str, index: int) -> str:
    """The path of iteration `index` (from 0) of the loop at `loop`."""
    return f"{loop}[{index}]"


def parent(path: str) -> str:
    """The path one level up: an iteration's is its loop, a task's is its DAG, the root's is empty."""
    if path.endswith("]"):
        return path[: path.rindex("[")]
    return path.rpartition("/")[0]


def ancestors(path: str) -> list[str]:
    """All paths above, nearest first, ending with the root."""
    found = []
    while path := parent(path):
        found.append(path)
    return found


def key(path: str) -> str:
    """The task key at the end of a path (an iteration has its loop's key)."""
    return unescape(template(path).rpartition("/")[2])


def index(path: str) -> int | None:
    """The iteration's index where the path is an iteration, else None."""
    return int(path[path.rindex("[") + 1 : -1]) if path.endswith("]") else None


def template(path: str) -> str:
    """The path without any iteration indices: the address in the specification, as drawings have it."""
    while "[" in path:
        start = path.index("[")
        path = path[:start] + path[path.index("]", start) + 1 :]
    return path
