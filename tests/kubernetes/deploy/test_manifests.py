"""What the manifests of deploy/ are, as kustomize builds them: no cluster is asked."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from runs.executors.kubernetes.check import RIGHTS

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
Json = Any

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="There is no kubectl here.")


def built(folder: pathlib.Path) -> list[Json]:
    """The objects of a kustomization."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def start() -> list[Json]:
    """The overlay that everybody begins with."""
    return built(REPOSITORY / "deploy/overlays/start")


def pods(objects: list[Json]) -> list[tuple[str, Json]]:
    """Name and pod of everything that makes pods."""
    return [
        (f"{one['kind']} {one['metadata']['name']}", one["spec"]["template"])
        for one in objects
        if "template" in one.get("spec", {})
    ]


def of(objects: list[Json], kind: str, name: str) -> Json:
    """The object of that kind and name."""
    return next(one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name)


def test_every_container_fits_the_restricted_standard_and_has_a_read_only_root(start: list[Json]) -> None:
    for name, pod in pods(start):
        around = pod["spec"]["securityContext"]
        assert around["runAsNonRoot"] and around["runAsUser"] > 0, name
        assert around["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            inside = container["securityContext"]
            assert inside["readOnlyRootFilesystem"] and not inside["allowPrivilegeEscalation"], (name, container["name"])
            assert inside["capabilities"] == {"drop": ["ALL"]}, (name, container["name"])


def test_every_container_that_serves_has_probes_and_says_what_it_needs(start: list[Json]) -> None:
    for name, pod in pods(start):
        for container in pod["spec"]["containers"]:
            assert container["resources"]["requests"].keys() == {"cpu", "memory"} and container["resources"]["limits"]["memory"], (
                name
            )
            if not name.startswith("Job"):
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), (name, container["name"])


def test_updates_take_nothing_away_before_the_new_is_ready(start: list[Json]) -> None:
    deployments = [one for one in start if one["kind"] == "Deployment"]
    assert {one["metadata"]["name"] for one in deployments} == {"kfdash-web", "kfdash-worker", "kfdash-io", "kfdash-observer"}
    for one in deployments:
        assert one["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        assert one["spec"]["replicas"] == 2
        budget = of(start, "PodDisruptionBudget", one["metadata"]["name"])
        assert budget["spec"]["selector"] == one["spec"]["selector"]


def test_only_what_makes_pods_may_ask_the_cluster_for_them(start: list[Json]) -> None:
    rights = {
        (resource, verb)
        for rule in of(start, "Role", "kfdash")["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    needed = {(resource, verb) for resource, verbs in RIGHTS for verb in verbs}
    assert rights - {("resourceclaims", "get")} == needed
    accounts = {name: pod["spec"].get("serviceAccountName", "") for name, pod in pods(start)}
    assert [name for name, account in accounts.items() if account == "kfdash"] == [
        "Deployment kfdash-io",
        "Deployment kfdash-observer",
    ]
    for name, pod in pods(start):
        if accounts[name] in ("", "kfdash-worker"):
            assert pod["spec"]["automountServiceAccountToken"] is False, name


def test_no_secret_is_in_the_manifest(start: list[Json]) -> None:
    assert not [one for one in start if one["kind"] == "Secret"]


def test_services_and_policies_name_ports_and_pods_that_there_are(start: list[Json]) -> None:
    labelled = [
        (pod["metadata"]["labels"], {port["name"] for c in pod["spec"]["containers"] for port in c.get("ports", [])})
        for _, pod in pods(start)
    ]
    for service in (one for one in start if one["kind"] == "Service"):
        found = [names for labels, names in labelled if service["spec"]["selector"].items() <= labels.items()]
        assert len(found) == 1, service["metadata"]["name"]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= found[0]
    for policy in (one for one in start if one["kind"] == "NetworkPolicy"):
        matching = [names for labels, names in labelled if policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()]
        assert matching, policy["metadata"]["name"]
        named = {
            port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"] if isinstance(port["port"], str)
        }
        assert named <= set().union(*matching)
    assert {8888} == {port["port"] for port in of(start, "Service", "ml-pipeline")["spec"]["ports"]}


def test_an_installation_with_a_database_of_its_own_spreads_over_nodes(tmp_path: pathlib.Path) -> None:
    shutil.copytree(REPOSITORY / "deploy", tmp_path / "deploy")
    folder = tmp_path / "deploy/overlays/own-database"
    for name in ("connections", "admin"):
        shutil.copy(folder / f"{name}.env.example", folder / f"{name}.env")
    objects = built(folder)
    assert not [one for one in objects if one["kind"] == "StatefulSet"]
    assert of(objects, "PersistentVolumeClaim", "kfdash-shared")["spec"]["accessModes"] == ["ReadWriteMany"]
    assert not [name for name, pod in pods(objects) if pod["spec"].get("affinity")]
    secret = next(one for one in objects if one["kind"] == "Secret" and "KFDASH_DATABASE_URL" in one["data"])["metadata"]["name"]
    assert secret in yaml.safe_dump(of(objects, "Deployment", "kfdash-web"))


@pytest.mark.parametrize("component", ["ingress", "node-names", "pod-template", "service-account-tokens"])
def test_every_component_can_be_added(tmp_path: pathlib.Path, component: str, start: list[Json]) -> None:
    root = os.path.relpath(REPOSITORY / "deploy", tmp_path.resolve())
    overlay = {"resources": [f"{root}/overlays/start"], "components": [f"{root}/components/{component}"], "namespace": "other"}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    objects = built(tmp_path)
    assert len(objects) > len(start)
    assert {one["metadata"].get("namespace", "other") for one in objects} == {"other"}
    assert {subject["namespace"] for one in objects for subject in one.get("subjects", [])} == {"other"}
