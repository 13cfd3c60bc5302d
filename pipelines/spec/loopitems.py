"""Loop items in f-strings, as the SDK compiles them, put right.

`f"{item.name}"` in a `ParallelFor` refers to an input `…-loop-item-subvar-name` of the loop's body, which the SDK hands in from
outside of the loop, where there is no such thing; with loops in loops it also forgets to hand items, and parameters of the
pipeline that are looped over, further in. KFP accepts such a pipeline, and its run fails. What is meant is plain: the item of
the nearest loop around, or a field of it; or the pipeline's parameter.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = Any

_PREFIX = "pipelinechannel--"
_FIELD = "-subvar-"


def mended(pipeline: Mapping[str, Json]) -> dict[str, Json] | None:
    """The canonical document with such references put right; None where there are none."""
    document: dict[str, Json] = copy.deepcopy(dict(pipeline))
    mender = _Mender(document)
    root = document.get("root", {})
    mender.group(root, _parameters(root))
    return document if mender.changed else None


class _Mender:
    """Walks the groups of a document from outside in, and changes them."""

    def __init__(self, document: dict[str, Json]) -> None:
        self.components: dict[str, Json] = document.get("components", {})
        self.changed = False
        self.entered: set[int] = set()

    def group(self, component: dict[str, Json], items: Mapping[str, Json]) -> dict[str, Json]:
        """Puts the tasks of a group right; `items` are the pipeline's parameters and the items of the loops around, by the names
        they have inside, the nearest last.

        Returns the items that the group must be given and is not.
        """
        if id(component) in self.entered:  # a component that holds itself, or is used twice
            return {}
        self.entered.add(id(component))
        wanted: dict[str, Json] = {}
        for task in component.get("dag", {}).get("tasks", {}).values():
            inner = self.components.get(task.get("componentRef", {}).get("name", ""), {})
            self._references(task, inner, component, items, wanted)
            if "dag" in inner:
                self._enter(task, inner, component, items, wanted)
        given = _definitions(component)
        return {name: definition for name, definition in wanted.items() if _key(name, component) not in given}

    def _references(
        self,
        task: dict[str, Json],
        inner: dict[str, Json],
        around: dict[str, Json],
        items: Mapping[str, Json],
        wanted: dict[str, Json],
    ) -> None:
        inputs = task.get("inputs", {}).get("parameters", {})
        for name, source in list(inputs.items()):
            meant = self._dangling(name, source, around, items)
            if meant is None:
                continue
            self.changed = True
            item, field = _item_of(meant, items)
            if item:
                if field:  # the whole item may have a selector of its own
                    source = {"parameterExpressionSelector": f"parseJson(string_value)[{json.dumps(field)}]"}
                kept = {key: value for key, value in source.items() if key == "parameterExpressionSelector"}
                inputs[name] = {"componentInputParameter": _key(item, around), **kept}
                wanted[item] = items[item]
                continue
            del inputs[name]
            if task.get("parameterIterator", {}).get("itemInput") != name:
                _definitions(inner).pop(name, None)

    def _dangling(self, name: str, source: Mapping[str, Json], around: dict[str, Json], items: Mapping[str, Json]) -> str | None:
        """The item, or its field, that a reference means where nothing gives what it says."""
        if "componentInputParameter" in source:
            key = source["componentInputParameter"]
            meant = key if key.startswith(_PREFIX) else _PREFIX + key
            return meant if key not in _definitions(around) and (meant in items or _is_item(meant)) else None
        output = source.get("taskOutputParameter", {})
        if "-loop-item" not in output.get("outputParameterKey", "") or not _is_item(name):
            return None
        producer = around.get("dag", {}).get("tasks", {}).get(output.get("producerTask", ""), {})
        made = self.components.get(producer.get("componentRef", {}).get("name", ""), {}).get("outputDefinitions", {})
        return None if output["outputParameterKey"] in made.get("parameters", {}) else name

    def _enter(
        self,
        task: dict[str, Json],
        inner: dict[str, Json],
        around: dict[str, Json],
        items: Mapping[str, Json],
        wanted: dict[str, Json],
    ) -> None:
        own = task.get("parameterIterator", {}).get("itemInput")
        known = dict(items) if _is_group(inner) else _parameters(inner)
        if own in _definitions(inner):
            known[own] = _definitions(inner)[own]
        for name, definition in self.group(inner, known).items():
            self.changed = True
            _definitions(inner)[name] = {key: value for key, value in definition.items() if key == "parameterType"}
            inputs = task.setdefault("inputs", {}).setdefault("parameters", {})
            inputs[name] = {"componentInputParameter": _key(name, around)}
            wanted[name] = definition


def _definitions(component: dict[str, Json]) -> dict[str, Json]:
    found: dict[str, Json] = component.setdefault("inputDefinitions", {}).setdefault("parameters", {})
    return found


def _parameters(pipeline: dict[str, Json]) -> dict[str, Json]:
    """A pipeline's parameters by the names that they have in its groups."""
    return {_PREFIX + name: definition for name, definition in _definitions(pipeline).items()}


def _key(name: str, component: dict[str, Json]) -> str:
    """The name that a pipeline itself has for what is called `name` in its groups; in a group it is the same."""
    bare = name.removeprefix(_PREFIX)
    return bare if bare in _definitions(component) else name


def _is_group(component: dict[str, Json]) -> bool:
    """Whether this is a group of its parent's tasks (a loop, a condition), not a pipeline with parameters of its own."""
    return all(name.startswith(_PREFIX) for name in _definitions(component))


def _is_item(name: str) -> bool:
    return name.startswith(_PREFIX) and ("-loop-item" in name or name.startswith(f"{_PREFIX}loop-item-param-"))


def _item_of(meant: str, items: Mapping[str, Json]) -> tuple[str, str]:
    """The item of a loop around, and the field of it, that a name means; empty where it is none of them."""
    for item in _nearest_first(items):
        field = meant.removeprefix(item + _FIELD)
        if meant == item:
            return item, ""
        if field != meant and "-loop-item" not in field:
            return item, field
    return "", ""


def _nearest_first(items: Mapping[str, Json]) -> Iterator[str]:
    return reversed(list(items))
