"""YAML (and so JSON) text as plain values, with the line of every place; hostile text is refused, not worked on.

Only what JSON has comes out: timestamps stay text, keys become text, and a value that JSON cannot say is a problem.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from pipelines.spec.problems import Place, Problem, Refused
from pipelines.spec.storable import MAX_DEPTH, NUL_REFUSAL, unstorable

Json = Any

MAX_ALIAS_GROWTH = 1_000_000  # characters that aliases may add to what the text itself says

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_STRING, _NULL, _BOOL, _INT, _FLOAT = (_TAG + name for name in ("str", "null", "bool", "int", "float"))
_TEXTS = {_STRING, _TAG + "timestamp", _TAG + "value"}
_COLLECTIONS = {_TAG + "map", _TAG + "seq"}
_MERGE = _TAG + "merge"
_TRUE = frozenset({"true", "yes", "on"})
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)")
_TWICE = "The key `{key}` stands here twice; keep one of them."


@dataclass
class SourceDocument:
    """One document of a text: its value, and where its places are."""

    value: Json
    first_line: int
    text: str = ""  # of a document read as JSON, whose nodes are made only when a line is asked for
    node: yaml.Node | None = None
    _entries: dict[int, dict[str, tuple[yaml.Node, int]]] = field(default_factory=dict)  # of mappings asked before

    def line_of(self, place: Place) -> int | None:
        """The line (from 1) of a place, or of the nearest thing around it that the text has; None where unknown."""
        if self.node is None and self.text:
            text, self.text = self.text, ""
            self.node = _first_node(text)
        if self.node is None:
            return None
        node, line = self.node, self.first_line
        for segment in place:
            found = self._step(node, segment)
            if found is None:
                break
            node, line = found
        return line

    def _step(self, node: yaml.Node, segment: str | int) -> tuple[yaml.Node, int] | None:
        """The node one segment further, with its line: of a mapping's entry, the key's."""
        if isinstance(node, yaml.SequenceNode) and isinstance(segment, int) and segment < len(node.value):
            item = node.value[segment]
            return item, item.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            return None
        if id(node) not in self._entries:
            keys = [(key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
            entries = {camel(key.value): (value, key.start_mark.line + 1) for key, value in keys}
            entries |= {key.value: (value, key.start_mark.line + 1) for key, value in keys}
            self._entries[id(node)] = entries
        return self._entries[id(node)].get(str(segment))


def read_documents(text: str) -> list[SourceDocument]:
    """The documents of a text that are not empty, in order. Raises Refused with what makes the text unreadable."""
    if text.lstrip()[:1] == "{" and (document := _from_json(text)):
        return [document]
    try:
        nodes = list(_nodes(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark else None
        raise Refused([Problem(f"This is neither YAML nor JSON: {reason}.", line=line)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else None
        raise Refused([Problem("The file is no text: it has characters that YAML does not allow.", line=line)]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Refused([Problem(f"This is neither YAML nor JSON: {error}.")]) from None
    reader = _Reader(budget=len(text) + MAX_ALIAS_GROWTH)
    documents = [SourceDocument(reader.read(node), node.start_mark.line + 1, node=node) for node in nodes]
    if reader.problems:
        raise Refused(reader.problems)
    return [document for document in documents if document.value not in (None, {}, "")]


def _nodes(text: str) -> Iterator[yaml.Node]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            yield loader.get_node()
    finally:
        loader.dispose()


def _first_node(text: str) -> yaml.Node | None:
    try:
        return next(_nodes(text), None)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


def camel(name: str) -> str:
    """A protobuf field name as JSON writes it: `executor_label` → `executorLabel`."""
    if "_" not in name:
        return name
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


# --- JSON -----------------------------------------------------------------------------------------------------------


class _NotPlain(ValueError):
    """Something in JSON text that the YAML reader must look at, for the line's sake."""


def _from_json(text: str) -> SourceDocument | None:
    """The text read as JSON; None where it is none, or where the YAML reader can say better what is wrong."""
    try:
        value = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if unstorable(value):
        return None
    return SourceDocument(value, text[: len(text) - len(text.lstrip())].count("\n") + 1, text=text)


