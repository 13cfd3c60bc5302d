"""The Kubernetes document of a package: read by its shape, and what of it has no meaning outside a cluster.

The shape is that of KFP's `kubernetes_executor_config.proto`. Fields that are not known here are kept as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.spec.documents import camel
from pipelines.spec.model import ContainerSpec, PipelineSpec
from pipelines.spec.problems import Finding, Place
from pipelines.spec.values import kind_of, normalise

Json = Any
Shape = Any  # one of the words below, a list of one shape, or an object of shapes by field

TEXT, WHOLE, FLAG, TEXTS, ANY = "text", "a whole number", "true or false", "an object of texts", "anything"

INPUT: Shape = {  # where a value comes from, in the scope of the enclosing DAG
    "runtimeValue": ANY,
    "componentInputParameter": TEXT,
    "taskOutputParameter": {"producerTask": TEXT, "outputParameterKey": TEXT},
    "taskFinalStatus": {"producerTask": TEXT},
    "parameterExpressionSelector": TEXT,
}
_METADATA: Shape = {"labels": TEXTS, "annotations": TEXTS}
_SELECTOR: Shape = [{"key": TEXT, "operator": TEXT, "values": [TEXT]}]
_SECRET: Shape = {"secretName": TEXT, "secretNameParameter": INPUT, "optional": FLAG}
_CONFIG_MAP: Shape = {"configMapName": TEXT, "configMapNameParameter": INPUT, "optional": FLAG}

KUBERNETES_EXECUTOR_CONFIG: Shape = {
    "secretAsVolume": [_SECRET | {"mountPath": TEXT}],
    "secretAsEnv": [_SECRET | {"keyToEnv": [{"secretKey": TEXT, "envVar": TEXT}]}],
    "configMapAsVolume": [_CONFIG_MAP | {"mountPath": TEXT}],
    "configMapAsEnv": [_CONFIG_MAP | {"keyToEnv": [{"configMapKey": TEXT, "envVar": TEXT}]}],
    "pvcMount": [
        {
            "pvcNameParameter": INPUT,
            "constant": TEXT,
            "componentInputParameter": TEXT,
            "taskOutputParameter": {"producerTask": TEXT, "outputParameterKey": TEXT},
            "mountPath": TEXT,
            "subPath": TEXT,
        }
    ],
    "nodeSelector": {"labels": TEXTS, "nodeSelectorJson": INPUT},
    "tolerations": [
        {"key": TEXT, "operator": TEXT, "value": TEXT, "effect": TEXT, "tolerationSeconds": WHOLE, "tolerationJson": INPUT}
    ],
    "nodeAffinity": [{"matchExpressions": _SELECTOR, "matchFields": _SELECTOR, "weight": WHOLE, "nodeAffinityJson": INPUT}],
    "podAffinity": [
        {
            "matchPodExpressions": _SELECTOR,
            "matchPodLabels": TEXTS,
            "topologyKey": TEXT,
            "namespaces": [TEXT],
            "matchNamespaceExpressions": _SELECTOR,
            "matchNamespaceLabels": TEXTS,
            "weight": WHOLE,
            "anti": FLAG,
        }
    ],
    "podMetadata": _METADATA,
    "imagePullSecret": [{"secretName": TEXT, "secretNameParameter": INPUT}],
    "imagePullPolicy": TEXT,
    "activeDeadlineSeconds": WHOLE,
    "fieldPathAsEnv": [{"name": TEXT, "fieldPath": TEXT}],
    "genericEphemeralVolume": [
        {
            "volumeName": TEXT,
            "mountPath": TEXT,
            "accessModes": [TEXT],
            "size": TEXT,
            "defaultStorageClass": FLAG,
            "storageClassName": TEXT,
            "metadata": _METADATA,
        }
    ],
    "emptyDirMounts": [{"volumeName": TEXT, "mountPath": TEXT, "medium": TEXT, "sizeLimit": TEXT}],
    "enabledSharedMemory": {"volumeName": TEXT, "size": TEXT},
    "securityContext": {"runAsUser": WHOLE, "runAsGroup": WHOLE, "runAsNonRoot": FLAG},
    "initContainers": [
        {
            "name": TEXT,
            "image": TEXT,
            "command": [TEXT],
            "args": [TEXT],
            "env": [{"name": TEXT, "value": TEXT}],
            "volumeMounts": [{"volumeName": TEXT, "mountPath": TEXT}],
            "restartPolicy": TEXT,
            "resources": {"requests": TEXTS, "limits": TEXTS},
        }
    ],
    "podResourceClaims": [{"resourceClaimTemplateName": TEXT, "resourceClaimJson": INPUT}],
}

CREATE_CLAIM_IMAGE = "argostub/createpvc"
DELETE_CLAIM_IMAGE = "argostub/deletepvc"


def read_executor(data: Json, place: Place) -> tuple[dict[str, Json], list[Finding]]:
    """A KubernetesExecutorConfig with camelCase keys and integral numbers, and what in it has the wrong shape."""
    findings: list[Finding] = []
    read = _read(normalise(data), KUBERNETES_EXECUTOR_CONFIG, place, findings)
    config = read if isinstance(read, dict) else {}
    if config.get("activeDeadlineSeconds", 0) < 0:
        findings.append(Finding((*place, "activeDeadlineSeconds"), "The step's time limit is below zero."))
    return config, findings


def _read(value: Json, shape: Shape, place: Place, findings: list[Finding]) -> Json:
    """The value in its shape; what does not fit is noted and given as None."""
    if shape is ANY or value is None:
        return value
    if isinstance(shape, dict):
        return _read_object(value, shape, place, findings)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _misfit(value, "a list", place, findings)
        items = [_read(item, shape[0], (*place, index), findings) for index, item in enumerate(value)]
        return [item for item in items if item is not None]
    if shape is TEXTS:
        fits = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    elif shape is WHOLE:
        if isinstance(value, str) and value.lstrip("-").isdecimal():
            return int(value)  # protobuf writes 64-bit integers as text
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str if shape is TEXT else bool)
    return value if fits else _misfit(value, shape, place, findings)


def _read_object(value: Json, shape: Mapping[str, Shape], place: Place, findings: list[Finding]) -> Json:
    if not isinstance(value, dict):
        return _misfit(value, "an object", place, findings)
    kept: dict[str, Json] = {}
    for key, item in value.items():
        name = camel(key)
        read = _read(item, shape.get(name, ANY), (*place, key), findings)
        if read is not None:
            kept[name if name in shape else key] = read
    return kept


def _misfit(value: Json, wanted: str, place: Place, findings: list[Finding]) -> None:
    findings.append(Finding(place, f"This must be {wanted}, not {kind_of(value)}."))


# --- outside a cluster ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LocalNotice:
    """Something that the local executor does not honour. `executor` is the label, empty for the whole pipeline.

    `refuses` says that a step would not work without it, so that the run is refused.
    """

    executor: str
    feature: str
    sentence: str
    refuses: bool


_NEEDED: Mapping[str, str] = {
    "secretAsVolume": "The step needs a Kubernetes secret as files, which only a cluster has.",
    "secretAsEnv": "The step needs a Kubernetes secret in its environment, which only a cluster has.",
    "configMapAsVolume": "The step needs a Kubernetes config map as files, which only a cluster has.",
    "configMapAsEnv": "The step needs a Kubernetes config map in its environment, which only a cluster has.",
    "pvcMount": "The step mounts a Kubernetes volume claim, which only a cluster has.",
    "genericEphemeralVolume": "The step mounts an ephemeral Kubernetes volume, which only a cluster has.",
    "emptyDirMounts": "The step mounts an emptyDir volume, which only a cluster has.",
}
_NOT_HONOURED: Mapping[str, str] = {
    "nodeSelector": "The node selector has no effect here: every step runs on this machine.",
    "tolerations": "Tolerations have no effect here: every step runs on this machine.",
    "nodeAffinity": "Node affinity has no effect here: every step runs on this machine.",
    "podAffinity": "Pod affinity has no effect here: every step runs on this machine.",
    "podMetadata": "Labels and annotations of the pod have no effect here: there is no pod.",
    "imagePullSecret": "The pull secret is not used here: images are not pulled.",
    "imagePullPolicy": "The pull policy has no effect here: images are not pulled.",
    "fieldPathAsEnv": "Environment variables from fields of the pod are not set here: there is no pod.",
    "enabledSharedMemory": "The size of shared memory is not set here; the machine's own is used.",
    "securityContext": "The security context has no effect here: the step runs as the user of this server.",
    "initContainers": "Init containers and sidecars are not started here.",
    "podResourceClaims": "Resource claims are not made here: the step sees this machine's own devices.",
}
_CLAIMS: Mapping[str, str] = {
    CREATE_CLAIM_IMAGE: "The step makes a Kubernetes volume claim, which only a cluster can.",
    DELETE_CLAIM_IMAGE: "The step deletes a Kubernetes volume claim, which only a cluster has.",
}


def claim_image(image: str) -> str:
    """The image's name where it stands for making or deleting a claim (without registry's tag), else empty."""
    name = image.partition(":")[0]
    return name if name in _CLAIMS else ""


def local_notices(spec: PipelineSpec) -> tuple[LocalNotice, ...]:
    """What the local executor will not honour of a pipeline, in the order of its executors; the whole pipeline's last."""
    notices: list[LocalNotice] = []
    for label in _used_executors(spec):
        executor = spec.executors.get(label)
        if isinstance(executor, ContainerSpec):
            notices += _of_container(executor)
        notices += _of_config(label, spec.platform.executors.get(label, {}))
    if spec.platform.pipeline.get("workspace", {}).get("kubernetes", {}).get("pvcSpecPatch"):
        sentence = "The workspace is a folder on this machine; its storage class, access modes and size have no effect."
        notices.append(LocalNotice("", "workspace", sentence, refuses=False))
    return tuple(notices)


