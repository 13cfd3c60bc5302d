"""Valid packages, broken at random: they are taken or refused with sentences, and never anything else."""

from __future__ import annotations

import copy
import pathlib
import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pipelines import artifact, constant, kubernetes, output, pipeline, task

from pipelines.spec.check.cycles import find_cycles
from pipelines.spec.parse import parse_json, parse_text
from pipelines.spec.platform import local_notices
from pipelines.spec.problems import Refused

Json = Any

ODD: tuple[Json, ...] = (
    None,
    "",
    "x",
    0,
    -1,
    2.5,
    True,
    [],
    {},
    [None],
    {"a": None},
    "{{$.x}}",
    "\ud800",
    {"constant": 1},
    [[[]]],
    10**30,
)

WHOLE = pipeline(
    {
        "make": task("make", retryPolicy={"maxRetryCount": 1, "backoffDuration": "1s"}, cachingOptions={"enableCache": True}),
        "use": task("use", parameters={"n": output("make", "count")}, triggerPolicy={"condition": "true"}),
        "each": task(
            "use", parameterIterator={"items": {"raw": "[1, 2]"}, "itemInput": "n"}, iteratorPolicy={"parallelismLimit": 2}
        ),
        "read": task("read", artifacts={"data": artifact("make")}, after=["use"]),
        "one": task("use", parameters={"n": constant(1)}),
    }
)
PLATFORM = kubernetes(
    {"make": {"secretAsEnv": [{"secretName": "s"}], "tolerations": [{"key": "a"}]}}, {"workspace": {"size": "1Gi"}}
)


def places(value: Json) -> list[tuple[Json, Json]]:
    """All (container, key) pairs of a JSON value."""
    found: list[tuple[Json, Json]] = []
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        found.append((value, key))
        found += places(item)
    return found


def breaking(document: Json, chance: random.Random, changes: int) -> Json:
    """A copy with some values replaced, removed, renamed or put elsewhere."""
    broken = copy.deepcopy(document)
    for _ in range(changes):
        where = places(broken)
        if not where:
            return broken
        holder, key = chance.choice(where)
        act = chance.randrange(4)
        if act == 0:
            holder[key] = copy.deepcopy(chance.choice(ODD))
        elif act == 1:
            del holder[key]
        elif act == 2:
            other, other_key = chance.choice(where)
            holder[key] = copy.deepcopy(other[other_key])
        elif isinstance(holder, dict):
            holder[f"{key}{chance.choice(['', '_', 'x'])}"] = holder.pop(key)
    return broken


def taken_or_refused(pipeline_document: Json, platform: Json) -> None:
    try:
        document = parse_json(pipeline_document, platform)
    except Refused as refused:
        assert refused.problems
        for problem in refused.problems:
            assert problem.message[-1] in ".?"
        return
    local_notices(document.spec)


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_a_broken_document_is_taken_or_refused_and_nothing_else(seed: int, changes: int) -> None:
    chance = random.Random(seed)
    taken_or_refused(breaking(WHOLE, chance, changes), breaking(PLATFORM, chance, changes - 1))


def test_broken_packages_of_others_are_taken_or_refused(conformance: pathlib.Path) -> None:
    chance = random.Random(7)
    for path in sorted((conformance / "pipelines").rglob("*.yaml")):
        documents = [item for item in yaml.load_all(path.read_text(), yaml.CSafeLoader) if item]
        for _ in range(3):
            taken_or_refused(*[breaking(item, chance, 2) for item in [*documents, {}][:2]])


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_refused_with_sentences(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_text(text)
    assert all(problem.message[-1] in ".?" for problem in caught.value.problems)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_a_cycle_is_found_exactly_where_an_order_is_impossible(pairs: list[tuple[int, int]]) -> None:
    edges: dict[str, list[str]] = {str(node): [] for node in range(8)}
    for start, end in pairs:
        edges[str(start)].append(str(end))
    left = dict(edges)
    while free := [node for node, targets in left.items() if not any(target in left for target in targets)]:
        for node in free:
            del left[node]
    cycles = find_cycles(edges)
    assert bool(cycles) == bool(left)
    for cycle in cycles:
        assert all(after in edges[before] for before, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True))
