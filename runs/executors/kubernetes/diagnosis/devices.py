"""Claims of devices (dynamic resource allocation): what keeps a pod from getting the devices that it claims."""

from __future__ import annotations

import re

from runs.executors.kubernetes.diagnosis.podview import PodView, listed, text
from runs.executors.kubernetes.diagnosis.preparing import missing
from runs.executors.kubernetes.diagnosis.verdict import Cause, Diagnosis, waits
from runs.executors.kubernetes.diagnosis.wording import joined, plain

_TEMPLATE = re.compile(r'resource claim template "([^"]+)": .*not found', re.DOTALL)
_CLASS = re.compile(r"device class (\S+) does not exist")
_DRIVER = re.compile(r"DRA driver (\S+) is not registered")
_STAGES = ("FailedPrepareDynamicResources", "Pulling", "Pulled", "Created", "Started")


def look(pod: PodView) -> Diagnosis | None:
    """What is wrong with the pod's claims of devices; None where it has none, or they are no trouble."""
    if not listed(pod.spec.get("resourceClaims")):
        return None
    if pod.node:
        return _on_node(pod)
    scheduled = pod.condition("PodScheduled")
    if not scheduled:  # the scheduler does not look at a pod whose claims are not there, and says nothing
        if pod.absent_claims:
            return missing("resource claim", joined(list(pod.absent_claims)), pod.namespace)
        return _not_made(pod)
    if (match := _CLASS.search(text(scheduled.get("message")))) is not None:
        said = f"No such device class: the cluster has no {match[1]}, which a resource claim of the step asks for."
        return waits(f"{said} Who runs the cluster can make it, or names another.", Cause.MISSING)
    return None


def names(pod: PodView) -> str:
    """The claims of the pod, by the names that their owner knows."""
    claims = listed(pod.spec.get("resourceClaims"))
    return joined([text(claim.get("resourceClaimTemplateName")) or text(claim.get("resourceClaimName")) for claim in claims])


def _not_made(pod: PodView) -> Diagnosis | None:
    if not (message := pod.said("FailedResourceClaimCreation")):
        return None
    if (match := _TEMPLATE.search(message)) is not None:
        return missing("resource claim template", match[1], pod.namespace)
    return waits(f"Resource claim cannot be made: {plain(message)}. The cluster tries again.", Cause.REFUSED)


def _on_node(pod: PodView) -> Diagnosis | None:
    if any(container.running or container.ended for container in pod.containers):
        return None
    newest = pod.newest(*_STAGES) or {}
    if newest.get("reason") != _STAGES[0]:
        return None
    message = text(newest.get("message"))
    if (match := _DRIVER.search(message)) is not None:
        said = f"Devices not ready: {pod.node} does not run the device driver {match[1]}, which the step's resource claims need."
        return waits(f"{said} It goes on when the driver does.", Cause.NODE)
    why = plain(message.removeprefix("Failed to prepare dynamic resources: ").removeprefix("prepare dynamic resources: "))
    return waits(f"Devices not ready: {pod.node} cannot prepare them: {why}. It tries again.", Cause.NODE)
