"""YAML and JSON as plain values: lines, limits, and what JSON cannot say."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.spec.documents import camel, read_documents
from pipelines.spec.problems import Refused, dotted
from pipelines.spec.storable import MAX_DEPTH, NUL_REFUSAL

Json = Any

TEXT = """# a comment
root:
  dag:
    tasks:
      my.task:
        dependent_tasks:
        - a
        - b
...
---
platforms: {kubernetes: {}}
"""

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def refusal(text: str) -> tuple[str, int | None]:
    with pytest.raises(Refused) as caught:
        read_documents(text)
    return caught.value.problems[0].message, caught.value.problems[0].line


def test_documents_know_the_line_of_every_place() -> None:
    first, second = read_documents(TEXT)
    assert first.line_of(("root",)) == 2
    assert first.line_of(("root", "dag", "tasks", "my.task")) == 5
    assert first.line_of(("root", "dag", "tasks", "my.task", "dependentTasks", 1)) == 8
    assert second.line_of(("platforms", "kubernetes")) == 11


def test_a_place_that_is_not_there_has_the_line_of_what_is_around_it() -> None:
    (document,) = read_documents("a:\n  b:\n    c: 1\n")
    assert document.line_of(("a", "b", "missing", "deeper")) == 2
    assert document.line_of(("missing",)) == 1


def test_json_has_lines_too() -> None:
    (document,) = read_documents('\n{"a":\n  {"b": [1,\n 2]},\n "e": "\\ud83d\\ude00"}')
    assert document.value == {"a": {"b": [1, 2]}, "e": "😀"}
    (plain,) = read_documents('\n{"a":\n  {"b": [1,\n 2]}}')
    assert plain.line_of(("a", "b", 1)) == 4


@given(VALUES)
@settings(max_examples=80, deadline=None)
def test_what_yaml_wrote_is_read_back(value: Json) -> None:
    document = {"v": value}
    for dumped in (yaml.safe_dump(document), json.dumps(document), json.dumps(document, ensure_ascii=False)):
        assert read_documents(dumped)[0].value == document


def test_only_what_json_has_comes_out() -> None:
    text = "day: 2024-01-02\n1: a\ntrue: b\nnull: c\nhex: 0x1F\nbig: 1e5\nfloat: 1.5e+3\nyes_: yes\nnothing: ~\n"
    assert read_documents(text)[0].value == {
        "day": "2024-01-02",
        "1": "a",
        "true": "b",
        "null": "c",
        "hex": 31,
        "big": "1e5",
        "float": 1500.0,
        "yes_": True,
        "nothing": None,
    }


def test_anchors_and_merges_are_read() -> None:
    text = "base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\nsame: *base\n"
    assert read_documents(text)[0].value["more"] == {"a": 1, "b": 3}
    assert read_documents(text)[0].value["same"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "sentence", "line"),
    [
        ("a: 1\nb: [1, 2\n", "neither YAML nor JSON", 3),
        ("a: 1\n b: 2\n", "neither YAML nor JSON", 2),
        ('{"a": 1,}}', "neither YAML nor JSON", 1),
        ('{"a": 1}\ntext', "neither YAML nor JSON", 2),
        ("a: 1\nhello there\n", "neither YAML nor JSON", 3),
        ("a: 1\n...\nhello there\n---\nx", "neither YAML nor JSON", 3),
        ("a: 1\nb: 2\na: 3\n", "The key `a` stands here twice", 3),
        ('{"a": 1,\n"a": 2}', "The key `a` stands here twice", 2),
        ("a: .inf\n", "no number that JSON has", 1),
        ('{"a": NaN}', "", None),
        ("a: !!python/object:os.system {}\n", "The tag `python/object:os.system` is not allowed", 1),
        ("a: !!binary aGk=\n", "The tag `binary` is not allowed", 1),
        ("a: !local x\n", "The tag `!local` is not allowed", 1),
        ("[1]: a\n", "A key must be text", 1),
        ("<<: 1\n", "must be followed by an object", 1),
        ("a: " + "9" * 5000 + "\n", "cannot be read as a number", 1),
        ("a: b\0c\n", "characters that YAML does not allow", 1),
        ('x: 1\na: "b\\0c"\n', NUL_REFUSAL, 2),
        ('{"a":\n "b\\u0000c"}', NUL_REFUSAL, 2),
        ("a: &a [1, *a]\n", "refers to what it stands in", 1),
        ("a: *nobody\n", "neither YAML nor JSON", 1),
    ],
)
def test_text_that_cannot_be_read_is_refused_with_the_line(text: str, sentence: str, line: int | None) -> None:
    if not sentence:
        assert read_documents(text)[0].value == {"a": "NaN"}, "YAML takes it for text"
        return
    message, at = refusal(text)
    assert sentence in message
    assert at == line


def test_text_that_spells_a_nul_is_only_text() -> None:
    assert read_documents('{"a": "\\\\u0000"}')[0].value == {"a": "\\u0000"}


def bomb(levels: int) -> str:
    lines = ['a0: &a0 ["lol", "lol", "lol", "lol", "lol", "lol", "lol", "lol", "lol"]']
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(12),
        bomb(200),
        'a: &a "' + "x" * 100_000 + '"\nb: [' + ", ".join(["*a"] * 10_000) + "]",
        "[" * 200_000,
        "[" * 900 + "]" * 900,
        "{a: " * 150 + "}" * 150,
        '{"a":' * 50_000,
        "\n".join(" " * depth + "a:" for depth in range(3000)),
        "- " * 100_000,
    ],
    ids=["bomb", "deep bomb", "long text", "brackets", "closed brackets", "objects", "JSON", "indents", "dashes"],
)
def test_a_document_made_to_hurt_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    refusal(text)
    assert time.process_time() - began < 0.5


def test_the_deepest_document_that_is_taken() -> None:
    assert read_documents("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "nested more than" in refusal("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))[0]


def test_empty_documents_do_not_count() -> None:
    assert read_documents("") == []
    assert read_documents("# only a comment\n---\n---\n{}\n") == []


def test_names_and_places_as_people_write_them() -> None:
    assert camel("executor_label") == "executorLabel"
    assert camel("executorLabel") == "executorLabel"
    assert dotted(("root", "dag", "tasks", "a.b", "dependentTasks", 0)) == "root.dag.tasks['a.b'].dependentTasks[0]"


@pytest.mark.parametrize("text", ["1" + "0" * 400, "-1" + "0" * 400, "0x" + "f" * 300])
def test_a_number_that_no_double_holds_is_refused_with_its_line(text: str) -> None:
    forms = [f"\na: {text}\n"] if text[1] == "x" else [f"\na: {text}\n", f'{{\n"a": {text}}}']
    for form in forms:
        message, line = refusal(form)
        assert "at most 1.8e+308" in message and line == 2
