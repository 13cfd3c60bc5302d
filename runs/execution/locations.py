"""Where an artifact lies: its URI, its path inside a container, its path on a machine without containers.

kfdash's own store is `minio://kfdash/…`, which the SDK understands. On the local executor that is the folder `kfdash` in
the artifacts folder, and a step sees plain absolute paths; everything that crosses has canonical URIs.
"""

from __future__ import annotations

import contextlib
import copy
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.spec.values import WORKSPACE_PATH

Json = Any

STORE = "minio://kfdash/"
STORE_FOLDER = "kfdash"
PARAMETERS_FOLDER = "/tmp/kfp/outputs"  # where a container writes its output parameters
OUTPUT_FILE = "output_metadata.json"
FALLBACK_OUTPUT_FILE = f"/tmp/kfp_outputs/{OUTPUT_FILE}"
IN_WORKSPACE = "_kfp_workspace"  # the metadata key that says an artifact lies in the run's workspace

_MOUNTS = {"gs": "/gcs", "minio": "/minio", "s3": "/s3"}
_FETCHED = ("s3://", "gs://", "az://", "minio://", "http://", "https://")
_WORKSPACE_START = re.compile(re.escape(WORKSPACE_PATH) + r"(?![\w-])")


class UnsafeLocation(ValueError):
    """A URI or path that leads outside of where it may lead. The message is for people."""


def safe_segments(rest: str, whole: str) -> str:
    """The part after a bucket or folder, without a slash at its end; no segment may be empty, `.` or `..`."""
    rest = rest.rstrip("/")
    if "\0" in rest or any(segment in ("", ".", "..") for segment in rest.split("/")):
        raise UnsafeLocation(f"The location {whole!r} is not allowed: it has empty segments, '.' or '..' in it.")
    return rest


def container_path(uri: str) -> str | None:
    """Where the SDK looks for an artifact in a container; None for a scheme without a place there."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri if uri.startswith("/") else None
    if scheme == "oci":
        return f"/oci/{safe_segments(rest, uri).replace('/', '_')}/models"
    mount = _MOUNTS.get(scheme)
    return f"{mount}/{safe_segments(rest, uri)}" if mount else None


def artifact_path(artifact: Mapping[str, Json], locate: Callable[[str], str | None]) -> str:
    """The path of an ExecutorInput's artifact; `locate` gives a URI's. Empty where it has none."""
    custom: str = artifact.get("customPath") or ""
    if custom:
        return custom
    path = locate(artifact.get("uri") or "") or ""
    if path and (artifact.get("metadata") or {}).get(IN_WORKSPACE) is True:
        return f"{WORKSPACE_PATH}/.artifacts/{path.lstrip('/')}"
    return path


# --- in a container -------------------------------------------------------------------------------------------------


def in_container(executor_input: Mapping[str, Json]) -> dict[str, Json]:
    """An ExecutorInput as a step sees it in its container: what lies in kfdash's own store has plain paths for URIs.

    So it is without containers, too: code that opens what it is given runs on either, and nobody could reach that store by
    its URIs. Inputs lie where their URI says, whatever custom path their maker wrote to. Raises UnsafeLocation.
    """
    found: dict[str, Json] = copy.deepcopy(dict(executor_input))
    for artifact in _artifacts(found.get("inputs", {})):
        if artifact.get("uri", "").startswith(_FETCHED):
            artifact.pop("customPath", None)
    for artifact in [*_artifacts(found.get("inputs", {})), *_artifacts(found.get("outputs", {}))]:
        in_workspace = (artifact.get("metadata") or {}).get(IN_WORKSPACE) is True
        if artifact.get("uri", "").startswith(STORE) and not in_workspace:
            artifact["uri"] = container_path(artifact["uri"]) or artifact["uri"]
    return found


def used_paths(executor_input: Mapping[str, Json]) -> list[str]:
    """Where an ExecutorInput has a step read and write in its container. What lies nowhere is left out."""
    inputs, outputs = executor_input.get("inputs", {}), executor_input.get("outputs", {})
    found = [str(parameter.get("outputFile") or "") for parameter in outputs.get("parameters", {}).values()]
    found.append(str(outputs.get("outputFile") or ""))
    for artifact in [*_artifacts(inputs), *_artifacts(outputs)]:
        with contextlib.suppress(UnsafeLocation):  # its launcher says so
            found.append(artifact_path({**artifact, "customPath": ""}, container_path))
    return [path for path in found if path]


def out_of_container(location: str) -> str:
    """The URI of what a step wrote in its container to the place of kfdash's store; other locations as they are."""
    return canonical_uri(location, _MOUNTS["minio"])


# --- without containers ---------------------------------------------------------------------------------------------


def local_path(uri: str, artifacts_dir: str) -> str:
    """The path of something in kfdash's store. Raises UnsafeLocation for other stores and for what climbs out."""
    if not uri.startswith(STORE):
        raise UnsafeLocation(f"{uri!r} does not lie in kfdash's store ({STORE}…).")
    return f"{artifacts_dir.rstrip('/')}/{STORE_FOLDER}/{safe_segments(uri[len(STORE) :], uri)}"


