"""Why an image cannot be had."""

from __future__ import annotations

import re

from runs.executors.kubernetes.diagnosis.podview import LAUNCHER, MAIN, ContainerView, PodView
from runs.executors.kubernetes.diagnosis.verdict import Cause, Diagnosis, fails, waits
from runs.executors.kubernetes.diagnosis.wording import plain

REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(?:: ErrImagePull)?(?:: )?')
_HUB = "docker.io"
_SECRETS = re.compile(r"pull secrets \(([^)]*)\)")

_WRONG_ARCHITECTURE = (
    "no match for platform",
    "no matching manifest for",
    "in manifest list for architecture",
    "image operating system",
    "exec format error",
)
_DENIED = (
    "unauthorized",
    "401 unauthorized",
    "authentication required",
    "no basic auth credentials",
    "failed to authorize",
    "insufficient_scope",
    "pull access denied",
    "access denied",
    "denied:",
    "403 forbidden",
    "authorization failed",
)
_TOO_MANY = ("toomanyrequests", "429 too many requests", "rate limit")
_CERTIFICATE = ("x509:", "tls: failed to verify", "http: server gave http response to https client")
_FULL = ("no space left on device",)
_NO_ANSWER = {
    "no such host": "its name is unknown to the node",
    "server misbehaving": "its name cannot be resolved on the node",
    "connection refused": "it refuses the connection",
    "i/o timeout": "it does not answer",
    "context deadline exceeded": "it does not answer",
    "network is unreachable": "the node has no way to it",
    "no route to host": "the node has no way to it",
    "connection reset": "it broke off the connection",
    "eof": "it broke off the connection",
    "500 internal server error": "it answers with an error of its own",
    "502 bad gateway": "it answers with an error of its own",
    "503 service unavailable": "it is not available now",
    "504 gateway timeout": "it does not answer",
}
_ABSENT = ("not found", "manifest unknown", "name unknown", "does not exist")


def look(pod: PodView, container: ContainerView) -> Diagnosis | None:
    """What keeps a container's image from being there, None where that is not its trouble."""
    if container.waiting not in REASONS:
        return None
    message = _BACK_OFF.sub("", container.message)
    if not message or message == container.waiting:
        message = _BACK_OFF.sub("", _from_events(pod, container))
    found = _name_or_policy(pod, container, message) or _pull(pod, container, message)
    return _of_launcher(found) if container.name == LAUNCHER else found


def _from_events(pod: PodView, container: ContainerView) -> str:
    """The last reason for a failed pull that the events tell."""
    for event in reversed(pod.events):
        said = str(event.get("message", ""))
        if event.get("reason") == "Failed" and said.startswith(f'Failed to pull image "{container.image}"'):
            return said.partition('": ')[2]
    return container.message


def _name_or_policy(pod: PodView, container: ContainerView, message: str) -> Diagnosis | None:
    image, whose = container.image, _whose(container)
    match container.waiting:
        case "InvalidImageName":
            why = plain(message).rpartition(": ")[2] or "it cannot be read"
            said = f"Image name not valid: {image!r}{whose} ({why}). Correct the name in the pipeline."
            return fails(said, Cause.IMAGE, retryable=False)
        case "ErrImageNeverPull":
            node = pod.node or "the node"
            said = f"Image not on the node: {image}{whose} is not on {node}, and its pull policy is Never. "
            return fails(said + "Load it onto the nodes, or set the policy to IfNotPresent.", Cause.IMAGE, retryable=False)
        case "SignatureValidationFailed":
            said = f"Image refused: the signature of {image}{whose} is not accepted on the node ({plain(message)})."
            return fails(said, Cause.IMAGE, retryable=False)
    return None


def _pull(pod: PodView, container: ContainerView, message: str) -> Diagnosis:
    image, whose, where = container.image, _whose(container), registry(container.image)
    said = message.lower()
    if _has(said, _WRONG_ARCHITECTURE):
        node = pod.node or "the node"
        told = f"Wrong architecture: {image}{whose} has nothing for the processor of {node}. "
        told += "Build it for that one, or choose nodes with the selector kubernetes.io/arch."
        return fails(told, Cause.IMAGE, retryable=False)
    if _has(said, _TOO_MANY):
        told = f"Image not pulled yet: {where} allows no more pulls for now. The cluster tries again; a login raises the limit."
        return waits(told, Cause.IMAGE)
    if _has(said, _DENIED):
        return fails(f"Image not pullable: {where} refuses {_path(image)}{whose}. {_login(pod)}", Cause.IMAGE, retryable=False)
    if _has(said, _CERTIFICATE):
        told = f"Image not pullable: the node and {where} do not agree on TLS ({plain(message).rpartition(': ')[2]}). "
        return waits(told + "Make the nodes trust its certificate, or name another registry.", Cause.IMAGE)
    if _has(said, _FULL):
        return waits(f"Image not pullable: the disk of {pod.node} is full. Free some, or choose another node.", Cause.NODE)
    if (why := next((why for mark, why in _NO_ANSWER.items() if mark in said), None)) is not None:
        told = f"Image not pullable: {where} cannot be reached for {_path(image)}{whose}; {why}. The cluster tries again."
        return waits(told, Cause.IMAGE)
    if _has(said, _ABSENT):
        told = f"Image not found: {where} has no {_path(image)}{whose}. Check its name and tag.{_missing_login(pod)}"
        return fails(told, Cause.IMAGE, retryable=False)
    return waits(
        f"Image not pullable: {image}{whose}: {plain(message) or container.waiting}. The cluster tries again.", Cause.IMAGE
    )


def registry(image: str) -> str:
    """The registry that an image's name means: its host, Docker Hub where it names none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else _HUB


def _path(image: str) -> str:
    """An image's name without its registry's host."""
    return image.removeprefix(f"{registry(image)}/")


def _login(pod: PodView) -> str:
    if missing := _missing_login(pod).strip():
        return missing
    secrets = [str(secret.get("name", "")) for secret in pod.spec.get("imagePullSecrets") or []]
    if secrets:
        return f"The login in the image pull secret {', '.join(secrets)} does not suffice, or there is no such image."
    return "It needs a login (set an image pull secret on the step), or there is no such image."


def _missing_login(pod: PodView) -> str:
    """That a pull secret does not exist, where the kubelet said so."""
    match = _SECRETS.search(pod.said("FailedToRetrieveImagePullSecret"))
    return f" The image pull secret {match[1]} does not exist in namespace {pod.namespace}." if match else ""


def _whose(container: ContainerView) -> str:
    return "" if container.name in (MAIN, LAUNCHER) else f" of the init container {container.name}"


def _of_launcher(found: Diagnosis) -> Diagnosis:
    """The same of kfdash's own image: what helps is a setting of the installation, so a later attempt may do better."""
    said = f"{found.sentence} It is kfdash's own image for the launcher: set KFDASH_IMAGE to one that the cluster can pull."
    return waits(said, Cause.LAUNCHER)


def _has(said: str, marks: tuple[str, ...]) -> bool:
    return any(mark in said for mark in marks)
