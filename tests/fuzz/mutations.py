"""Packages changed at random: the parsed documents in their structure, texts and archives in their bytes."""

from __future__ import annotations

import copy
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.fuzz import seeds

Json = Any

WORDS = (
    "",
    "root",
    "item",
    "Output",
    "pipelinechannel--loop-item-1",
    "STRING",
    "NUMBER_INTEGER",
    "NUMBER_DOUBLE",
    "BOOLEAN",
    "LIST",
    "STRUCT",
    "TASK_FINAL_STATUS",
    "TASK_CONFIG",
    "system.Dataset",
    "ALL_UPSTREAM_TASKS_COMPLETED",
    "ALL_UPSTREAM_TASKS_SUCCEEDED",
    "STRATEGY_UNSPECIFIED",
    "0s",
    "3600s",
    "-1s",
    "1e400s",
    "999999999999s",
    "[]",
    "[1, 2]",
    '[{"a": 1}, {"a": null}]',
    '{"a": 1}',
    "[[[[[[[[",
    "{{$}}",
    "{{$.inputs.parameters['x']}}",
    "{{$.inputs.parameters['x']",
    "{{$.outputs.artifacts['a'].path}}",
    "{{$.pipeline_job_uuid}}",
    '{"Concat": ["a", {"IfPresent": {"InputName": "x", "Then": ["b"]}}]}',
    '{"IfPresent": {}}',
    "inputs.parameter_values['x'] == 1",
    "inputs.parameter_values['x'] in [1, '2']",
    'parseJson(string_value)["a"]',
    "1 / 0 == 1",
    "!(((",
    "int(inputs.parameter_values['x']) > 3 && true",
    "../../etc/passwd",
    "a/b[0]%",
    "a.b.c",
    "é漢\u202e",
    "\U0001f600" * 3,
    "\x7f",
    "\ud800",
    "\0",
    "x" * 300,
)
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from((None, True, False, 0, 1, -1, 2, 1.5, 10**6, 2**31, 2**63, -(2**64), 10**400, 1e308, -0.0)),
    st.text(max_size=6),
    st.floats(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3), max_leaves=6
)
KINDS = ("set", "drop", "rename", "copy from", "swap with", "wrap", "double", "splice", "add", "nest", "words of")
KINDLY = ("like", "like", "like", "value", "value", "drop one", "words of")  # what leaves a package right more often
_VALUES = (
    "constant",
    "defaultValue",
    "condition",
    "raw",
    "iteratorLimit",
    "maxRetryCount",
    "backoffDuration",
    "image",
    "uri",
    "key",
)
_LEFT_OUT = ("dependentTasks", "cachingOptions", "triggerPolicy", "isOptional", "defaultValue", "retryPolicy", "iteratorPolicy")
_LEFT_OUT += ("inputs", "inputDefinitions", "outputDefinitions", "outputs", "taskInfo", "componentRef", "artifacts", "parameters")
_MOST_CHARACTERS = 400_000  # of a document: copying into itself doubles it


@dataclass(frozen=True)
class Change:
    """One mutation: what, where and with what. Numbers are taken modulo what there is, so that any fits any document."""

    kind: str
    where: int
    other: int
    value: Json


_NUMBER = st.integers(0, 1 << 16)
CHANGES = st.one_of(
    st.lists(st.builds(Change, st.sampled_from(KINDLY), _NUMBER, _NUMBER, VALUES), min_size=1, max_size=2),
    st.lists(st.builds(Change, st.sampled_from(KINDLY), _NUMBER, _NUMBER, VALUES), min_size=1, max_size=2),
    st.lists(st.builds(Change, st.sampled_from(KINDS + KINDLY), _NUMBER, _NUMBER, VALUES), min_size=1, max_size=5),
)


def changed(documents: list[Json], changes: list[Change]) -> list[Json]:
    """The documents after all changes."""
    documents = copy.deepcopy(documents)
    for change in changes:
        places = list(_places(documents))
        if not places:
            break
        if change.kind in ("copy from", "double", "nest") and len(repr(documents)) > _MOST_CHARACTERS:
            continue
        _change(change, places)
    return documents


def _places(value: Json) -> Any:
    """Every (container, key), outer ones first."""
    waiting = [value]
    for one in waiting:
        members = list(one.items()) if isinstance(one, dict) else list(enumerate(one))
        for key, member in members:
            yield one, key
            if isinstance(member, (dict, list)):
                waiting.append(member)


