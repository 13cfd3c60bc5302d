"""What steps leave behind, whatever it is: values or a sentence, and logs that can be read."""

from __future__ import annotations

import json
import math
import pathlib
import tempfile
from collections import Counter
from typing import Any

from hypothesis import strategies as st

from pipelines.spec import cel
from pipelines.spec.model import ParameterType
from pipelines.spec.storable import unstorable
from pipelines.spec.values import fits, to_json_text, to_text
from runs import logstore
from runs.engine.model import Values
from runs.execution.attempt import AttemptOrder
from runs.execution.collect import OutputsInvalid, collect
from runs.execution.facts import fact_of
from runs.execution.locations import canonical_uri
from runs.execution.result import InvalidResult, Result
from runs.facts import decode, encode
from tests.fuzz.mutations import CUTS, SCALARS, VALUES, cut
from tests.fuzz.trying import attempt

Json = Any

ROOT = "minio://kfdash/v2/artifacts/p/r"
PARAMETERS = {str(kind).lower(): str(kind) for kind in list(ParameterType)[:6]}
ORDER = AttemptOrder(
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
        "outputs": {
            "artifacts": {
                name: {"artifacts": [{"name": name, "uri": f"{ROOT}/fit/u/{name}", "type": {"schemaTitle": "system.Model"}}]}
                for name in ("model", "data")
            }
        },
    },
    output_parameters=PARAMETERS,
    output_artifacts={"model": "system.Model", "data": "system.Dataset"},
    log="r/fit-x-1",
)

# --- executor outputs -----------------------------------------------------------------------------------------------

GOOD: dict[str, Json] = {
    "string": "a",
    "number_integer": 1,
    "number_double": 0.5,
    "boolean": True,
    "list": [1],
    "struct": {"a": 1},
}
FIELDS = (
    "parameterValues",
    "parameter_values",
    "parameters",
    "artifacts",
    "name",
    "type",
    "uri",
    "metadata",
    "custom_path",
    "customPath",
)


def nested(depth: int) -> Json:
    """A list in lists."""
    value: Json = 1
    for _ in range(depth):
        value = [value]
    return value


NAMES = st.sampled_from((*FIELDS, *PARAMETERS, "model", "data", "x", "\ud800", "\0"))
URIS = st.sampled_from(
    (
        f"{ROOT}/fit/u/model",
        f"{ROOT}/../x",
        "minio://other/x",
        "minio://kfdash/v2/artifacts/p/older/x",
        "/data/artifacts/kfdash/x",
        "/data/artifacts/../x",
        "/etc/passwd",
        "relative",
        "://",
        "http://169.254.169.254/x",
        "gs://",
        "file:///etc/passwd",
        "",
        "a\0b",
        "\ud800",
    )
)
JSON = st.recursive(
    SCALARS | URIS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
DEEP = st.sampled_from((50, 98, 99, 100, 101, 400, 900)).map(nested)
LISTED = st.fixed_dictionaries(
    {},
    optional={
        "name": SCALARS,
        "uri": URIS | SCALARS,
        "metadata": st.dictionaries(st.text(max_size=3) | NAMES, VALUES | DEEP, max_size=2) | SCALARS,
        "customPath": URIS | SCALARS,
        "type": VALUES,
        "custom_path": URIS,
    },
)
ARTIFACTS = st.dictionaries(
    st.sampled_from(("model", "data", "x")),
    st.fixed_dictionaries({"artifacts": st.lists(LISTED | JSON, max_size=2) | JSON}) | JSON,
    max_size=2,
)
WRITTEN = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {
            "parameterValues": st.dictionaries(NAMES, JSON, max_size=4).map(lambda given: {**GOOD, **given})
            | JSON
            | DEEP.map(lambda value: {**GOOD, "list": value})
        },
        optional={"artifacts": ARTIFACTS | JSON},
    ),
    st.fixed_dictionaries({"parameterValues": st.just(GOOD), "artifacts": ARTIFACTS}),
)
OUTPUTS = st.one_of(
    st.none(),
    WRITTEN.map(lambda value: json.dumps(value).encode()),
    WRITTEN.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")),
    st.builds(lambda value, cuts: cut(json.dumps(value).encode(), cuts), WRITTEN, CUTS),
    st.binary(max_size=40),
    st.sampled_from((b"[" * 100_000, b'{"a":' * 50_000, b"9" * 10_000, b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"NaN", b"null", b"0")),
)
FILES = st.dictionaries(
    st.sampled_from(tuple(PARAMETERS)),
    SCALARS.map(lambda value: str(value).encode(errors="surrogatepass"))
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=12)
    | st.sampled_from((b"1e999", b"nan", b"0x10", b"1_000", b"9" * 5000, b"[" * 10_000, b"1" * (2 << 20), b" 7 ", "٣".encode())),
)


