"""What a step's outputs become, and what is said when they cannot be taken."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.engine.model import ArtifactValue, Values
from runs.execution.attempt import AttemptOrder
from runs.execution.collect import EXECUTOR_OUTPUT_LIMIT, METADATA_LIMIT, PARAMETER_LIMIT, OutputsInvalid, collect
from runs.execution.locations import canonical_uri

Json = Any
ROOT = "minio://kfdash/v2/artifacts/p/r"
URI = f"{ROOT}/fit/u/model"


def order(parameters: dict[str, str] | None = None, artifacts: dict[str, dict[str, Any]] | None = None) -> AttemptOrder:
    """An order with these outputs: name → type, name → predefined metadata."""
    type = {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"}
    predefined = {
        name: {"artifacts": [{"name": name, "uri": f"{ROOT}/fit/u/{name}", "type": type, "metadata": metadata}]}
        for name, metadata in (artifacts or {}).items()
    }
    return AttemptOrder(
        name="fit-x-1",
        run_id="r",
        path="root/fit",
        number=1,
        image="",
        command=(),
        args=(),
        env=(),
        executor_input={
            "inputs": {"artifacts": {"old": {"artifacts": [{"name": "3", "uri": "minio://kfdash/v2/artifacts/p/older/x"}]}}},
            "outputs": {"artifacts": predefined},
        },
        output_parameters=parameters or {},
        output_artifacts=dict.fromkeys(artifacts or {}, "system.Model"),
        log="r/fit-x-1",
    )


def taken(
    written: object = None,
    files: dict[str, bytes] | None = None,
    parameters: dict[str, str] | None = None,
    artifacts: dict[str, Any] | None = None,
) -> Values:
    text = written if written is None or isinstance(written, bytes) else json.dumps(written).encode()
    return collect(
        order(parameters, artifacts), text, (files or {}).get, canonical=lambda location: canonical_uri(location, "/data/artifacts")
    )


def model(**changes: object) -> ArtifactValue:
    """The artifact `model` after these changes in the executor output."""
    return taken({"artifacts": {"model": {"artifacts": [changes]}}}, artifacts={"model": {"framework": "none"}}).artifacts["model"][
        0
    ]


# --- parameters ---


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        ("STRING", "a\n", "a\n"),
        ("STRING", "", ""),
        ("STRING", "ünïcödé", "ünïcödé"),
        ("NUMBER_INTEGER", " -42\n", -42),
        ("NUMBER_INTEGER", "+7", 7),
        ("NUMBER_DOUBLE", "2.50\n", 2.5),
        ("NUMBER_DOUBLE", "1e3", 1000),
        ("BOOLEAN", "True\n", True),
        ("BOOLEAN", "f", False),
        ("BOOLEAN", "1", True),
        ("LIST", "[1, 2.0]", [1, 2]),
        ("STRUCT", '{"a": null}', {"a": None}),
    ],
)
def test_a_file_is_parsed_by_its_declared_type(type: str, text: str, value: object) -> None:
    assert taken(files={"x": text.encode()}, parameters={"x": type}).parameters == {"x": value}


@pytest.mark.parametrize(
    ("type", "text"),
    [
        ("NUMBER_INTEGER", ""),
        ("NUMBER_INTEGER", "4.0"),
        ("NUMBER_INTEGER", "1_000"),
        ("NUMBER_INTEGER", "٣"),
        ("NUMBER_DOUBLE", "many"),
        ("NUMBER_DOUBLE", "inf"),
        ("NUMBER_DOUBLE", "nan"),
        ("BOOLEAN", "yes"),
        ("BOOLEAN", ""),
        ("LIST", "{}"),
        ("LIST", "[1,"),
        ("LIST", "[NaN]"),
        ("STRUCT", "[]"),
        ("STRUCT", "[" * 100_000),
        ("STRING", "a\0b"),
    ],
)
def test_a_file_that_is_not_of_its_type_is_named(type: str, text: str) -> None:
    with pytest.raises(OutputsInvalid, match="'the-output'"):
        taken(files={"the-output": text.encode()}, parameters={"the-output": type})


def test_a_file_that_is_no_text_is_named() -> None:
    with pytest.raises(OutputsInvalid, match="'x' is not text"):
        taken(files={"x": b"\xff\xfe"}, parameters={"x": "STRING"})


def test_an_output_that_was_not_written_is_named() -> None:
    with pytest.raises(OutputsInvalid, match="'x' was not written"):
        taken({"parameterValues": {"y": 1}}, parameters={"x": "NUMBER_INTEGER"})


def test_the_executor_output_wins_over_the_file() -> None:
    assert taken({"parameterValues": {"x": 5}}, {"x": b"6"}, {"x": "NUMBER_INTEGER"}).parameters == {"x": 5}


@pytest.mark.parametrize("written", [{"parameterValues": {"x": 5}}, {"parameter_values": {"x": 5.0}}])
def test_both_spellings_are_read(written: object) -> None:
    assert taken(written, parameters={"x": "NUMBER_INTEGER"}).parameters == {"x": 5}


def test_a_string_takes_the_text_of_any_value() -> None:
    assert taken({"parameterValues": {"x": [1, "a"]}}, parameters={"x": "STRING"}).parameters == {"x": '[1,"a"]'}


@pytest.mark.parametrize(
    ("type", "value", "got"),
    [("NUMBER_INTEGER", "5", "a string"), ("BOOLEAN", 1, "a number"), ("LIST", {}, "an object"), ("STRUCT", None, "null")],
)
def test_a_value_of_the_wrong_kind_says_what_it_is(type: str, value: object, got: str) -> None:
    with pytest.raises(OutputsInvalid, match=f"'x' is declared {type} and got {got}"):
        taken({"parameterValues": {"x": value}}, parameters={"x": type})


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        st.lists,
    )
)
def test_any_list_comes_back_as_it_was_written(value: object) -> None:
    assert taken({"parameterValues": {"x": [value]}}, parameters={"x": "LIST"}).parameters == {"x": [value]}


def test_undeclared_values_and_artifacts_are_ignored() -> None:
    found = taken(
        {"parameterValues": {"x": 1, "y": 2}, "artifacts": {"z": {"artifacts": [{"uri": "gs://x"}]}}},
        parameters={"x": "NUMBER_INTEGER"},
    )
    assert found == Values({"x": 1}, {})


# --- the executor output as a document ---


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "is a list"),
        (b'{"parameterValue": {}}', "unknown field 'parameterValue'"),
        (b'{"parameterValues": []}', "'parameterValues' is not an object"),
        (b'{"artifacts": 3}', "'artifacts' is not an object"),
        (b'{"artifacts": {"model": {"artifacts": [{"url": ""}]}}}', "unknown field 'url'"),
        (b'{"artifacts": {"model": {"artifacts": {}}}}', "no list"),
        (b'{"artifacts": {"model": []}}', "is a list"),
        (b'{"artifacts": {"model": {"artifacts": [{"uri": 3}]}}}', "'uri' of the output 'model' is a number"),
        (b'{"artifacts": {"model": {"artifacts": [{"metadata": []}]}}}', "metadata of the output 'model' is a list"),
    ],
)
def test_an_executor_output_that_breaks_the_rules_says_where(written: bytes, words: str) -> None:
    with pytest.raises(OutputsInvalid, match=words):
        taken(written, artifacts={"model": {}})


@pytest.mark.parametrize("written", [None, b"", b" \n", b"{}", b'{"artifacts": null}', b'{"artifacts": {"model": {}}}'])
def test_nothing_written_leaves_the_predefined_artifact(written: bytes | None) -> None:
    assert taken(written, artifacts={"model": {"framework": "none"}}).artifacts == {
        "model": [
            {
                "id": 0,
                "name": "model",
                "uri": URI,
                "type": "system.Model",
                "schema_version": "0.0.1",
                "metadata": {"framework": "none"},
                "custom_path": "",
            }
        ]
    }


# --- artifacts ---


def test_metadata_is_merged_over_the_predefined() -> None:
    assert model(metadata={"rows": 10.0, "tags": ["a"]})["metadata"] == {"framework": "none", "rows": 10, "tags": ["a"]}


def test_name_and_type_stay() -> None:
    found = model(name="other", type={"schemaTitle": "system.HTML"})
    assert (found["name"], found["type"]) == ("model", "system.Model")


def test_numbers_that_are_none_are_kept_by_name() -> None:
    curve = model(metadata={"thresholds": [math.inf, 0.5, -math.inf], "n": math.nan})["metadata"]
    assert curve == {"framework": "none", "thresholds": ["Infinity", 0.5, "-Infinity"], "n": "NaN"}


@pytest.mark.parametrize(
    ("uri", "becomes"),
    [
        ("", URI),
        (URI, URI),
        (f"{ROOT}/fit/u/elsewhere", f"{ROOT}/fit/u/elsewhere"),
        ("/data/artifacts/kfdash/v2/artifacts/p/r/fit/u/model", URI),
        ("oci://registry/model:1", "oci://registry/model:1"),
        ("https://example.org/model", "https://example.org/model"),
        ("minio://kfdash/v2/artifacts/p/older/x", "minio://kfdash/v2/artifacts/p/older/x"),
    ],
)
def test_a_step_may_choose_a_location(uri: str, becomes: str) -> None:
    found = model(uri=uri)
    assert (found["uri"], found["custom_path"]) == (becomes, "")


@pytest.mark.parametrize(
    "uri",
    [
        "gs://other/x",
        "minio://kfdash/v2/artifacts/p/other/x",
        f"{ROOT}/../x",
        f"{ROOT}x/y",
        "relative/path",
        "/data/artifacts/kfdash/v2/other",
    ],
)
def test_a_location_outside_of_the_run_is_refused(uri: str) -> None:
    with pytest.raises(OutputsInvalid, match="'model'"):
        model(uri=uri)


@pytest.mark.parametrize("changes", [{"custom_path": "/tmp/x"}, {"customPath": "/tmp/x"}, {"uri": "/tmp/x"}])
def test_content_elsewhere_is_a_custom_path(changes: dict[str, str]) -> None:
    found = model(**changes)
    assert (found["uri"], found["custom_path"]) == (URI, "/tmp/x")


@pytest.mark.parametrize("path", ["x", "/tmp/../etc", "/a\0b"])
def test_a_custom_path_is_absolute_and_straight(path: str) -> None:
    with pytest.raises(OutputsInvalid, match="custom path of the output 'model'"):
        model(custom_path=path)


def test_an_input_given_on_as_an_output_is_not_written() -> None:
    with pytest.raises(OutputsInvalid, match="one of the step's inputs"):
        model(uri="minio://kfdash/v2/artifacts/p/older/x", custom_path="/tmp/x")


# --- limits ---


def test_what_is_too_large_is_named_with_the_limit() -> None:
    large = "x" * (PARAMETER_LIMIT + 1)
    with pytest.raises(OutputsInvalid, match="'x' is larger than 1 MiB"):
        taken(files={"x": large.encode()}, parameters={"x": "STRING"})
    with pytest.raises(OutputsInvalid, match="'x' is larger than 1 MiB"):
        taken({"parameterValues": {"x": large}}, parameters={"x": "STRING"})
    with pytest.raises(OutputsInvalid, match="metadata of the output 'model' is larger"):
        model(metadata={"x": "x" * METADATA_LIMIT})
    with pytest.raises(OutputsInvalid, match="executor output is larger"):
        taken(b" " * EXECUTOR_OUTPUT_LIMIT + b"{}")


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.dictionaries(
        st.sampled_from(["parameterValues", "artifacts", "x"]),
        st.text() | st.dictionaries(st.sampled_from(["x", "model"]), st.lists(st.text()) | st.integers()),
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_is_written_gives_values_or_a_sentence(written: bytes) -> None:
    try:
        found = taken(written, {"x": b"file"}, {"x": "STRING"}, {"model": {}})
    except OutputsInvalid as error:
        assert str(error).endswith((".", "'"))
    else:
        assert set(found.parameters) == {"x"} and set(found.artifacts) == {"model"}


@pytest.mark.parametrize("type", ["STRING", "LIST", "STRUCT"])
@pytest.mark.parametrize("bad", ["\ud800", "a\0b", 10**400], ids=["half a character", "NUL", "too large"])
def test_what_no_database_takes_is_refused_at_any_depth(type: str, bad: Json) -> None:
    value = {"STRING": bad, "LIST": [[bad]], "STRUCT": {"a": [bad]}}[type]
    with pytest.raises(OutputsInvalid, match="The output 'x' cannot be kept"):
        taken({"parameterValues": {"x": value}}, parameters={"x": type})


def test_metadata_is_kept_without_what_no_database_takes() -> None:
    written = {"artifacts": {"model": {"artifacts": [{"metadata": {"a\0": ["\ud800", 10**400]}}]}}}
    metadata = taken(written, artifacts={"model": {}}).artifacts["model"][0]["metadata"]
    assert metadata == {"a\ufffd": ["?", str(10**400)]}


def test_values_and_metadata_nested_too_deep_are_refused() -> None:
    deep = json.loads("[" * 900 + "]" * 900)
    with pytest.raises(OutputsInvalid, match="nested more than 100 levels"):
        taken({"parameterValues": {"x": deep}}, parameters={"x": "LIST"})
    with pytest.raises(OutputsInvalid, match="nested more than 100 levels"):
        taken({"artifacts": {"model": {"artifacts": [{"metadata": {"a": deep}}]}}}, artifacts={"model": {}})


def test_a_sentence_that_quotes_what_a_step_wrote_can_be_kept() -> None:
    with pytest.raises(OutputsInvalid) as refused:
        taken({"\0\ud800": 1})
    assert str(refused.value) == "The executor output has an unknown field '\ufffd?'."
