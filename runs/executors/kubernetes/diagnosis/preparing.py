"""Pods that have a node and do not run yet: images, settings of containers, the sandbox."""

from __future__ import annotations

import re

from runs.executors.kubernetes.diagnosis import ending, images
from runs.executors.kubernetes.diagnosis.podview import LAUNCHER, MAIN, ContainerView, PodView
from runs.executors.kubernetes.diagnosis.verdict import Cause, Diagnosis, fails, tells, waits
from runs.executors.kubernetes.diagnosis.wording import plain

_MISSING = re.compile(r'\b(secret|configmap) "([^"]+)" not found')
_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) (?:[^/\s]+/)?(\S+)")
_NOUNS = {"secret": "secret", "configmap": "config map", "Secret": "secret", "ConfigMap": "config map"}
_RUNTIME = re.compile(r'no runtime for "?([^"\s]+)"? is configured')


def look(pod: PodView) -> Diagnosis | None:
    """What keeps a container from being created; None where nothing does."""
    for container in pod.containers:
        if container.waiting in ("", "PodInitializing", "ContainerCreating"):
            continue
        if (found := images.look(pod, container) or _settings(pod, container) or _start(container)) is not None:
            return found
    if pod.node and not any(container.running or container.ended for container in pod.containers):
        return _sandbox(pod)
    return None


def missing(kind: str, name: str, namespace: str, what_for: str = "") -> Diagnosis:
    """That an object is not there: the step goes on when it is."""
    said = f"No such {kind}: {name} does not exist in namespace {namespace}{what_for}. Create it, and the step goes on by itself."
    return waits(said, Cause.MISSING)


def missing_key(kind: str, name: str, key: str) -> Diagnosis:
    """That an object lacks a key."""
    return waits(f"No such key: the {kind} {name} has no {key}. Add it, and the step goes on by itself.", Cause.MISSING)


def _settings(pod: PodView, container: ContainerView) -> Diagnosis | None:
    if container.waiting != "CreateContainerConfigError":
        return None
    message = container.message
    if (match := _MISSING.search(message)) is not None:
        return missing(_NOUNS[match[1]], match[2], pod.namespace)
    if (match := _KEY.search(message)) is not None:
        return missing_key(_NOUNS[match[2]], match[3], match[1])
    if "runAsNonRoot" in message:
        return _root(container, message)
    if "subPath" in message:
        said = f"Volume not mountable: {plain(message)}. Check that the sub-path exists in the volume and is a folder or file."
        return waits(said, Cause.VOLUME)
    return waits(f"Container {container.name} cannot be created: {plain(message)}.", Cause.CONTAINER)


def _root(container: ContainerView, message: str) -> Diagnosis:
    image = container.image
    if "non-numeric user" in message:
        user = re.search(r"non-numeric user \(([^)]*)\)", message)
        named = f" ({user[1]})" if user else ""
        said = f"User not known: the step must not run as root, and {image} names its user by a word{named}, not by a number."
        return fails(f"{said} Set runAsUser on the step, or USER in the image to a number.", Cause.CONTAINER, retryable=False)
    said = f"Would run as root: the step must not (runAsNonRoot), and the image {image} has no other user."
    return fails(f"{said} Set runAsUser on the step, or USER in the image.", Cause.CONTAINER, retryable=False)


def _start(container: ContainerView) -> Diagnosis | None:
    if container.waiting not in ("CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError"):
        return None
    if container.name == LAUNCHER:
        return waits(f"kfdash's launcher cannot be started: {plain(container.message)}.", Cause.LAUNCHER)
    if "no command specified" in container.message:
        said = f"No command: neither the step nor its image {container.image} says what to run. Give the step a command."
        return fails(said, Cause.CONTAINER, retryable=False)
    return ending.not_started(container.message, container)


def _sandbox(pod: PodView) -> Diagnosis | None:
    """What keeps the pod's own frame (network, runtime) from being made."""
    newest = pod.newest("FailedCreatePodSandBox", "FailedMount", "FailedAttachVolume", "Pulling", "Pulled", "NetworkNotReady")
    if newest is None or newest.get("reason") not in ("FailedCreatePodSandBox", "NetworkNotReady"):
        return None
    message = str(newest.get("message", ""))
    if (match := _RUNTIME.search(message)) is not None:
        runtime_class = pod.spec.get("runtimeClassName")
        said = (
            f"Runtime missing: {pod.node} has no container runtime '{match[1]}', which the runtime class {runtime_class} asks for."
        )
        return waits(f"{said} Choose nodes that have it, or drop the class.", Cause.NODE)
    why = plain(message.removeprefix("Failed to create pod sandbox: "))
    return waits(f"Pod cannot be made: {pod.node} says {why}. It tries again; look at the node's network and runtime.", Cause.NODE)


def under_way(pod: PodView) -> Diagnosis | None:
    """What is going on in a pod that is being prepared, without any trouble."""
    if pod.phase != "Pending" or not pod.node:
        return None
    for container in pod.containers:
        if container.is_init and not container.is_sidecar and container.running:
            return tells(f"Init container {container.name} is running.")
        if container.running or container.ended or not container.image:
            continue
        image = container.image
        event = next((one for one in reversed(pod.events) if _about(one, image)), None)
        if event is not None and event.get("reason") == "Pulling":
            whose = "" if container.name == MAIN else " of the launcher" if container.name == LAUNCHER else f" of {container.name}"
            return tells(f"Pulling the image {image}{whose}.")
    return None


def _about(event: object, image: str) -> bool:
    """Whether an event tells of a pull of the image."""
    if not isinstance(event, dict) or event.get("reason") not in ("Pulling", "Pulled"):
        return False
    return f'"{image}"' in str(event.get("message", ""))