def canonical_uri(location: str, artifacts_dir: str) -> str:
    """The URI of a path in the artifacts folder; whatever else it is given it gives back.

    `..` in a path is followed before looking where it leads.
    """
    if not location.startswith("/"):
        return location
    folder = f"{artifacts_dir.rstrip('/')}/{STORE_FOLDER}/"
    path = posixpath.normpath(location)
    return STORE + path[len(folder) :] if path.startswith(folder) else location


def localise(
    executor_input: Mapping[str, Json],
    artifacts_dir: str,
    *,
    outputs_dir: str,
    workspace_dir: str = "",
    fetched: Mapping[str, str] | None = None,
) -> dict[str, Json]:
    """An ExecutorInput with plain absolute paths, for a process on this machine.

    `outputs_dir` is the attempt's own folder for output parameters, `workspace_dir` the run's workspace, where it has one.
    `fetched` tells where inputs of other stores were put (URI → path); they keep their URI and get that custom path.
    Raises UnsafeLocation, also for outputs that would lie in another store.
    """
    found: dict[str, Json] = copy.deepcopy(dict(executor_input))
    inputs, outputs = found.get("inputs", {}), found.get("outputs", {})
    if workspace_dir and "parameterValues" in inputs:
        inputs["parameterValues"] = workspace_moved(inputs["parameterValues"], workspace_dir)
    for artifact in _artifacts(inputs):
        _localise_input(artifact, artifacts_dir, workspace_dir, fetched or {})
    for artifact in _artifacts(outputs):
        artifact["uri"] = local_path(artifact["uri"], artifacts_dir)
    for parameter in outputs.get("parameters", {}).values():
        parameter["outputFile"] = f"{outputs_dir}/{posixpath.basename(parameter['outputFile'])}"
    if "outputFile" in outputs:
        outputs["outputFile"] = _local_output_file(outputs["outputFile"], artifacts_dir)
    return found


def _localise_input(artifact: dict[str, Json], artifacts_dir: str, workspace_dir: str, fetched: Mapping[str, str]) -> None:
    uri = artifact.get("uri", "")
    if (artifact.get("metadata") or {}).get(IN_WORKSPACE) is True and workspace_dir:
        artifact["customPath"] = _workspace_path(uri, workspace_dir)
        # The SDK would look under /kfp-workspace, whatever the custom path says.
        artifact["metadata"] = {key: value for key, value in artifact["metadata"].items() if key != IN_WORKSPACE}
    elif uri in fetched:
        artifact["customPath"] = fetched[uri]
    elif uri.startswith(STORE):
        artifact["uri"] = local_path(uri, artifacts_dir)
        artifact.pop("customPath", None)  # the content lies in the store; the custom path was its maker's


def inputs_elsewhere(executor_input: Mapping[str, Json]) -> tuple[str, ...]:
    """URIs of input artifacts in other stores, which must be fetched before the step runs; for `fetched` of `localise`."""
    uris = [
        artifact.get("uri", "")
        for artifact in _artifacts(executor_input.get("inputs", {}))
        if (artifact.get("metadata") or {}).get(IN_WORKSPACE) is not True
    ]
    return tuple(dict.fromkeys(uri for uri in uris if uri.startswith(_FETCHED) and not uri.startswith(STORE)))


def inputs_in_workspace(executor_input: Mapping[str, Json], workspace_dir: str) -> dict[str, str]:
    """URI → path of input artifacts that must lie in the run's workspace; one that is not there yet is fetched to it."""
    return {
        artifact["uri"]: _workspace_path(artifact["uri"], workspace_dir)
        for artifact in _artifacts(executor_input.get("inputs", {}))
        if (artifact.get("metadata") or {}).get(IN_WORKSPACE) is True
    }


def _workspace_path(uri: str, workspace_dir: str) -> str:
    inside = (container_path(uri) or f"/{uri.replace('://', '/')}").lstrip("/")
    return f"{workspace_dir}/.artifacts/{safe_segments(inside, uri)}"


def _local_output_file(path: str, artifacts_dir: str) -> str:
    inside = f"{_MOUNTS['minio']}/{STORE_FOLDER}/"
    if not path.startswith(inside):
        raise UnsafeLocation(
            f"The run's pipeline root leads outside of kfdash's store ({STORE}…), where the local executor cannot write. "
            "Launch without a pipeline root."
        )
    return local_path(STORE + path[len(inside) :], artifacts_dir)


def _artifacts(section: Mapping[str, Json]) -> list[dict[str, Json]]:
    return [artifact for listed in section.get("artifacts", {}).values() for artifact in listed.get("artifacts", [])]


def workspace_moved(value: Json, folder: str, *, back: bool = False) -> Json:
    """The value with `/kfp-workspace` at the head of paths in its strings replaced by `folder`, or `back` again."""
    if isinstance(value, str):
        if back:
            return re.sub(re.escape(folder) + r"(?![\w-])", lambda _: WORKSPACE_PATH, value)
        return _WORKSPACE_START.sub(lambda _: folder, value)
    if isinstance(value, list | tuple):
        return [workspace_moved(item, folder, back=back) for item in value]
    if isinstance(value, dict):
        return {key: workspace_moved(item, folder, back=back) for key, item in value.items()}
    return value
