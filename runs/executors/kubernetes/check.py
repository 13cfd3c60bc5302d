"""Whether steps can be pods here: what `kfdash up` and `kfdash doctor` want to know before the first run fails."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runs.executors.base import ExecutorUnavailable
from runs.executors.kubernetes.client import Client, NoKubeconfig, NotLetIn, Refused, core_path
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.diagnosis import diagnose, refusal
from runs.executors.kubernetes.manifest import launcher_security
from runs.executors.kubernetes.names import MAIN, MANAGED_BY
from runs.executors.kubernetes.template import laid_over

Json = Any

OLDEST = (1, 29)  # the first version whose init containers may be sidecars by default
RIGHTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("pods", ("create", "get", "list", "watch", "patch", "delete", "deletecollection")),
    ("pods/log", ("get",)),
    ("events", ("list", "watch")),
    ("persistentvolumeclaims", ("create", "get", "delete", "deletecollection")),
)
_PATIENCE = 120.0  # seconds that the probe's pod may take; it may have to pull its image
_CALL = (
    "import sys, urllib.request\n"
    "try:\n"
    "    urllib.request.urlopen(sys.argv[1] + '/healthz', timeout=10).read()\n"
    "except Exception as error:\n"
    "    open('/dev/termination-log', 'w').write(str(getattr(error, 'reason', error)))\n"
    "    sys.exit(3)\n"
)


@dataclass(frozen=True)
class Problem:
    """Something that stands in the way of steps as pods. `passes`: it may be over in a moment, without anybody's doing."""

    sentence: str
    passes: bool = False


def problems(config: Config) -> list[Problem]:
    """What stands in the way of steps as pods; an empty list where nothing does. Asks the cluster."""
    client = Client(config)
    try:
        return [Problem(sentence) for sentence in _problems(client)]
    except ExecutorUnavailable as error:
        return [Problem(str(error), passes=not isinstance(error, NoKubeconfig | NotLetIn))]
    except Refused as refused:
        return [Problem(refusal(refused.answer).sentence)]
    finally:
        client.close()


def _problems(client: Client) -> Iterator[str]:
    version = client.request("GET", "/version")
    if too_old := old_version(version):
        yield too_old
    try:
        client.request("GET", f"/api/v1/namespaces/{client.namespace}")
    except Refused as refused:
        if refused.status != 403:  # to look at the namespace itself is no right that steps need
            yield refusal(refused.answer).sentence
            return
    for resource, verbs in RIGHTS:
        missing = [verb for verb in verbs if not _may(client, verb, resource)]
        if missing:
            yield (
                f"kfdash may not {', '.join(missing)} {resource} in the namespace {client.namespace}. "
                "Give it the Role of deploy/kubernetes-role.yaml."
            )


def old_version(version: Mapping[str, Json]) -> str:
    """A sentence where the API server's version is too old; empty where it is not, or says nothing that can be read."""
    parts = [re.match(r"\d+", str(version.get(part, ""))) for part in ("major", "minor")]
    numbers = tuple(int(part.group()) for part in parts if part)
    if len(numbers) == 2 and numbers < OLDEST:
        least = ".".join(map(str, OLDEST))
        return f"The cluster has Kubernetes {numbers[0]}.{numbers[1]}; steps as pods need {least} or newer (sidecar containers)."
    return ""


def _may(client: Client, verb: str, resource: str) -> bool:
    kind, _, sub = resource.partition("/")
    wanted = {"namespace": client.namespace, "verb": verb, "resource": kind, "subresource": sub}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": wanted},
    }
    answer = client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
    return bool(answer["status"].get("allowed"))


# --- a pod that calls back ------------------------------------------------------------------------------------------


def probe(config: Config) -> str:
    """Lets a pod of the launcher's image call kfdash; a sentence where it cannot, empty where it can.

    Somebody must listen at the launcher's URL meanwhile.
    """
    client = Client(config)
    pod = _probe_pod(config)
    path = core_path(client.namespace, "pods", pod["metadata"]["name"])
    try:
        client.request("POST", core_path(client.namespace, "pods"), body=pod)
        try:
            return _outcome(client, path, config.launcher_url, time.monotonic() + _PATIENCE)
        finally:
            client.request("DELETE", path, body={"gracePeriodSeconds": 0})
    except Refused as refused:
        return refusal(refused.answer).sentence
    except ExecutorUnavailable as error:
        return str(error)
    finally:
        client.close()


def _probe_pod(config: Config) -> dict[str, Json]:
    container = {
        "name": MAIN,
        "image": config.image,
        "command": ["python3", "-c", _CALL, config.launcher_url],
        "securityContext": launcher_security(),
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        # Without the label of the installation: it is nobody's attempt.
        "metadata": {"name": f"kfdash-probe-{uuid.uuid4().hex[:8]}", "labels": {MANAGED_BY: "kfdash"}},
        "spec": {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]},
    }
    template = {"spec": {key: value for key, value in config.pod_template.get("spec", {}).items() if "ontainers" not in key}}
    return laid_over(template, pod)


def _outcome(client: Client, path: str, url: str, until: float) -> str:
    while time.monotonic() < until:
        pod = client.request("GET", path)
        statuses = pod.get("status", {}).get("containerStatuses") or [{}]
        if ended := statuses[0].get("state", {}).get("terminated"):
            if ended.get("exitCode") == 0:
                return ""
            why = ended.get("message") or f"exit code {ended.get('exitCode')}"
            return (
                f"A pod cannot reach kfdash at {url}: {why}. Set KFDASH_LAUNCHER_URL to an address of this machine that pods "
                "can reach, and let nothing between them close its port."
            )
        verdict = diagnose(pod, ())
        if verdict is not None and verdict.fails:
            return f"A pod of the launcher's image cannot start. {verdict.sentence}"
        time.sleep(0.3)
    return f"A pod that was to call kfdash at {url} has not been started for {int(_PATIENCE)} s."
