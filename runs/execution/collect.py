"""What a step gave: its executor output and its output files, checked and merged into values.

A step is code by strangers: everything it wrote is measured, parsed strictly and named in the sentence when it is wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.spec.parameter_types import ParameterType
from pipelines.spec.storable import MAX_DEPTH, TOO_LARGE, storable_text, unstorable
from pipelines.spec.values import fits, kind_of, normalise, to_text
from runs.engine.values import ArtifactValue, Values
from runs.execution.attempt import AttemptOrder

Json = Any

PARAMETER_LIMIT = 1024 * 1024  # bytes of one output parameter
METADATA_LIMIT = 1024 * 1024  # bytes of one artifact's metadata, as JSON
EXECUTOR_OUTPUT_LIMIT = 32 * 1024 * 1024  # bytes of the executor output file

_STORED_SCHEMES = ("gs", "s3", "minio")  # whose URIs must stay within the run's own root
_TRUE, _FALSE = {"1", "t", "T", "TRUE", "true", "True"}, {"0", "f", "F", "FALSE", "false", "False"}
_EXECUTOR_OUTPUT = {"parameters": "parameters", "artifacts": "artifacts", "parameterValues": "parameterValues"}
_EXECUTOR_OUTPUT["parameter_values"] = "parameterValues"
_ARTIFACT = {"name": "name", "type": "type", "uri": "uri", "properties": "properties", "metadata": "metadata"}
_ARTIFACT |= {"customProperties": "customProperties", "custom_properties": "customProperties"}
_ARTIFACT |= {"customPath": "customPath", "custom_path": "customPath"}
_WORDS = {"uri": "URI", "customPath": "custom path"}
_ARTIFACT_LIST = {"artifacts": "artifacts"}


class OutputsInvalid(ValueError):
    """The step's outputs cannot be taken. The message is for people: what, where, what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(storable_text(message))  # it may quote what the step wrote


def collect(
    order: AttemptOrder,
    executor_output: bytes | None,
    read: Callable[[str], bytes | None],
    *,
    canonical: Callable[[str], str] = lambda location: location,
) -> Values:
    """The outputs of an attempt that ended with exit code 0.

    `executor_output` is the content of the executor output file, None where there is none. `read(name)` gives the content
    of an output parameter's file, None where it was not written; it need not read more than PARAMETER_LIMIT + 1 bytes.
    `canonical` turns a location that the step knows into its URI. Artifacts come with id 0. A `custom_path` says that the
    content lies there and is to be copied to the URI. Raises OutputsInvalid.
    """
    written = _executor_output(executor_output)
    given = written.get("parameterValues", {})
    if not isinstance(given, dict):
        raise OutputsInvalid("The executor output's 'parameterValues' is not an object.")
    parameters = {name: _parameter(name, ParameterType(type), given, read) for name, type in order.output_parameters.items()}
    changed = written.get("artifacts", {})
    if not isinstance(changed, dict):
        raise OutputsInvalid("The executor output's 'artifacts' is not an object.")
    artifacts = {name: [_artifact(order, name, changed.get(name), canonical)] for name in order.output_artifacts}
    return Values(parameters, artifacts)


def _executor_output(text: bytes | None) -> dict[str, Json]:
    if text is None or not text.strip():
        return {}
    if len(text) > EXECUTOR_OUTPUT_LIMIT:
        raise OutputsInvalid(
            f"The executor output is larger than {EXECUTOR_OUTPUT_LIMIT // 2**20} MiB. Write large results to an artifact."
        )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OutputsInvalid(f"The executor output is no JSON: {error}.") from None
    return _known(value, _EXECUTOR_OUTPUT, "The executor output")


def _known(value: Json, fields: Mapping[str, str], what: str) -> dict[str, Json]:
    """An object by its fields' camelCase names; an unknown field is an error, as in KFP."""
    if not isinstance(value, dict):
        raise OutputsInvalid(f"{what} is {kind_of(value)}; it must be an object.")
    unknown = sorted(name for name in value if name not in fields)
    if unknown:
        raise OutputsInvalid(f"{what} has an unknown field '{unknown[0][:100]}'.")
    return {fields[name]: item for name, item in value.items() if item is not None}


# --- parameters -----------------------------------------------------------------------------------------------------


def _parameter(name: str, type: ParameterType, given: Mapping[str, Json], read: Callable[[str], bytes | None]) -> Json:
    if name in given:
        return _given(name, type, given[name])
    content = read(name)
    if content is None:
        raise OutputsInvalid(
            f"The output '{name}' was not written: the step ended well, but left neither a file nor a value for it."
        )
    _measure(name, len(content))
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise OutputsInvalid(f"The output '{name}' is not text in UTF-8.") from None
    return _parse(name, type, text)


def _measure(name: str, size: int) -> None:
    if size > PARAMETER_LIMIT:
        raise OutputsInvalid(
            f"The output '{name}' is larger than {PARAMETER_LIMIT // 2**20} MiB, the most that a parameter may have. "
            "Make it an artifact."
        )


def _given(name: str, type: ParameterType, value: Json) -> Json:
    """A value of the executor output. A STRING takes any value as its text, as it does for consumers in KFP."""
    if problem := unstorable(value):
        if problem == TOO_LARGE:
            problem = "It holds an infinite number, NaN, or a number beyond 1.8e308, which cannot be carried on."
        raise OutputsInvalid(f"The output '{name}' cannot be kept. {problem}")
    if type is ParameterType.STRING:
        value = to_text(value)
    elif not fits(type, value):
        raise OutputsInvalid(f"The output '{name}' is declared {type} and got {kind_of(value)}: {_excerpt(value)}.")
    _measure(name, len(value.encode(errors="surrogatepass")) if isinstance(value, str) else len(json.dumps(value)))
    return normalise(value)