def _of_container(executor: ContainerSpec) -> Iterator[LocalNotice]:
    if image := claim_image(executor.image):
        yield LocalNotice(executor.label, image.rpartition("/")[2], _CLAIMS[image], refuses=True)
    resources = executor.resources
    if resources.accelerator_type or resources.accelerator_count:
        sentence = "Accelerators are not reserved here: the step sees what this machine has."
        yield LocalNotice(executor.label, "accelerator", sentence, refuses=False)
    if resources.cpu_limit or resources.memory_limit or resources.cpu_request or resources.memory_request:
        sentence = "Requests and limits of CPU and memory are not enforced here."
        yield LocalNotice(executor.label, "resources", sentence, refuses=False)


def _of_config(label: str, config: Mapping[str, Json]) -> Iterator[LocalNotice]:
    for feature, value in config.items():
        if not value:
            continue
        if feature in _NEEDED:
            optional = isinstance(value, list) and all(isinstance(item, dict) and item.get("optional") for item in value)
            sentence = f"{_NEEDED[feature]} It is optional, so the step runs without." if optional else _NEEDED[feature]
            yield LocalNotice(label, feature, sentence, refuses=not optional)
        elif feature in _NOT_HONOURED:
            yield LocalNotice(label, feature, _NOT_HONOURED[feature], refuses=False)
        elif feature not in KUBERNETES_EXECUTOR_CONFIG:
            yield LocalNotice(label, feature, f"The setting `{feature}` is not known here and has no effect.", refuses=False)


def _used_executors(spec: PipelineSpec) -> list[str]:
    """Labels of the executors that a run can reach, each once, in the order of the tasks."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    pending = [spec.root]
    while pending:
        component = pending.pop(0)
        if component.executor:
            found[component.executor] = None
        for task in component.dag.tasks.values() if component.dag else ():
            if task.component not in seen and task.component in spec.components:
                seen.add(task.component)
                pending.append(spec.components[task.component])
    return list(found)