def _change(change: Change, places: list[tuple[Any, Any]]) -> None:
    if change.kind in ("value", "drop one"):
        names = _VALUES if change.kind == "value" else _LEFT_OUT
        places = [place for place in places if place[1] in names] or places
    holder, key = places[change.where % len(places)]
    other_holder, other_key = places[change.other % len(places)]
    here, there = holder[key], copy.deepcopy(other_holder[other_key])
    match change.kind:
        case "set" | "value":
            holder[key] = change.value
        case "like":
            same = [other[name] for other, name in places if name == key]
            holder[key] = copy.deepcopy(same[change.other % len(same)])
        case "drop" | "drop one":
            del holder[key]
        case "rename" if isinstance(holder, dict):
            name = change.value if isinstance(change.value, str) else str(other_key)
            holder[name] = holder.pop(key)
        case "copy from":
            holder[key] = there
        case "swap with":
            other_holder[other_key], holder[key] = copy.deepcopy(here), there
        case "wrap":
            holder[key] = [here] if change.other % 2 else {str(other_key): here}
        case "double" if isinstance(holder, dict):
            holder[f"{key}-{change.other % 3}"] = copy.deepcopy(here)
        case "double":
            holder.append(copy.deepcopy(here))
        case "splice" if isinstance(here, str):
            at = change.other % (len(here) + 1)
            holder[key] = here[:at] + (change.value if isinstance(change.value, str) else str(there)[:40]) + here[at:]
        case "add" if isinstance(here, dict):
            here[str(other_key)] = there
        case "nest" if isinstance(here, dict):
            here[str(key)] = copy.deepcopy(here)
        case "words of":
            words = [other[name] for other, name in places if isinstance(other[name], str)]
            holder[key] = words[change.other % len(words)] if words else ""


# --- texts and bytes ------------------------------------------------------------------------------------------------


def as_text(documents: list[Json], form: str) -> bytes:
    """Documents as a text of one form. What JSON or YAML cannot write is written as it can be."""
    if form == "json" and len(documents) == 1:
        return json.dumps(documents[0]).encode()
    if form == "raw" and len(documents) == 1:
        return json.dumps(documents[0], ensure_ascii=False).encode(errors="surrogatepass")
    if form == "json":
        return "\n---\n".join(json.dumps(document) for document in documents).encode()
    try:
        text = yaml.dump_all(documents, Dumper=yaml.CSafeDumper, default_flow_style=form == "flow")
    except (yaml.YAMLError, UnicodeError):  # a half of a surrogate pair
        return as_text(documents, "json")
    return text.encode(errors="surrogatepass")


FORMS = st.sampled_from(("json", "json", "json", "raw", "flow", "block"))
STRUCTURES = st.builds(
    lambda number, changes, form: as_text(changed(seeds.documents()[number], changes), form),
    st.integers(0, len(seeds.documents()) - 1),
    CHANGES,
    FORMS,
)


@dataclass(frozen=True)
class Cut:
    """A change of bytes: `drop` of them at a place are replaced with others."""

    where: int
    drop: int
    put: bytes


_PIECES = (
    b"\0",
    b"\n",
    b"\t",
    b"---\n",
    b"- ",
    b": ",
    b"{",
    b"}",
    b"[",
    b"&a ",
    b"*a",
    b"!!python/object:x ",
    b"<<: ",
    b"\xff",
    b"'",
)
CUTS = st.lists(
    st.builds(Cut, st.integers(0, 1 << 20), st.integers(0, 40), st.one_of(st.sampled_from(_PIECES), st.binary(max_size=6))),
    max_size=4,
)


def cut(data: bytes, cuts: list[Cut]) -> bytes:
    """The bytes after all changes."""
    for one in cuts:
        at = one.where % (len(data) + 1)
        data = data[:at] + one.put + data[at + one.drop :]
    return data


TEXTS = st.builds(lambda number, cuts: cut(seeds.texts()[number].encode(), cuts), st.integers(0, len(seeds.texts()) - 1), CUTS)
ENTRY_NAMES = st.sampled_from(
    ("pipeline.yaml", "a.yaml", "./pipeline.yaml", "a/b.yml", "../x.yaml", "/etc/x", "C:x", "x.txt", "", "d/")
)


def archive(kind: str, entries: list[tuple[str, bytes]], link: bool) -> bytes:
    """An archive of these entries."""
    target = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, data in entries:
                zipped.writestr(name or "x", data)
        return target.getvalue()
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=1) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if link:
                info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


ARCHIVES = st.builds(
    lambda kind, entries, link, cuts: cut(archive(kind, entries, link), cuts),
    st.sampled_from(("zip", "tar")),
    st.lists(st.tuples(ENTRY_NAMES, TEXTS | STRUCTURES), max_size=2, unique_by=lambda entry: entry[0]),
    st.integers(0, 9).map(lambda number: number == 0),
    st.just([]) | CUTS,
)


@dataclass(frozen=True)
class Package:
    """An upload: its bytes and its file's name."""

    data: bytes
    name: str

    def __repr__(self) -> str:
        return f"Package({self.data!r}, {self.name!r})"


PACKAGES = st.integers(0, 9).flatmap(
    lambda number: (
        st.builds(Package, STRUCTURES, st.just("pipeline.yaml"))
        if number < 7
        else st.builds(Package, TEXTS, st.just("pipeline.yaml"))
        if number < 9
        else st.builds(Package, ARCHIVES, st.sampled_from(("a.zip", "a.tar.gz", "a", "a.yaml", "a.txt")))
    )
)