OUTPUT_CASES = st.tuples(OUTPUTS, FILES)


def outputs_are_values_or_a_sentence(case: tuple[bytes | None, dict[str, bytes]]) -> str:
    """Whatever a step wrote: what is taken can be stored, shown, compared and given to the next step."""
    written, files = case
    try:
        values = collect(ORDER, written, files.get, canonical=lambda location: canonical_uri(location, "/data/artifacts"))
    except OutputsInvalid as error:
        sentence = str(error)
        assert sentence.rstrip()[-1] in ".…" and len(sentence) < 5000 and "Traceback" not in sentence, sentence
        sentence.encode(), json.dumps(sentence)
        assert "\0" not in sentence, sentence
        return "refused"
    check_values(values)
    return "taken"


def check_values(values: Values) -> None:
    """Values that databases take and that are what they are declared to be."""
    data = json.loads(json.dumps(values.to_json(), allow_nan=False))
    for value in (*data["parameters"].values(), *(one for members in data["artifacts"].values() for one in members[0].values())):
        assert unstorable(value) is None, f"{unstorable(value)}: {data}"
    result = Result("a", "succeeded", {"finished": 1}, outputs=values)
    assert Result.from_text(result.to_text()) == result, "what was collected is lost on its way"
    assert Values.from_json(data) == values
    assert set(values.parameters) == set(PARAMETERS)
    for name, value in values.parameters.items():
        assert fits(ParameterType(PARAMETERS[name]), value), (name, value)
        to_text(value), to_json_text(value)
        cel_takes(value)
    for name, members in values.artifacts.items():
        assert len(members) == 1 and members[0]["name"] == name and members[0]["id"] == 0
        assert ".." not in members[0]["uri"].split("/") or not members[0]["uri"].startswith("minio://")


def cel_takes(value: Json) -> None:
    """A condition on the value is true or false, or says why it cannot be either."""
    try:
        cel.evaluate("inputs.parameter_values['x'] == 1", {"x": value}, {})
    except cel.ExpressionError:
        return


# --- result documents -----------------------------------------------------------------------------------------------

RESULT_FIELDS = ("attempt", "state", "times", "exitCode", "signal", "reason", "cause", "retryable", "peakMemory", "outputs", "x")
ARTIFACT: dict[str, Json] = {
    "id": 0,
    "name": "model",
    "uri": f"{ROOT}/fit/u/model",
    "type": "system.Model",
    "schema_version": "0.0.1",
    "metadata": {},
    "custom_path": "",
}
RESULT: dict[str, Json] = {
    "attempt": "fit-x-1",
    "state": "succeeded",
    "times": {"queued": 1, "running": 2, "collecting": 3, "finished": 4},
    "outputs": {"parameters": {"a": 1}, "artifacts": {"model": [ARTIFACT]}},
}
STATES = st.sampled_from(("succeeded", "failed", "stopped", "lost", "SUCCEEDED", ""))
TIMES = st.dictionaries(st.sampled_from(("queued", "starting", "running", "collecting", "finished", "x")), st.integers() | SCALARS)
RESULTS = st.one_of(
    st.dictionaries(st.sampled_from(RESULT_FIELDS), VALUES).map(lambda changes: {**RESULT, **changes}),
    st.builds(
        lambda state, times, rest: {**RESULT, "state": state, "times": {**times, "finished": 5}, **rest}, STATES, TIMES, st.just({})
    ),
    st.dictionaries(st.sampled_from(tuple(ARTIFACT)), VALUES | URIS).map(
        lambda changes: {**RESULT, "outputs": {"artifacts": {"model": [{**ARTIFACT, **changes}]}}}
    ),
    st.dictionaries(st.sampled_from(("parameters", "artifacts", "x")), VALUES).map(lambda outputs: {**RESULT, "outputs": outputs}),
    st.builds(
        lambda state, reason, code: {"attempt": "a", "state": state, "times": {"finished": 5}, "reason": reason, "exitCode": code},
        STATES,
        st.text(max_size=5) | URIS,
        st.none() | st.integers(),
    ),
    VALUES,
)
RESULT_TEXTS = st.one_of(
    RESULTS.map(lambda value: json.dumps(value).encode()),
    RESULTS.map(lambda value: json.dumps(value).encode()),
    st.builds(lambda cuts: cut(json.dumps(RESULT).encode(), cuts), CUTS),
    st.binary(max_size=40),
    st.text(max_size=20),
    st.sampled_from((b"[" * 100_000, b"9" * 10_000, b"\xff", b"")),
)


