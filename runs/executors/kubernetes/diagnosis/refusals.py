"""Why the API server made no pod."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runs.executors.kubernetes.diagnosis.podview import text
from runs.executors.kubernetes.diagnosis.requests import amount_of
from runs.executors.kubernetes.diagnosis.verdict import Cause, Diagnosis, fails, waits
from runs.executors.kubernetes.diagnosis.wording import plain

Json = Any

_QUOTA = re.compile(r"exceeded quota: (?P<quota>[^,]+), requested: (?P<asked>.*), used: (?P<used>.*), limited: (?P<most>.*)$")
_QUOTA_UNSET = re.compile(r"failed quota: ([^:]+): must specify (.+)$")
_ACCOUNT = re.compile(r'serviceaccount "([^"]+)" not found')
_PRIORITY = re.compile(r"no PriorityClass with name (\S+) was found")
_RUNTIME = re.compile(r'RuntimeClass "([^"]+)" not found')
_STANDARD = re.compile(r'violates PodSecurity "([\w-]+):[^"]*": (.*)$', re.DOTALL)
_RULE = re.compile(r"(?:^|, )([^,()]+?) \([^)]*\)")
_LIMIT = re.compile(r"(maximum|minimum) (\S+) usage per (?:Container|Pod) is ([^,]+), but (?:limit|request) is (\S+?)\.?$")
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request(?: without explanation|: (.*))?$', re.DOTALL)
_RIGHTS = re.compile(
    r'User "(?P<who>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_NAMESPACE = re.compile(r'namespaces "([^"]+)" not found')
_GOING = re.compile(r"unable to create new content in namespace (\S+) because it is being terminated")
_PAIR = re.compile(r"([\w./-]+)=([\w.]+)")


def refusal(status: Mapping[str, Json]) -> Diagnosis:
    """What to say of an answer other than success: the API's Status document (`code`, `reason`, `message`)."""
    code = status.get("code")
    message = text(status.get("message")).strip()
    if code == 401:
        said = "Not let in: the cluster does not accept kfdash's credentials (401). Renew those in the kubeconfig."
        return waits(said, Cause.RIGHTS)
    if code == 404 and (match := _NAMESPACE.search(message)) is not None:
        said = f"No such namespace: the cluster has no {match[1]}. Create it, or set KFDASH_POD_NAMESPACE to one that exists."
        return waits(said, Cause.MISSING)
    if code == 403:
        return _rights(message) or _quota(message) or _admission(message)
    if code in (400, 422):
        return _invalid(message)
    said = f"The cluster did not take the pod ({code}): {plain(message) or 'it does not say why'}. It is tried again."
    return waits(said, Cause.REFUSED)


def _rights(message: str) -> Diagnosis | None:
    match = _RIGHTS.search(message)
    if match is None:
        return None
    group = f" of {match['group']}" if match["group"] else ""
    where = f" in namespace {match['namespace']}" if match["namespace"] else " in the cluster"
    said = f"Right missing: kfdash ({match['who']}) may not {match['verb']} {match['resource']}{group}{where}."
    return waits(f"{said} Give it the Role of deploy/kubernetes-role.yaml.", Cause.RIGHTS)


def _quota(message: str) -> Diagnosis | None:
    if (match := _QUOTA.search(message)) is not None:
        used, most = dict(_PAIR.findall(match["used"])), dict(_PAIR.findall(match["most"]))
        parts = []
        for resource, asked in _PAIR.findall(match["asked"]):
            if resource in most:
                taken, all_of_it = amount_of(resource, used.get(resource, "0")), amount_of(resource, most[resource])
                parts.append(f"{resource}: {amount_of(resource, asked)} asked, {taken} of {all_of_it} used")
        said = f"Quota reached: {match['quota']} of the namespace has no room ({'; '.join(parts)})."
        return waits(f"{said} It starts when there is room.", Cause.QUOTA)
    if (match := _QUOTA_UNSET.search(message)) is not None:
        said = f"Quota needs more: {match[1]} of the namespace wants every step to say {plain(match[2])}."
        return fails(f"{said} Set requests and limits on the step, or in the pod template.", Cause.QUOTA, retryable=False)
    return None


def _admission(message: str) -> Diagnosis:
    if (match := _ACCOUNT.search(message)) is not None:
        said = f"No such service account: {match[1]} does not exist in the namespace. Create it, or launch the run with another."
        return fails(said, Cause.MISSING, retryable=False)
    if (match := _PRIORITY.search(message)) is not None:
        return fails(f"No such priority class: the cluster has no {match[1]}.", Cause.MISSING, retryable=False)
    if (match := _RUNTIME.search(message)) is not None:
        return fails(f"No such runtime class: the cluster has no {match[1]}.", Cause.MISSING, retryable=False)
    if (match := _STANDARD.search(message)) is not None:
        rules = ", ".join(_RULE.findall(match[2])) or plain(match[2])
        said = f"Refused by the namespace: the pod breaks its security standard '{match[1]}' ({rules}). "
        said += "Set the step's security context, or use a namespace of another standard."
        return fails(said, Cause.REFUSED, retryable=False)
    if (match := _LIMIT.search(message)) is not None:
        bound = "at most" if match[1] == "maximum" else "at least"
        said = f"Limit range: a step may have {bound} {amount_of(match[2], match[3])} of {match[2]} in this namespace; "
        return fails(f"{said}this one wants {amount_of(match[2], match[4])}.", Cause.REFUSED, retryable=False)
    if (match := _WEBHOOK.search(message)) is not None:
        said = f"Refused by the cluster's own rules ({match[1]}): {plain(match[2] or 'it does not say why')}."
        return fails(said, Cause.REFUSED, retryable=False)
    if (match := _GOING.search(message)) is not None:
        return fails(f"Namespace going away: {match[1]} is being deleted. Choose another.", Cause.MISSING, retryable=False)
    return fails(
        f"Refused by the cluster: {plain(message.partition(' is forbidden: ')[2] or message)}.", Cause.REFUSED, retryable=False
    )


def _invalid(message: str) -> Diagnosis:
    if (match := _WEBHOOK.search(message)) is not None:
        said = f"Refused by the cluster's own rules ({match[1]}): {plain(match[2] or 'it does not say why')}."
        return fails(said, Cause.REFUSED, retryable=False)
    why = re.sub(r'^Pod "[^"]*" is invalid: ', "", message)
    why = re.sub(r'^Pod in version "[^"]*" cannot be handled as a Pod: ', "", why)
    return fails(f"Pod not valid: {plain(why)}. Correct the step's settings or the pod template.", Cause.REFUSED, retryable=False)
