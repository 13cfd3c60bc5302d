"""The volumes of a step's pod, and where its containers mount them. Whatever the cluster would refuse is refused here, in words."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.spec.values import WORKSPACE_PATH
from runs.execution.platform import InvalidOrder
from runs.launcher.mail import ADDRESSES

Json = Any

SHARED = "/kfdash"  # what launcher and entry have in common
_SCRATCH = {  # shared with the launcher: where steps find inputs and leave outputs
    "kfp-tmp": "/tmp/kfp",
    "kfp-outputs": "/tmp/kfp_outputs",
    "kfp-minio": "/minio",
    "kfp-gcs": "/gcs",
    "kfp-s3": "/s3",
}
_HOMES = {"kfp-local": "/.local", "kfp-cache": "/.cache", "kfp-config": "/.config"}  # for users without a home
_ADDRESSES, _ADDRESSES_FOLDER = "kfdash-addresses", posixpath.dirname(ADDRESSES)
_PRIVATE = (SHARED, _ADDRESSES_FOLDER)  # nothing of the user's is at these, or below
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


class Volumes:
    """Volumes with names that a pod may have, and the mounts of one container.

    `names` tells which volume the platform document's name stands for, for containers that mount it by that name.
    """

    def __init__(self) -> None:
        self.volumes: dict[str, dict[str, Json]] = {}
        self.mounts: list[dict[str, Json]] = []
        self.names: dict[str, str] = {}
        self.reserved: list[str] = []
        self._paths: dict[str, str] = {}

    def add(self, wanted: str, source: Mapping[str, Json]) -> str:
        """A volume with this source, under its wanted name or one like it; the same again is the same volume."""
        base = _NOT_IN_NAMES.sub("-", wanted.lower()).strip("-")[:50].strip("-") or "volume"
        name, number = base, 1
        while name in self.volumes and self.volumes[name] != {"name": name, **source}:
            number += 1
            name = f"{base}-{number}"
        self.volumes[name] = {"name": name, **source}
        self.names.setdefault(wanted, name)
        return name

    def reserve(self, path: str, what: str) -> None:
        """Keeps a path free for a folder of the container's own; `what` tells a person for what."""
        self._paths[path] = what
        self.reserved.append(path)

    def mount(self, name: str, path: str, *, what: str, sub_path: str = "", read_only: bool = False) -> None:
        """Mounts a volume; `what` tells a person what it is. Raises InvalidOrder for a path that cannot be, or is taken."""
        path = mount_path(path, what)
        if path in self._paths:
            raise InvalidOrder(f"The step mounts {what} at {path!r}, where it has {self._paths[path]} already.")
        self._paths[path] = what
        mount: dict[str, Json] = {"name": name, "mountPath": path}
        if sub_path:
            mount["subPath"] = _sub_path(sub_path, what)
        if read_only:
            mount["readOnly"] = True
        self.mounts.append(mount)


def mount_path(path: str, what: str) -> str:
    """A path in a container where something may be mounted, without a slash at its end."""
    clean = posixpath.normpath(path) if path else ""
    if not clean.startswith("/") or clean.strip("/") == "" or ":" in clean or ".." in path.split("/"):
        raise InvalidOrder(
            f"The step cannot mount {what} at {path!r}: it must be an absolute path below '/', without ':' and '..' in it."
        )
    return clean