def a_result_is_a_fact_or_a_sentence(text: str | bytes) -> str:
    """Whatever a result document holds: a fact that has a way through JSON and back, or a sentence."""
    try:
        result = Result.from_text(text)
    except InvalidResult as error:
        assert str(error).rstrip()[-1] == "." and len(str(error)) < 2000, error
        return "refused"
    fact = fact_of(result, "root/fit", 1)
    sent = json.loads(json.dumps(encode(fact), allow_nan=False))
    assert decode(sent) == fact
    assert "\\u0000" not in json.dumps(sent), sent
    json.dumps(sent, ensure_ascii=False).encode()
    assert Result.from_text(result.to_text()) == result
    return type(fact).__name__


# --- logs -----------------------------------------------------------------------------------------------------------

FRAMES = st.lists(
    st.one_of(
        st.builds(
            lambda at, stream, text: f"{at} {stream} {text}\n".encode(),
            st.integers(0, 1 << 62),
            st.sampled_from("oek"),
            st.text(max_size=8),
        ),
        st.binary(max_size=20),
        st.sampled_from(
            (
                b"\n",
                b" \n",
                b"1\n",
                b"1 o\n",
                "٣ o x\n".encode(),
                "² o x\n".encode(),
                b"9" * 5000 + b" o x\n",
                b"-1 o x\n",
                b"\r\n",
                b"\x85\n",
            )
        ),
    ),
    max_size=8,
).map(b"".join)
SEGMENT_NAMES = st.sampled_from(
    ("000000000001.log", "000000000003.log", "000000000007.log", "x.log", "².log", "1.log", ".log", "000000000001.log.new")
)
LOGS = st.tuples(
    st.dictionaries(SEGMENT_NAMES, FRAMES, max_size=3),
    st.integers(-5, 20),
    st.integers(1, 5),
    st.text(max_size=3),
    st.sampled_from(("", "info", "error")),
)


def a_damaged_log_can_be_read(case: tuple[dict[str, bytes], int, int, str, str]) -> None:
    """Whatever is in the files of a log: lines in order, none twice, and it can be gone on with."""
    files, first, limit, needle, level = case
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        count = logstore.count(folder)
        lines = logstore.read(folder, first, limit)
        assert len(lines) <= limit
        check_lines(lines)
        check_lines(logstore.search(folder, needle, level=level, after=max(first, 0)))
        logstore.tail(folder, limit), logstore.levels(folder), logstore.size(folder)
        every = list(logstore.iterate(folder))
        writer = logstore.LogWriter(folder)
        number = writer.append(5, "o", "the last")
        writer.close()
        assert number == writer.next - 1 > 0 and number > count - 1
        after = logstore.read(folder, number)
        assert [line.text for line in after] == ["the last"]
        assert len(list(logstore.iterate(folder))) >= len(every)


def check_lines(lines: list[logstore.LogLine]) -> None:
    """Lines as pages get them."""
    json.dumps([[line.number, line.at, line.stream, line.text] for line in lines]).encode()
    for line in lines:
        assert line.number > 0 and line.at >= 0 and math.isfinite(line.at)
        logstore.level_of(line)


# --- tests ----------------------------------------------------------------------------------------------------------


def test_whatever_a_step_writes_as_its_outputs_is_taken_or_refused_with_a_sentence() -> None:
    endings = attempt(OUTPUT_CASES, outputs_are_values_or_a_sentence, count=400, start=1)
    assert min(endings["taken"], endings["refused"]) > 20, endings


def test_whatever_a_result_document_holds_is_a_fact_or_a_sentence() -> None:
    endings = attempt(RESULT_TEXTS, a_result_is_a_fact_or_a_sentence, count=300, start=1)
    assert endings["refused"] > 50 and endings.total() - endings["refused"] > 10, endings


def test_a_log_that_is_damaged_can_be_read_and_gone_on_with() -> None:
    attempt(LOGS, a_damaged_log_can_be_read, count=100, start=1)


def fuzz(count: int, start: int) -> Counter[str]:
    """Many cases; how they ended."""
    return (
        attempt(OUTPUT_CASES, outputs_are_values_or_a_sentence, count=count // 2, start=start)
        + attempt(RESULT_TEXTS, a_result_is_a_fact_or_a_sentence, count=count // 4, start=start)
        + attempt(LOGS, a_damaged_log_can_be_read, count=count // 4, start=start)
    )
