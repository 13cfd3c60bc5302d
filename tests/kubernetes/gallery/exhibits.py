"""The broken pipelines. Each is a single step that goes wrong in one way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.stack import task

Json = Any

IMAGE = "python:3.11"
FAILED, WAITS, TRIED_AGAIN = "failed", "waits", "tried again"


@dataclass(frozen=True)
class Exhibit:
    """A pipeline, how it ends, and what is said of it.

    `knows` is what stands in the cluster's own documents about the pod once it knows; empty where the cluster never does.
    `sentence` may hold `{namespace}` and `{node}`, and `…` for any text.
    `then` is done to the pod when its container runs: `delete` or `evict`.
    """

    sentence: str
    end: str = FAILED
    cause: str = ""
    image: str = IMAGE
    command: tuple[str, ...] = ("sh", "-c", "sleep 300")
    resources: Mapping[str, Json] = field(default_factory=dict)
    platform: Mapping[str, Json] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    component: Mapping[str, Json] = field(default_factory=dict)
    service_account: str = ""
    knows: str = ""
    then: str = ""

    def package(self, name: str) -> dict[str, Json]:
        """As KFP's API takes it: the pipeline and, where there are settings, its platform document."""
        container: dict[str, Json] = {"image": self.image, "command": list(self.command)}
        if self.resources:
            container["resources"] = dict(self.resources)
        if self.env:
            container["env"] = [{"name": key, "value": value} for key, value in self.env.items()]
        pipeline = {
            "components": {"comp-step": {"executorLabel": "exec-step", **self.component}},
            "deploymentSpec": {"executors": {"exec-step": {"container": container}}},
            "pipelineInfo": {"name": name},
            "root": {"dag": {"tasks": {"step": task("step")}}},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.0",
        }
        platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-step": dict(self.platform)}}}}}
        return {"pipeline_spec": pipeline, "platform_spec": platform} if self.platform else pipeline


def secret_env(name: str, key: str) -> dict[str, Json]:
    """A variable out of a secret."""
    return {"secretAsEnv": [{"secretName": name, "keyToEnv": [{"secretKey": key, "envVar": "VALUE"}]}]}


def config_map_env(name: str, key: str) -> dict[str, Json]:
    """A variable out of a config map."""
    return {"configMapAsEnv": [{"configMapName": name, "keyToEnv": [{"configMapKey": key, "envVar": "VALUE"}]}]}


def python(text: str) -> tuple[str, ...]:
    """A command that runs a program in Python."""
    return ("python3", "-c", text)


_MEMORY_EATER = "held = []\nwhile True: held.append(bytearray(1 << 20))"
_OUTPUT = {"outputDefinitions": {"parameters": {"score": {"parameterType": "NUMBER_DOUBLE"}}}}

