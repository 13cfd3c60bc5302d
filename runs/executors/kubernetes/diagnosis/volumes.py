"""Why a volume cannot be attached or mounted: only the events tell."""

from __future__ import annotations

import re

from runs.executors.kubernetes.diagnosis.podview import PodView, listed, mapping, text
from runs.executors.kubernetes.diagnosis.preparing import missing, missing_key
from runs.executors.kubernetes.diagnosis.verdict import Cause, Diagnosis, waits
from runs.executors.kubernetes.diagnosis.wording import plain

_VOLUME = re.compile(r'for volume "([^"]+)"')
_MISSING = re.compile(r'\b(secret|configmap|persistentvolumeclaim) "([^"]+)" not found')
_KEY = re.compile(r"references non-existent (secret|config) key: (\S+)")
_DRIVER = re.compile(r"driver name (\S+) not found in the list of registered CSI drivers")
_OUTPUT = re.compile(r"Output: (.*?)(?:\n|$)")
_NOUNS = {"secret": "secret", "configmap": "config map", "config": "config map", "persistentvolumeclaim": "claim"}
_MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume", "VolumeResizeFailed")


def look(pod: PodView) -> Diagnosis | None:
    """What keeps the pod's volumes from being there, None where they are or nothing is told."""
    if not pod.node or any(container.running or container.ended for container in pod.containers):
        return None
    for event in reversed(pod.events):
        if event.get("reason") in _MOUNT_EVENTS and (found := _told(pod, text(event.get("message")))) is not None:
            return found
    return None


def _told(pod: PodView, message: str) -> Diagnosis | None:
    match = _VOLUME.search(message)
    volume = match[1] if match else ""
    if (match := _MISSING.search(message)) is not None:
        return missing(_NOUNS[match[1]], match[2], pod.namespace)
    if (match := _KEY.search(message)) is not None:
        kind = _NOUNS[match[1]]
        return missing_key(kind, _source(pod, volume), match[2])
    if (match := _DRIVER.search(message)) is not None:
        said = f"Volume not mountable: {pod.node} has no storage driver {match[1]}, which volume {volume} needs."
        return waits(f"{said} Install it, or choose nodes that have it.", Cause.VOLUME)
    if "Multi-Attach" in message:
        said = f"Volume in use: {volume} is attached to another node, and can be on one only. It is mounted when it is free there."
        return waits(said, Cause.VOLUME)
    if message.startswith("Unable to attach or mount volumes"):  # says only that it took long: an earlier event says why
        return None
    output = _OUTPUT.search(message)
    why = plain(output[1] if output else message.partition(" : ")[2] or message)
    why = why.removeprefix("mount: ").removeprefix(f"{volume}: ")
    return waits(f"Volume not mountable: {volume or 'a volume'} on {pod.node}: {why}. The cluster tries again.", Cause.VOLUME)


def _source(pod: PodView, volume: str) -> str:
    """The name of the secret or config map behind a volume."""
    for one in listed(pod.spec.get("volumes")):
        if one.get("name") == volume:
            secret, config_map = mapping(one.get("secret")), mapping(one.get("configMap"))
            return text(secret.get("secretName")) or text(config_map.get("name")) or volume
    return volume