def _parse(name: str, type: ParameterType, text: str) -> Json:
    """The content of an output file by its declared type."""
    if type is ParameterType.STRING:
        return _given(name, type, text)
    try:
        if type is ParameterType.NUMBER_INTEGER:
            return _integer(text.strip())
        if type is ParameterType.NUMBER_DOUBLE:
            return _given(name, type, float(text.strip()))
        if type is ParameterType.BOOLEAN:
            return _boolean(text.strip())
        value = json.loads(text)
    except OutputsInvalid:
        raise
    except (ValueError, RecursionError):
        raise OutputsInvalid(
            f"The output '{name}' is declared {type}, and its file does not hold that: {_excerpt(text)}."
        ) from None
    return _given(name, type, value)


def _integer(text: str) -> int:
    sign = text[1:] if text[:1] in ("-", "+") else text
    if not (sign.isascii() and sign.isdigit()) or len(sign) > 4000:
        raise ValueError(text)
    return int(text)


def _boolean(text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise ValueError(text)
    return text in _TRUE


def _excerpt(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text[:80] + "…") if len(text) > 80 else repr(text)


# --- artifacts ------------------------------------------------------------------------------------------------------


def _artifact(order: AttemptOrder, name: str, listed: Json, canonical: Callable[[str], str]) -> ArtifactValue:
    """The predefined artifact with what the step changed: URI, metadata (merged), custom path. Name and type stay."""
    predefined = order.executor_input["outputs"]["artifacts"][name]["artifacts"][0]
    type = predefined.get("type", {})
    value = ArtifactValue(
        id=0,
        name=name,
        uri=predefined["uri"],
        type=type.get("schemaTitle", order.output_artifacts[name]),
        schema_version=type.get("schemaVersion", "0.0.1"),
        metadata=dict(predefined.get("metadata") or {}),
        custom_path="",
    )
    changes = _first(name, listed)
    if uri := _text(name, "uri", changes):
        _change_location(value, canonical(uri), order)
    if custom := _text(name, "customPath", changes):
        value["custom_path"] = _custom_path(name, custom)
    if value["custom_path"] and value["uri"] != predefined["uri"] and value["uri"] in _input_uris(order):
        raise OutputsInvalid(f"The output '{name}' is one of the step's inputs and has a custom path too; an input is not written.")
    metadata = changes.get("metadata", {})
    if not isinstance(metadata, dict):
        raise OutputsInvalid(f"The metadata of the output '{name}' is {kind_of(metadata)}; it must be an object.")
    value["metadata"] |= _storable(metadata)
    if len(json.dumps(value["metadata"])) > METADATA_LIMIT:
        raise OutputsInvalid(
            f"The metadata of the output '{name}' is larger than {METADATA_LIMIT // 2**20} MiB. Write it to the artifact's file."
        )
    return value


def _first(name: str, listed: Json) -> dict[str, Json]:
    if listed is None:
        return {}
    what = f"The executor output's artifact '{name}'"
    members = _known(listed, _ARTIFACT_LIST, what).get("artifacts", [])
    if not isinstance(members, list):
        raise OutputsInvalid(f"{what} has no list of artifacts.")
    return _known(members[0], _ARTIFACT, what) if members else {}


def _text(name: str, field: str, changes: Mapping[str, Json]) -> str:
    value = changes.get(field, "")
    if not isinstance(value, str):
        raise OutputsInvalid(f"The '{field}' of the output '{name}' is {kind_of(value)}; it must be a string.")
    if problem := unstorable(value):
        raise OutputsInvalid(f"The {_WORDS[field]} of the output '{name}' cannot be taken. {problem}")
    return value


def _input_uris(order: AttemptOrder) -> set[str]:
    listed = order.executor_input.get("inputs", {}).get("artifacts", {}).values()
    return {artifact.get("uri", "") for members in listed for artifact in members.get("artifacts", [])}


def _change_location(value: ArtifactValue, location: str, order: AttemptOrder) -> None:
    """Takes a URI that the step chose. A plain path is where the content lies, not where it is to stay."""
    name = value["name"]
    if location.startswith("/"):
        value["custom_path"] = _custom_path(name, location)
        return
    scheme, separator, rest = location.partition("://")
    if not separator:
        raise OutputsInvalid(
            f"The output '{name}' has {_excerpt(location)} as its location, which is neither a URI nor an absolute path."
        )
    if scheme in _STORED_SCHEMES and location != value["uri"] and location not in _input_uris(order):
        root = _run_root(value["uri"])
        if ".." in rest.split("/") or not location.startswith(root + "/"):
            raise OutputsInvalid(
                f"The output '{name}' was given the location {_excerpt(location)}; it must lie under the run's own, {root}."
            )
    value["uri"] = location


def _run_root(uri: str) -> str:
    """`<pipeline root>` of `<pipeline root>/<task key>/<uuid>/<name>`."""
    return uri.rsplit("/", 3)[0]


def _custom_path(name: str, path: str) -> str:
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise OutputsInvalid(f"The custom path of the output '{name}' must be absolute and without '..': {_excerpt(path)}.")
    return path


def _storable(value: Json, depth: int = 1) -> Json:
    """JSON that every database takes: numbers that are none (a ROC curve's first threshold) by protobuf's names."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list | dict):
        if depth >= MAX_DEPTH:
            raise OutputsInvalid(f"The metadata of an output is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(value, list):
            return [_storable(item, depth + 1) for item in value]
        return {storable_text(key): _storable(item, depth + 1) for key, item in value.items()}
    return str(value) if unstorable(value) else normalise(value)
