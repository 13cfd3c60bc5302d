"""The Role that we ship, on a real cluster: it suffices for everything that kfdash does, and each lack is named."""

from __future__ import annotations

import copy
import dataclasses
import pathlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from runs.execution.attempt import AttemptOrder
from runs.executors.base import AttemptKey, ExecutorUnavailable, FactObserved, NotNow
from runs.executors.kubernetes import check
from runs.executors.kubernetes.client import Client
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.deviceclaims import DeviceClaims
from runs.executors.kubernetes.executor import KubernetesExecutor
from runs.executors.kubernetes.nodes import Nodes
from runs.store import StoreOptions
from tests.executors.watching import order
from tests.kubernetes.gallery.showing import Cluster

pytestmark = pytest.mark.kubernetes

Json = Any
ROLE = pathlib.Path(__file__).parents[2] / "deploy" / "kubernetes-role.yaml"
ROLES = "/apis/rbac.authorization.k8s.io/v1"
Kinds = {"Role": "roles", "RoleBinding": "rolebindings", "ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings"}


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"kfdash-role-{uuid.uuid4().hex[:6]}"
    cluster.make("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    cluster.remove_namespace(name)
    for kind in ("clusterroles", "clusterrolebindings"):
        for item in cluster.ask("GET", f"{ROLES}/{kind}", labelSelector=f"test={name}")["items"]:
            cluster.ask("DELETE", f"{ROLES}/{kind}/{item['metadata']['name']}")


@pytest.fixture
def config(cluster: Cluster, namespace: str, tmp_path: pathlib.Path) -> Callable[..., Config]:
    """Gives what a service account of these rights has; `without` takes a verb on a resource away."""

    def made(without: tuple[str, str] = ("", ""), *, with_nodes: bool = True) -> Config:
        for document in yaml.safe_load_all(ROLE.read_text()):
            apply(cluster, document, namespace, without, with_nodes)
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/kfdash"
        token = cluster.ask("POST", f"{account}/token", {"spec": {"expirationSeconds": 600}})["status"]["token"]
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(as_kubeconfig(cluster, token, namespace)))
        return Config(
            image="kfdash:none",
            launcher_url="http://127.0.0.1:1",
            key=b"key",
            installation="roletest",
            results_root="minio://kfdash/.results",
            store_options=StoreOptions(str(tmp_path / "artifacts")),
            logs_dir=str(tmp_path / "logs"),
            kubeconfig=str(kubeconfig),
        )

    return made


def apply(cluster: Cluster, document: Json, namespace: str, without: tuple[str, str], with_nodes: bool) -> None:
    """Makes one object of the file in a namespace of the test."""
    body, kind = copy.deepcopy(document), document["kind"]
    for subject in body.get("subjects", ()):
        subject["namespace"] = namespace
    for rule in body.get("rules", ()):
        if without[1] in rule["resources"]:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb != without[0]]
    if "rules" in body:
        body["rules"] = [rule for rule in body["rules"] if rule["verbs"]]
    if kind == "ServiceAccount":
        body["metadata"]["namespace"] = namespace
        cluster.make(f"/api/v1/namespaces/{namespace}/serviceaccounts", body)
    elif kind in ("Role", "RoleBinding"):
        body["metadata"]["namespace"] = namespace
        cluster.make(f"{ROLES}/namespaces/{namespace}/{Kinds[kind]}", body)
    elif with_nodes:
        body["metadata"] = {"name": f"{namespace}-nodes", "labels": {"test": namespace}}
        if "roleRef" in body:
            body["roleRef"]["name"] = f"{namespace}-nodes"
        cluster.make(f"{ROLES}/{Kinds[kind]}", body)


def as_kubeconfig(cluster: Cluster, token: str, namespace: str) -> Json:
    settings = cluster.api.configuration
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "c", "cluster": {"server": settings.host, "certificate-authority": settings.ssl_ca_cert}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
    }


def step() -> AttemptOrder:
    return dataclasses.replace(order(run_id=str(uuid.uuid4())), image="python:9.99")


def test_the_role_suffices_for_all_that_is_done_with_a_pod(config: Callable[..., Config]) -> None:
    executor = KubernetesExecutor(config())
    assert check.problems(executor.config) == []
    wanted = step()
    key = AttemptKey(wanted.name, wanted.run_id, wanted.path, wanted.number)
    executor.create_claim({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim"}, "spec": CLAIM})
    executor.delete_claim("claim")
    assert executor.start([wanted]) == {}
    assert executor.start([wanted]) == {}
    assert [seen.fact.path for seen in executor.look([key])] == [wanted.path]  # type: ignore[union-attr]
    for batch in executor.observe():
        facts = [one.fact for one in batch if isinstance(one, FactObserved)]
        if any("Image not found" in getattr(fact, "reason", "") for fact in facts):
            break
    described = executor.describe(key)
    assert described is not None and described["events"]
    executor.stop([key], grace=0)
    executor.forget([key])
    kept = executor.describe(key)
    assert kept is not None
    executor.clear(wanted.run_id)
    executor.close()


def test_nodes_are_named_where_they_may_be_read_and_else_not(config: Callable[..., Config]) -> None:
    pod = {"status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}}
    assert Nodes(Client(config(with_nodes=False))).for_pod(pod) == ()


def test_nodes_are_named_with_the_right_to_list_them(config: Callable[..., Config]) -> None:
    pod = {"status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}}
    assert Nodes(Client(config())).for_pod(pod)[0]["metadata"]["name"]


@pytest.mark.parametrize(("without", "found"), [(("", ""), ("none-such",)), (("get", "resourceclaims"), ())])
def test_a_claim_of_devices_that_is_missing_is_named_where_claims_may_be_read(
    config: Callable[..., Config], without: tuple[str, str], found: tuple[str, ...]
) -> None:
    pod = {"spec": {"resourceClaims": [{"name": "a", "resourceClaimName": "none-such"}]}, "status": {"phase": "Pending"}}
    assert DeviceClaims(Client(config(without))).absent(pod) == found


@pytest.mark.parametrize(
    ("verb", "resource"), [("create", "pods"), ("watch", "pods"), ("list", "events"), ("deletecollection", "pods")]
)
def test_a_right_that_is_missing_is_named(config: Callable[..., Config], verb: str, resource: str, namespace: str) -> None:
    said = [problem.sentence for problem in check.problems(config((verb, resource)))]
    assert said == [
        f"kfdash may not {verb} {resource} in the namespace {namespace}. Give it the Role of deploy/kubernetes-role.yaml."
    ]


def test_a_step_that_may_not_be_made_says_the_verb_and_the_resource(config: Callable[..., Config], namespace: str) -> None:
    executor = KubernetesExecutor(config(("create", "pods")))
    with pytest.raises((NotNow, ExecutorUnavailable)) as raised:
        executor.start([step()])
    told = " ".join(raised.value.waiting.values()) if isinstance(raised.value, NotNow) else str(raised.value)
    assert told == (
        f"Right missing: kfdash (system:serviceaccount:{namespace}:kfdash) may not create pods in namespace {namespace}. "
        "Give it the Role of deploy/kubernetes-role.yaml."
    )


CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
