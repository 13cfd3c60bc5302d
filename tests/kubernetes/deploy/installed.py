"""An installation from deploy/ in a namespace of its own, by `kubectl apply -k` alone, and what its cluster lacks.

A cluster of one bare node has no name service, no kube-proxy, no registry of ours and volumes that belong to root: an overlay
mends that, and only where it is so. The manifests themselves are the product's.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tests.running import IMAGE

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
HERE = pathlib.Path(__file__).resolve().parent
STAND_INS = os.environ.get("KFDASH_TEST_STAND_INS", "")  # an image of tests/kubernetes/deploy/images, where the real ones are not
SERVICES = {  # port of the Service, port of its pods
    "kfdash-postgresql": (5432, 5432),
    "kfdash-redis": (6379, 6379),
    "kfdash-intake": (8001, 8001),
    "ml-pipeline": (8888, 8888),
}
DEPLOYMENTS = ("kfdash-web", "kfdash-worker", "kfdash-io", "kfdash-observer")
CLAIMS = ("kfdash-shared", "data-kfdash-postgresql-0")
COMPONENTS = ("pod-template", "service-account-tokens")
STANDARD = {"pod-security.kubernetes.io/enforce": "restricted"}

Json = Any


def kubectl(*arguments: str, given: str | None = None, check: bool = True) -> str:
    """What kubectl prints. Raises AssertionError with what it says where it fails."""
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True)
    assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def objects(*arguments: str) -> list[Json]:
    """What `kubectl get` finds."""
    return list(json.loads(kubectl("get", *arguments, "-o", "json"))["items"])


class Installed:
    """kfdash, installed in a namespace that is gone afterwards."""

    def __init__(self, image: str = IMAGE, settings: Mapping[str, str] | None = None, namespace: str = "") -> None:
        self.image = image
        self.settings = dict(settings or {})
        self.namespace = namespace or f"kfdash-test-{uuid.uuid4().hex[:6]}"
        self._overlays = tempfile.TemporaryDirectory(prefix="kfdash-overlay-")
        self.folder = pathlib.Path(self._overlays.name)
        self.bare = not [one for one in objects("services", "-A") if one["metadata"]["name"] in ("kube-dns", "coredns")]
        self.services = ""  # the address of what stands in for kube-proxy and names

    # --- installing ---

    def install(self, seconds: float = 300) -> None:
        """Applies the manifest and waits until everything is there."""
        if self.bare:
            kubectl("create", "namespace", self.namespace)
            self._stand_in_for_services()
            self._open_volumes()
        self.apply()
        self.wait(seconds)

    def apply(self) -> None:
        """`kubectl apply -k`, as the manual says: `start` and components, in a restricted namespace; what this cluster needs."""
        (self.folder / "kustomization.yaml").write_text(yaml.safe_dump(self._overlay()))
        kubectl("apply", "-k", str(self.folder))

    def wait(self, seconds: float = 300) -> None:
        """Until every deployment has all of its pods, of the newest kind."""
        deadline = time.monotonic() + seconds
        for name in DEPLOYMENTS:
            left = max(1, int(deadline - time.monotonic()))
            self("rollout", "status", f"deployment/{name}", f"--timeout={left}s")

    def __call__(self, *arguments: str, check: bool = True, given: str | None = None) -> str:
        """kubectl in this namespace."""
        return kubectl("-n", self.namespace, *arguments, check=check, given=given)

    def uninstall(self) -> None:
        """As the manual says; nothing is left."""
        with self._overlays:
            self("scale", "deployment", "--all", "--replicas=0")
            for pod in objects("pods", "-n", self.namespace, "-l", "app.kubernetes.io/managed-by=kfdash"):
                self("patch", "pod", pod["metadata"]["name"], "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)
            kubectl("delete", "-k", str(self.folder), "--ignore-not-found", "--timeout=180s")

    # --- what the cluster lacks ---

    def _overlay(self) -> Json:
        name, _, tag = self.image.rpartition(":")
        images = [{"name": "kfdash", "newName": name, "newTag": tag}]
        if STAND_INS:
            stand_in, _, its_tag = STAND_INS.rpartition(":")
            images += [{"name": one, "newName": stand_in, "newTag": its_tag} for one in ("postgres", "valkey/valkey")]
        settings = {"KFDASH_SERVICE_ACCOUNTS": f"{self.namespace}/runner=run, {self.namespace}/watcher=view", **self.settings}
        deploy = os.path.relpath(REPOSITORY / "deploy", self.folder.resolve())
        patches: list[Json] = [_labelled(STANDARD), _renamed(f"kfdash-token-reviews-{self.namespace}")]
        if self.bare:
            settings |= self._api_server() | {"KFDASH_LAUNCHER_URL": f"http://{self.services}:8001"}
            patches += self._for_a_bare_node()
        return {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.namespace,
            "resources": [f"{deploy}/overlays/start"],
            "components": [f"{deploy}/components/{name}" for name in COMPONENTS],
            "images": images,
            "configMapGenerator": [
                {"name": "kfdash-settings", "behavior": "merge", "literals": [f"{key}={value}" for key, value in settings.items()]}
            ],
            "patches": patches,
        }

    def _api_server(self) -> dict[str, str]:
        """Where pods find it when no Service leads there."""
        ends = objects("endpointslices", "-n", "default", "-l", "kubernetes.io/service-name=kubernetes")[0]
        return {
            "KUBERNETES_SERVICE_HOST": ends["endpoints"][0]["addresses"][0],
            "KUBERNETES_SERVICE_PORT": str(ends["ports"][0]["port"]),
        }

    def _for_a_bare_node(self) -> list[Json]:
        aliases = [{"ip": self.services, "hostnames": list(SERVICES)}]
        environment = [{"name": key, "value": value} for key, value in self._api_server().items()]

        def patch(kind: str, name: str, spec: Json) -> Json:
            body = {"apiVersion": "any", "kind": "any", "metadata": {"name": "any"}, "spec": {"template": {"spec": spec}}}
            return {"target": {"kind": kind, "name": name}, "patch": yaml.safe_dump(body)}

        def modest(kind: str, name: str, containers: int) -> Json:
            """A node of two processors has other tests to run beside."""
            path = "/spec/template/spec/containers/{}/resources/requests/cpu"
            body = [{"op": "replace", "path": path.format(number), "value": "5m"} for number in range(containers)]
            return {"target": {"kind": kind, "name": name}, "patch": yaml.safe_dump(body)}

        def claims(path: str, size: str) -> str:
            return yaml.safe_dump(
                [
                    {"op": "add", "path": f"{path}/storageClassName", "value": "standard"},
                    {"op": "replace", "path": f"{path}/resources/requests/storage", "value": size},
                ]
            )

        secrets = {
            "initContainers": [{"name": "secrets", "env": environment}],
            "containers": [{"name": "admin", "env": environment}],
        }
        return [
            modest("Deployment", "kfdash-(web|io)", 2),
            modest("Deployment", "kfdash-(worker|observer)", 1),
            modest("StatefulSet", ".*", 1),
            patch("Deployment", ".*", {"hostAliases": aliases}),
            patch("Job", "kfdash-migrate", {"hostAliases": aliases}),
            patch("Job", "kfdash-secrets", secrets),
            {"target": {"kind": "PersistentVolumeClaim", "name": "kfdash-shared"}, "patch": claims("/spec", "1Gi")},
            {
                "target": {"kind": "StatefulSet", "name": "kfdash-postgresql"},
                "patch": claims("/spec/volumeClaimTemplates/0/spec", "1Gi"),
            },
        ]

    def _open_volumes(self) -> None:
        """Makes the claims beforehand: volumes here are folders of the node, and belong to its root."""
        asked = {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "resources": {"requests": {"storage": "1Gi"}}}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": asked}
        claims = [{**claim, "metadata": {"name": name}} for name in CLAIMS]
        container = {
            "name": "opened",
            "image": self.image,
            "command": ["sh", "-c", "chmod 0777 /volumes/*"],
            "securityContext": {"runAsUser": 0},
            "volumeMounts": [{"name": name, "mountPath": f"/volumes/{name}"} for name in CLAIMS],
        }
        volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in CLAIMS]
        spec = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "opened"}, "spec": spec}
        self("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*claims, pod]}))
        self("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/opened", "--timeout=120s")
        self("delete", "pod", "opened")

    def _stand_in_for_services(self) -> None:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "forwarder"}}
        rules = [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]}]
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "forwarder"}, "rules": rules}
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "forwarder"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "forwarder"},
            "subjects": [{"kind": "ServiceAccount", "name": "forwarder"}],
        }
        program = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "forwarder"},
            "data": {"forwarder.py": (HERE / "forwarder.py").read_text()},
        }
        container = {
            "name": "forwarder",
            "image": self.image,
            "command": ["python3", "/program/forwarder.py", *(f"{name}:{port}:{at}" for name, (port, at) in SERVICES.items())],
            "env": [{"name": key, "value": value} for key, value in self._api_server().items()],
            "volumeMounts": [{"name": "program", "mountPath": "/program"}],
        }
        spec = {
            "serviceAccountName": "forwarder",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [{"name": "program", "configMap": {"name": "forwarder"}}],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "forwarder"}, "spec": spec}
        everything = {"apiVersion": "v1", "kind": "List", "items": [account, role, binding, program, pod]}
        self("apply", "-f", "-", given=json.dumps(everything))
        self("wait", "--for=condition=Ready", "pod/forwarder", "--timeout=120s")
        self.services = self("get", "pod", "forwarder", "-o", "jsonpath={.status.podIP}")

    # --- using it ---

    def secret(self, name: str, key: str) -> str:
        """A value of a Secret."""
        return base64.b64decode(self("get", "secret", name, "-o", f"jsonpath={{.data.{key}}}")).decode()

    def pods(self, component: str = "") -> list[Json]:
        """Pods of the installation itself."""
        more = f",app.kubernetes.io/component={component}" if component else ""
        return objects("pods", "-n", self.namespace, "-l", f"app.kubernetes.io/part-of=kfdash{more}")

    def asked_by_pods(self, accounts: Sequence[str]) -> dict[str, Json]:
        """What kfdash answers to pods with these service accounts: the output of asking.py in each."""
        pods = {account: self._asking(account) for account in accounts}
        made = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}} for account in accounts]
        self("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*made, *pods.values()]}))
        names = {account: pod["metadata"]["name"] for account, pod in pods.items()}
        ended = [f"pod/{name}" for name in names.values()]
        self("wait", "--for=jsonpath={.status.phase}=Succeeded", *ended, "--timeout=120s")
        return {account: json.loads(self("logs", name)) for account, name in names.items()}

    def _asking(self, account: str) -> Json:
        projected = {"serviceAccountToken": {"path": "token", "audience": "pipelines.kubeflow.org"}}
        container = {
            "name": "main",
            "image": self.image,
            "command": ["python3", "-c", (HERE / "asking.py").read_text(), "http://ml-pipeline:8888"],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "kfp", "mountPath": "/var/run/secrets/kubeflow/pipelines", "readOnly": True}],
        }
        user = {"runAsUser": 1000, "runAsNonRoot": True, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
        spec = {
            "serviceAccountName": account,
            "restartPolicy": "Never",
            "securityContext": user,
            "hostAliases": [{"ip": self.services, "hostnames": list(SERVICES)}] if self.bare else [],
            "containers": [container],
            "volumes": [{"name": "kfp", "projected": {"sources": [projected]}}],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"asking-as-{account}"}, "spec": spec}


def _labelled(labels: Mapping[str, str]) -> Json:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "any", "labels": dict(labels)}}
    return {"target": {"kind": "Namespace"}, "patch": yaml.safe_dump(body)}


def _renamed(name: str) -> Json:
    """What is outside of the namespace, for others on this cluster may have theirs."""
    body = [{"op": "replace", "path": "/metadata/name", "value": name}]
    return {"target": {"kind": "ClusterRole.*"}, "patch": yaml.safe_dump(body)}