def _without_doubles(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotPlain
    return found


def _no_constant(name: str) -> Json:
    raise _NotPlain(name)


# --- YAML -----------------------------------------------------------------------------------------------------------


class _Reader:
    """Makes values out of composed nodes. An aliased node is made once, but counts each time it is referred to."""

    def __init__(self, budget: int) -> None:
        self.problems: list[Problem] = []
        self._budget = budget
        self._made: dict[int, tuple[Json, int]] = {}  # node → value, size
        self._open: set[int] = set()
        self._scalars = SafeConstructor()

    def read(self, node: yaml.Node, depth: int = 0) -> Json:
        if isinstance(node, yaml.ScalarNode):
            self._spend(len(node.value) + 1, node)
            if "\0" in node.value:
                self._problem(NUL_REFUSAL, node)
            return node.value if node.tag == _STRING else self._scalar(node)
        if id(node) in self._made:
            value, size = self._made[id(node)]
            self._spend(size, node)
            return value
        if id(node) in self._open:
            raise self._refused("An alias here refers to what it stands in; write the value out instead.", node)
        if depth >= MAX_DEPTH:
            raise self._refused(f"This is nested more than {MAX_DEPTH} levels deep.", node)
        if node.tag not in _COLLECTIONS:
            self._problem(f"The tag `{node.tag.removeprefix(_TAG)}` is not allowed; write plain YAML.", node)
        self._open.add(id(node))
        before = self._budget
        if isinstance(node, yaml.SequenceNode):
            value = [self.read(item, depth + 1) for item in node.value]
        else:
            value = self._mapping(node, depth)
        self._open.discard(id(node))
        self._spend(1, node)
        self._made[id(node)] = value, before - self._budget
        return value

    def _mapping(self, node: yaml.Node, depth: int) -> dict[str, Json]:
        found: dict[str, Json] = {}
        merged: dict[str, Json] = {}
        for key_node, value_node in node.value:
            value = self.read(value_node, depth + 1)
            if key_node.tag == _MERGE:
                for other in value if isinstance(value, list) else [value]:
                    if isinstance(other, dict):
                        merged = other | merged
                    else:
                        self._problem("`<<` must be followed by an object to merge.", key_node)
                continue
            key = self._key(key_node)
            if key in found:
                self._problem(_TWICE.format(key=key), key_node)
            found[key] = value
        return merged | found if merged else found

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._problem("A key must be text, not a list or an object.", node)
            return ""
        self._spend(len(node.value) + 1, node)
        if "\0" in node.value:
            self._problem(NUL_REFUSAL, node)
        if node.tag == _BOOL:
            return "true" if node.value.lower() in _TRUE else "false"
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> Json:
        text = node.value
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL:
            return text.lower() in _TRUE
        if node.tag in _TEXTS or node.tag == _MERGE:
            return text
        try:
            if node.tag == _INT:
                return self._whole(int(text) if _DECIMAL.fullmatch(text) else self._scalars.construct_yaml_int(node), node)
            if node.tag == _FLOAT:
                number = self._scalars.construct_yaml_float(node)
                if math.isfinite(number):
                    return number
                self._problem(f"`{text}` is no number that JSON has; write it as text, in quotes.", node)
                return None
        except (ValueError, IndexError, ConstructorError):
            self._problem(f"`{text[:60]}` cannot be read as a number; write it as text, in quotes.", node)
            return None
        self._problem(f"The tag `{node.tag.removeprefix(_TAG)}` is not allowed; write plain YAML.", node)
        return None

    def _whole(self, number: int, node: yaml.ScalarNode) -> int | None:
        if problem := unstorable(number):
            self._problem(problem, node)
            return None
        return number

    def _spend(self, size: int, node: yaml.Node) -> None:
        self._budget -= size
        if self._budget < 0:
            raise self._refused("Aliases make this document far larger than it is; write the values out instead.", node)

    def _problem(self, message: str, node: yaml.Node) -> None:
        self.problems.append(Problem(message, line=node.start_mark.line + 1))

    def _refused(self, message: str, node: yaml.Node) -> Refused:
        return Refused([*self.problems, Problem(message, line=node.start_mark.line + 1)])
