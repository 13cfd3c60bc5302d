"""Whether steps can be pods here: what `kfdash up` and `kfdash doctor` want to know before the first run fails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runs.executors.base import ExecutorUnavailable
from runs.executors.kubernetes.client import Client, NoKubeconfig, NotLetIn, Refused
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.diagnosis import refusal

Json = Any

OLDEST = (1, 29)  # the first version whose init containers may be sidecars by default
RIGHTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("pods", ("create", "get", "list", "watch", "patch", "delete", "deletecollection")),
    ("pods/log", ("get",)),
    ("events", ("list", "watch")),
    ("persistentvolumeclaims", ("create", "get", "delete", "deletecollection")),
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


def described(config: Config) -> str:
    """Which cluster it is: version, address and namespace. Raises ExecutorUnavailable."""
    client = Client(config)
    try:
        version = client.request("GET", "/version").get("gitVersion", "of an unknown version")
        return f"Kubernetes {version}, namespace {client.namespace}"
    except Refused as refused:
        return refusal(refused.answer).sentence
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
