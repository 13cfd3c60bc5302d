"""Volume claims that a pipeline makes and deletes: from a task's inputs to the manifest, or to the name.

The meaning of the inputs is that of §9 of the runtime reference: `createpvc` and `deletepvc` are carried out, not run.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from pipelines.spec.values import kind_of
from runs.execution.platform import InvalidOrder

Json = Any

MADE_BY = "kfdash.dev/attempt"  # the label that says which attempt made a claim
_STANDARD_CLASS = "standard"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_SPACE = uuid.UUID("8f0f0d43-5d0c-5bb5-9f0a-6f6e6a6f2d1b")


def claim_manifest(parameters: Mapping[str, Json], *, attempt: str, run_id: str) -> dict[str, Json]:
    """The PersistentVolumeClaim of a `createpvc` task, without a namespace. The same attempt always gives the same name.

    Raises InvalidOrder with a sentence for inputs that make none.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    spec: dict[str, Json] = {
        "accessModes": _access_modes(given),
        "resources": {"requests": {"storage": _text(given, "size", needed=True)}},
        "storageClassName": _text(given, "storage_class_name") if "storage_class_name" in given else _STANDARD_CLASS,
    }
    if volume := _text(given, "volume_name"):
        spec["volumeName"] = volume
    if source := _object(given, "data_source"):
        spec["dataSource"] = source
    metadata: dict[str, Json] = {
        "name": _new_name(given, attempt),
        "labels": {"app.kubernetes.io/managed-by": "kfdash", "kfdash.dev/run": run_id, MADE_BY: attempt},
    }
    if annotations := _object(given, "annotations"):
        metadata["annotations"] = {key: str(value) for key, value in annotations.items()}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def claim_to_delete(parameters: Mapping[str, Json]) -> str:
    """The name of the claim that a `deletepvc` task deletes. Raises InvalidOrder."""
    return _checked(_text(parameters, "pvc_name", needed=True))


def _new_name(given: Mapping[str, Json], attempt: str) -> str:
    name, suffix = _text(given, "pvc_name"), _text(given, "pvc_name_suffix")
    if name and suffix:
        raise InvalidOrder("A claim gets its name from 'pvc_name' or 'pvc_name_suffix', and both are given. Leave one out.")
    return _checked(name or f"{uuid.uuid5(_SPACE, attempt)}{suffix}")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidOrder(
            f"{name[:100]!r} cannot be the name of a volume claim: it may have lower-case letters, digits, '-' and '.', "
            "at most 253 characters, and begins and ends with a letter or a digit."
        )
    return name


def _access_modes(given: Mapping[str, Json]) -> list[str]:
    modes = given.get("access_modes")
    if not isinstance(modes, list) or not modes or not all(isinstance(mode, str) for mode in modes):
        raise InvalidOrder("A claim needs 'access_modes', a list such as ['ReadWriteOnce'].")
    return list(modes)


def _text(given: Mapping[str, Json], name: str, *, needed: bool = False) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise InvalidOrder(f"The claim's '{name}' is {kind_of(value)}; it must be a text.")
    if needed and not value:
        raise InvalidOrder(f"The claim's '{name}' is missing.")
    return value


def _object(given: Mapping[str, Json], name: str) -> dict[str, Json]:
    value = given.get(name, {})
    if not isinstance(value, dict):
        raise InvalidOrder(f"The claim's '{name}' is {kind_of(value)}; it must be an object.")
    return value
