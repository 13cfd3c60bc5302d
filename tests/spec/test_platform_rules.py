"""Every rule that a platform document can break: the sentence, and where it points."""

from __future__ import annotations

from typing import Any

import pytest
from small_pipelines import kubernetes, output, pipeline, problems_of

Json = Any

PLATFORM_RULES: list[tuple[str, Json, str, str]] = [
    ("an input of nobody", {"make": {"pvcMount": [{"componentInputParameter": "x"}]}}, "no input parameter `x`", "pvcMount[0]"),
    (
        "an output of nobody",
        {"make": {"pvcMount": [{"pvcNameParameter": output("make", "nix")}]}},
        "has no output parameter `nix`",
        "pvcNameParameter",
    ),
    ("a claim without a name", {"make": {"pvcMount": [{"mountPath": "/x"}]}}, "which claim to mount", "pvcMount[0]"),
    ("a shape that is wrong", {"make": {"secretAsEnv": {"secretName": "x"}}}, "must be a list, not an object", "secretAsEnv"),
    ("a number for a path", {"make": {"secretAsVolume": [{"mountPath": 5}]}}, "must be text, not a number", "mountPath"),
    ("a negative time limit", {"make": {"activeDeadlineSeconds": -1}}, "below zero", "make.activeDeadlineSeconds"),
]


@pytest.mark.parametrize(
    ("executors", "sentence", "place"), [rule[1:] for rule in PLATFORM_RULES], ids=[r[0] for r in PLATFORM_RULES]
)
def test_a_platform_document_that_breaks_a_rule_is_refused(executors: Json, sentence: str, place: str) -> None:
    problems = problems_of(pipeline(), kubernetes(executors))
    assert any(sentence in problem.message and place in problem.place for problem in problems), [str(item) for item in problems]
    assert all(problem.line and problem.line > 40 for problem in problems), "lines count through the whole file"


def test_a_workspace_needs_a_size_and_no_empty_class() -> None:
    workspace = {"kubernetes": {"pvcSpecPatch": {"storageClassName": ""}}}
    messages = [problem.message for problem in problems_of(pipeline(), kubernetes(config={"workspace": workspace}))]
    assert len(messages) == 2
    assert "no size" in messages[0] and "storageClassName is empty" in messages[1]
