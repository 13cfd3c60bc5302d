"""What an importer gives: an artifact that exists already, registered. Nothing is copied and nothing is looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.spec.model import ComponentSpec, ImporterSpec
from pipelines.spec.values import expand, kind_of, to_text
from runs.engine.model import ArtifactValue, Values
from runs.execution.collect import METADATA_LIMIT
from runs.execution.locations import IN_WORKSPACE, UnsafeLocation, canonical_uri, safe_segments

Json = Any

_SCHEMES = ("gs", "s3", "minio", "az", "http", "https", "oci", "mem")
_OCI_TYPE = "system.Model"


class ImportRefused(ValueError):
    """The artifact cannot be imported. The message is for people."""


def imported(
    importer: ImporterSpec,
    component: ComponentSpec,
    inputs: Values,
    constants: Mapping[str, str],
    *,
    artifacts_dir: str = "",
) -> tuple[str, ArtifactValue]:
    """The output's name, and the artifact with id 0.

    `constants` are the placeholders that run and task give (whole placeholder → text). `artifacts_dir` is the folder of the
    local executor's artifacts: a path in it, as a local step sees its artifacts, becomes its URI. Raises ImportRefused.
    """
    parameters = dict(inputs.parameters)
    for key, definition in component.input_parameters.items():
        if parameters.get(key) is None and definition.has_default:
            parameters[key] = definition.default

    def text_of(name: str) -> str | None:
        return to_text(parameters[name]) if name in parameters else None

    uri = _uri(importer, parameters, constants)
    if artifacts_dir:
        uri = canonical_uri(uri, artifacts_dir)
    _check(uri, importer)
    metadata: dict[str, Json] = expand(dict(importer.metadata), constants, text_of)
    if importer.download_to_workspace:
        metadata[IN_WORKSPACE] = True
    if len(json.dumps(metadata)) > METADATA_LIMIT:
        raise ImportRefused(f"The metadata of the imported artifact is larger than {METADATA_LIMIT // 2**20} MiB.")
    name = next(iter(component.output_artifacts), "artifact")
    value = ArtifactValue(
        id=0,
        name=name,
        uri=uri,
        type=importer.type.title,
        schema_version=importer.type.version,
        metadata=metadata,
        custom_path="",
    )
    return name, value


def _uri(importer: ImporterSpec, parameters: Mapping[str, Json], constants: Mapping[str, str]) -> str:
    if not importer.uri_input:
        found = expand(importer.uri, constants, lambda name: to_text(parameters[name]) if name in parameters else None)
        return str(found)
    value = parameters.get(importer.uri_input)
    if not isinstance(value, str) or not value.strip():
        got = "nothing" if value is None else "an empty text" if isinstance(value, str) else kind_of(value)
        raise ImportRefused(f"The importer's address comes from its input '{importer.uri_input}', which holds {got}.")
    return value.strip()


def _check(uri: str, importer: ImporterSpec) -> None:
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in _SCHEMES or not rest:
        known = ", ".join(f"{name}://" for name in _SCHEMES if name != "mem")
        raise ImportRefused(f"The address {uri[:200]!r} cannot be imported; addresses begin with one of {known}.")
    if scheme == "oci":
        if importer.type.title != _OCI_TYPE:
            raise ImportRefused(f"{uri[:200]} is a container image, which can be imported as {_OCI_TYPE} only.")
        if importer.download_to_workspace:
            raise ImportRefused(f"{uri[:200]} is a container image, which cannot be downloaded to the workspace.")
    elif scheme not in ("http", "https", "mem"):
        try:
            safe_segments(rest, uri)
        except UnsafeLocation as error:
            raise ImportRefused(str(error)) from None