EXHIBITS: dict[str, Exhibit] = {
    # --- what takes a kubelet longest to notice comes first
    "volume-too-full": Exhibit(
        "Evicted: it wrote more than 4 MiB, the limit of its volume scratch. Raise the limit or write less.",
        cause="evicted",
        command=("sh", "-c", "dd if=/dev/zero of=/scratch/x bs=1M count=20 && sleep 300"),
        platform={"emptyDirMounts": [{"volumeName": "scratch", "mountPath": "/scratch", "sizeLimit": "4Mi"}]},
        knows="exceeds the limit",
    ),
    # --- images
    "image-not-found": Exhibit(
        "Image not found: docker.io has no python:9.99. Check its name and tag.",
        cause="image",
        image="python:9.99",
        knows="ErrImagePull",
    ),
    "image-name-invalid": Exhibit(
        "Image name not valid: 'Team/Model:1' (repository name (Model) must be lowercase). Correct the name in the pipeline.",
        cause="image",
        image="Team/Model:1",
        knows="InvalidImageName",
    ),
    "image-never-pulled": Exhibit(
        "Image not on the node: python:9.98 is not on {node}, and its pull policy is Never. "
        "Load it onto the nodes, or set the policy to IfNotPresent.",
        cause="image",
        image="python:9.98",
        platform={"imagePullPolicy": "Never"},
        knows="ErrImageNeverPull",
    ),
    "pull-secret-missing": Exhibit(
        "Image not found: docker.io has no python:9.96. Check its name and tag. "
        "The image pull secret registry-login does not exist in namespace {namespace}.",
        cause="image",
        image="python:9.96",
        platform={"imagePullSecret": [{"secretName": "registry-login"}]},
        knows="ErrImagePull",
    ),
    # --- a place to run
    "too-much-memory": Exhibit(
        "Cannot be scheduled: … the step asks for 500 GiB…. Ask for less, or add a node that has as much.",
        WAITS,
        resources={"resourceMemoryRequest": "500Gi", "resourceMemoryLimit": "500Gi"},
        knows="Unschedulable",
    ),
    "too-much-cpu": Exhibit(
        "Cannot be scheduled: … the step asks for 640 CPU…. Ask for less, or add a node that has as much.",
        WAITS,
        resources={"resourceCpuRequest": "640", "resourceCpuLimit": "640"},
        knows="Unschedulable",
    ),
    "no-such-device": Exhibit(
        "Cannot be scheduled: … the step asks for 1…. Ask for less, or add a node that has as much.",
        WAITS,
        resources={"accelerator": {"resourceType": "example.com/fpga", "resourceCount": "1"}},
        knows="Unschedulable",
    ),
    "node-selector": Exhibit(
        "Cannot be scheduled: … disk=nvme. Label a node, or change the step's node selector.",
        WAITS,
        platform={"nodeSelector": {"labels": {"disk": "nvme"}}},
        knows="Unschedulable",
    ),
    "claim-missing": Exhibit(
        "No such claim: train-data does not exist in namespace {namespace} (PersistentVolumeClaim). "
        "Create it, and the step goes on by itself.",
        WAITS,
        platform={"pvcMount": [{"constant": "train-data", "mountPath": "/data"}]},
        knows="Unschedulable",
    ),
    "claim-unbound": Exhibit(
        "Waits for a volume: the claim unbound has none yet. Check that its storage class exists and can make one of that size.",
        WAITS,
        platform={"pvcMount": [{"constant": "unbound", "mountPath": "/data"}]},
        knows="Unschedulable",
    ),
    "resource-claim-missing": Exhibit(
        "No such resource claim: shared-gpu does not exist in namespace {namespace}. Create it, and the step goes on by itself.",
        WAITS,
        platform={
            "podResourceClaims": [{"resourceClaimJson": {"runtimeValue": {"constant": {"resourceClaimName": "shared-gpu"}}}}]
        },
    ),
    "resource-claim-template-missing": Exhibit(
        "No such resource claim template: one-gpu does not exist in namespace {namespace}. Create it, and the step goes on…",
        WAITS,
        platform={"podResourceClaims": [{"resourceClaimTemplateName": "one-gpu"}]},
        knows="FailedResourceClaimCreation",
    ),
    # --- what the cluster does not take
    "no-service-account": Exhibit(
        "No such service account: trainer does not exist in the namespace. Create it, or launch the run with another.",
        service_account="trainer",
    ),
    "quota": Exhibit(
        "Quota reached: devices of the namespace has no room (requests.nvidia.com/gpu: 1 asked, 0 of 0 used). "
        "It starts when there is room.",
        WAITS,
        resources={"accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "1"}},
    ),
    "limit-range": Exhibit(
        "Limit range: a step may have at most 600 GiB of memory in this namespace; this one wants 700 GiB.",
        resources={"resourceMemoryLimit": "700Gi"},
    ),
    "pod-not-valid": Exhibit(
        'Pod not valid: spec.containers[0].resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit '
        "of 1Gi. Correct the step's settings or the pod template.",
        resources={"resourceMemoryRequest": "2Gi", "resourceMemoryLimit": "1Gi"},
    ),
    "label-not-valid": Exhibit(
        "'bad key!' cannot be the name of a pod label.",
        platform={"podMetadata": {"labels": {"bad key!": "x"}}},
    ),
    # --- what the step's container needs
    "secret-missing": Exhibit(
        "No such secret: db-password does not exist in namespace {namespace}. Create it, and the step goes on by itself.",
        WAITS,
        platform=secret_env("db-password", "password"),
        knows="CreateContainerConfigError",
    ),
    "secret-key-missing": Exhibit(
        "No such key: the secret there has no password. Add it, and the step goes on by itself.",
        WAITS,
        platform=secret_env("there", "password"),
        knows="CreateContainerConfigError",
    ),
    "config-map-missing": Exhibit(
        "No such config map: settings does not exist in namespace {namespace}. Create it, and the step goes on by itself.",
        WAITS,
        platform=config_map_env("settings", "mode"),
        knows="CreateContainerConfigError",
    ),
    "secret-volume-missing": Exhibit(
        "No such secret: tls-files does not exist in namespace {namespace}. Create it, and the step goes on by itself.",
        WAITS,
        platform={"secretAsVolume": [{"secretName": "tls-files", "mountPath": "/tls"}]},
        knows="FailedMount",
    ),
    "config-map-volume-missing": Exhibit(
        "No such config map: files does not exist in namespace {namespace}. Create it, and the step goes on by itself.",
        WAITS,
        platform={"configMapAsVolume": [{"configMapName": "files", "mountPath": "/files"}]},
        knows="FailedMount",
    ),
    "would-run-as-root": Exhibit(
        "Would run as root: the step must not (runAsNonRoot), and the image python:3.11 has no other user. "
        "Set runAsUser on the step, or USER in the image.",
        platform={"securityContext": {"runAsNonRoot": True}},
        knows="runAsNonRoot",
    ),
    "init-container-fails": Exhibit(
        "Init container fetch failed with exit code 2; the step did not begin.",
        cause="init-container",
        platform={"initContainers": [{"name": "fetch", "image": IMAGE, "command": ["sh", "-c", "exit 2"]}]},
        knows='"exitCode": 2',
    ),
    "init-container-has-no-image": Exhibit(
        "Image not found: docker.io has no python:9.97 of the init container fetch. Check its name and tag.",
        cause="image",
        platform={"initContainers": [{"name": "fetch", "image": "python:9.97"}]},
        knows="ErrImagePull",
    ),
    # --- how commands end
    "exit-code": Exhibit(
        "Exit code 3: KeyError: 'petal_width'",
        cause="exit-code",
        command=("sh", "-c", "echo loading; echo \"KeyError: 'petal_width'\" >&2; exit 3"),
    ),
    "crash": Exhibit(
        "Ended by SIGSEGV (a crash in native code)",
        cause="signal",
        command=python(
            "import os, resource, signal; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.kill(os.getpid(), signal.SIGSEGV)"
        ),
    ),
    "out-of-memory": Exhibit(
        "Out of memory: killed at its limit of 64 MiB (its peak was … MiB). Raise the step's memory limit or use less.",
        cause="out-of-memory",
        command=python(_MEMORY_EATER),
        resources={"resourceMemoryLimit": "64Mi"},
    ),
    "time-limit": Exhibit(
        "Took longer than its limit of 2 s",
        cause="timeout",
        platform={"activeDeadlineSeconds": "2"},
    ),
    "program-missing": Exhibit("train-model", cause="not-found", command=("train-model", "--fast")),
    "program-not-executable": Exhibit("/etc/passwd", command=("/etc/passwd",)),
    "output-missing": Exhibit("score", cause="outputs", command=("true",), component=_OUTPUT),
    # --- what others do
    "deleted-by-hand": Exhibit("Pod deleted: somebody deleted", TRIED_AGAIN, then="delete", knows="deletionTimestamp"),
    "drained": Exhibit(
        "Moved off its node: {node} is being emptied (drained)", TRIED_AGAIN, then="evict", knows="EvictionByEvictionAPI"
    ),
}


def objects(namespace: str) -> list[tuple[str, dict[str, Json]]]:
    """What is to be in the namespace: (path below the API, body) each."""
    core = f"/api/v1/namespaces/{namespace}"
    limits = {"type": "Container", "max": {"memory": "600Gi"}, "default": {"memory": "512Mi"}, "defaultRequest": {"memory": "16Mi"}}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "none-such", "resources": {"requests": {"storage": "1Gi"}}}
    return [
        (f"{core}/secrets", {"metadata": {"name": "there"}, "stringData": {"user": "ann"}}),
        (f"{core}/persistentvolumeclaims", {"metadata": {"name": "unbound"}, "spec": claim}),
        (f"{core}/resourcequotas", {"metadata": {"name": "devices"}, "spec": {"hard": {"requests.nvidia.com/gpu": "0"}}}),
        (f"{core}/limitranges", {"metadata": {"name": "most"}, "spec": {"limits": [limits]}}),
    ]


def as_text(document: Json) -> str:
    """A document of the cluster's to look for `knows` in."""
    return json.dumps(document)