def _sub_path(path: str, what: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise InvalidOrder(f"The path {path!r} within {what} must be relative, without '..' in it.")
    return path


def has_own_name(name: str) -> bool:
    """Whether a volume is called as those are that kfdash adds to pods."""
    return name.startswith(("kfdash", "kfp-"))


def has_own_path(path: str) -> bool:
    """Whether a volume of kfdash is mounted at this path, which `mount_path` gave."""
    if any(path == private or path.startswith(f"{private}/") for private in _PRIVATE):
        return True
    return path in (*_SCRATCH.values(), *_HOMES.values(), WORKSPACE_PATH)


def launcher_mounts(volumes: Volumes, *, workspace: bool) -> list[dict[str, Json]]:
    """What the launcher sees: all that it shares with the step, and its addresses where it has some."""
    mounts: list[dict[str, Json]] = [{"name": "kfdash", "mountPath": SHARED}]
    mounts += [{"name": name, "mountPath": path} for name, path in _SCRATCH.items() if name in volumes.volumes]
    if _ADDRESSES in volumes.volumes:
        mounts.append({"name": _ADDRESSES, "mountPath": _ADDRESSES_FOLDER, "readOnly": True})
    if workspace:
        mounts.append({"name": "kfp-workspace", "mountPath": WORKSPACE_PATH})
    return mounts


def add_own(volumes: Volumes, *, used: Iterable[str], can_make_folders: bool) -> None:
    """What every step under `entry` has: the volume shared with the launcher, and scratch space.

    Each volume makes each pod start later. Where the step `can_make_folders` itself, only those are volumes below which it
    has inputs and outputs, the paths in `used`: the launcher must see them, too.
    """
    volumes.mount(volumes.add("kfdash", {"emptyDir": {}}), SHARED, what="kfdash's own volume")
    paths = set(used)
    for name, path in {**_SCRATCH, **_HOMES}.items():
        if not can_make_folders or any(one.startswith(f"{path}/") for one in paths):
            volumes.mount(volumes.add(name, {"emptyDir": {}}), path, what="a volume that every step has")
        else:
            volumes.reserve(path, "a folder that every step has")


def add_addresses(volumes: Volumes, field: Mapping[str, Json]) -> None:
    """A file of the launcher with the annotation of the pod that `field` names, as it is at any time."""
    volumes.add(_ADDRESSES, {"downwardAPI": {"items": [{"path": posixpath.basename(ADDRESSES), "fieldRef": field}]}})


def add_workspace(volumes: Volumes, claim: str) -> None:
    """The run's workspace."""
    name = volumes.add("kfp-workspace", {"persistentVolumeClaim": {"claimName": claim}})
    volumes.mount(name, WORKSPACE_PATH, what="the run's workspace")


def add_wanted(volumes: Volumes, platform: Mapping[str, Json]) -> None:
    """All volumes that the platform document asks for. Raises InvalidOrder."""
    for entry in platform.get("pvcMount", ()):
        claim = entry.get("pvcName", "")
        name = volumes.add(claim, {"persistentVolumeClaim": {"claimName": claim}})
        volumes.mount(name, entry.get("mountPath", ""), what=f"the volume claim {claim!r}", sub_path=entry.get("subPath", ""))
    for setting, kind, member, inner, word in (
        ("secretAsVolume", "secret", "secretName", "secretName", "secret"),
        ("configMapAsVolume", "configMap", "configMapName", "name", "config map"),
    ):
        for entry in platform.get(setting, ()):
            named = entry.get(member, "")
            source = {inner: named, **({"optional": entry["optional"]} if "optional" in entry else {})}
            volumes.mount(volumes.add(named, {kind: source}), entry.get("mountPath", ""), what=f"the {word} {named!r}")
    for entry in platform.get("genericEphemeralVolume", ()):
        volumes.mount(_ephemeral(volumes, entry), entry.get("mountPath", ""), what=f"the ephemeral volume {entry['volumeName']!r}")
    for entry in platform.get("emptyDirMounts", ()):
        source = {key: entry[key] for key in ("medium", "sizeLimit") if entry.get(key)}
        name = _named(volumes, entry, {"emptyDir": source})
        volumes.mount(name, entry.get("mountPath", ""), what=f"the empty directory {entry['volumeName']!r}")
    if memory := platform.get("enabledSharedMemory"):
        source = {"medium": "Memory", **({"sizeLimit": memory["size"]} if memory.get("size") else {})}
        name = volumes.add(memory.get("volumeName") or "shm", {"emptyDir": source})
        volumes.mount(name, "/dev/shm", what="shared memory")


def _ephemeral(volumes: Volumes, entry: Mapping[str, Json]) -> str:
    spec: dict[str, Json] = {
        "accessModes": entry.get("accessModes") or ["ReadWriteOnce"],
        "resources": {"requests": {"storage": entry.get("size", "")}},
    }
    if not entry.get("defaultStorageClass") and entry.get("storageClassName"):
        spec["storageClassName"] = entry["storageClassName"]
    template: dict[str, Json] = {"spec": spec}
    if metadata := {key: entry["metadata"][key] for key in ("labels", "annotations") if entry.get("metadata", {}).get(key)}:
        template["metadata"] = metadata
    return _named(volumes, entry, {"ephemeral": {"volumeClaimTemplate": template}})


def _named(volumes: Volumes, entry: Mapping[str, Json], source: Mapping[str, Json]) -> str:
    """A volume whose name is the pipeline's own choice: two things under one name would be one too few."""
    wanted = entry.get("volumeName", "")
    if not wanted:
        raise InvalidOrder(f"A volume that is mounted at {entry.get('mountPath', '')!r} has no name.")
    if wanted in volumes.names and volumes.volumes[volumes.names[wanted]] != {"name": volumes.names[wanted], **source}:
        raise InvalidOrder(f"Two different volumes of the step are called {wanted!r}. Give one another name.")
    return volumes.add(wanted, source)
