"""From a complete order to the pod that carries it out. Plain dicts; what the cluster would refuse is refused here, in words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from runs.execution.attempt import AttemptOrder
from runs.execution.locations import container_path, used_paths
from runs.execution.platform import CLAIM_FORMS, InvalidOrder, affinity, env_from, pod_resources
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.names import (
    FINALIZER,
    INSTALLATION,
    LAUNCHER,
    MAIN,
    MANAGED_BY,
    NUMBER,
    PATH,
    RUN,
    TOKEN,
    is_label_value,
    is_object_name,
    is_qualified,
)
from runs.executors.kubernetes.permitted import underneath
from runs.executors.kubernetes.template import laid_over
from runs.executors.kubernetes.volumes import (
    Volumes,
    add_addresses,
    add_own,
    add_wanted,
    add_workspace,
    launcher_mounts,
    mount_path,
)

Json = Any

ENTRY = "/kfdash/bin/entry"
_CREDENTIAL = {"fieldPath": f"metadata.annotations['{TOKEN}']"}

_COLLECTING = 3600  # seconds that collecting may take, see `entry`
_LAUNCHER_USER = 65532
_CLOSED: Mapping[str, Json] = {  # for user's containers: as the platform document may not say otherwise
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
_FLOOR: Mapping[str, Json] = {"spec": {"automountServiceAccountToken": False, "enableServiceLinks": False}}
_POLICIES = ("Always", "Never", "IfNotPresent")
_CONTAINER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?")
_MODELS = "/oci"
_COPY_MODELS = (
    'if [ -z "$(ls -A /models 2>/dev/null)" ]; then echo "The image has nothing in /models." >&2; exit 1; fi; '
    'mkdir -p "$0" && cp -R /models/. "$0/" && chmod -R a+rX "$0"'
)


def manifest(order: AttemptOrder, config: Config, token: str) -> dict[str, Json]:
    """The pod of an attempt, whose launcher shows `token`. Raises InvalidOrder with a sentence for what can never run."""
    _check_names(order.platform)
    volumes = Volumes()
    beneath = underneath(config.pod_template, order.pod_template, _CLOSED)
    under_entry = bool(order.command or order.args)
    if under_entry:
        may_write = not _is_confined(beneath, order)
        add_own(volumes, used=used_paths(order.executor_input), can_make_folders=may_write)
        if config.by_mail:
            add_addresses(volumes, _CREDENTIAL)
    elif order.output_parameters or order.output_artifacts:
        raise InvalidOrder(
            "The step has outputs and neither a command nor arguments: what the image's own entry point writes cannot be "
            "collected. Give the component a command."
        )
    claim = str(order.workspace_claim.get("name", ""))
    if claim:
        add_workspace(volumes, claim)
    add_wanted(volumes, order.platform)
    models = _models(order, volumes)
    main = _main(order, volumes, under_entry=under_entry)
    init = [_init_container(entry, volumes) for entry in order.platform.get("initContainers", ())] + models
    if under_entry:
        init.append(_launcher(order, config, volumes, workspace=bool(claim)))
    spec: dict[str, Json] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": math.ceil(config.grace) + 10,
        "containers": [main],
        "volumes": list(volumes.volumes.values()),
        **_placement(order.platform),
    }
    if init:
        spec["initContainers"] = init
    if order.timeout:
        behind = 0 if not under_entry else config.start_timeout + _COLLECTING + config.grace
        spec["activeDeadlineSeconds"] = math.ceil(order.timeout + behind)
    if order.service_account:
        spec |= {"serviceAccountName": order.service_account, "automountServiceAccountToken": True}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(order, config, token), "spec": spec}
    return laid_over(laid_over(_FLOOR, beneath), pod)


def workspace_manifest(order: AttemptOrder, installation: str) -> dict[str, Json]:
    """The claim that is the run's workspace, where the step uses it. Raises InvalidOrder."""
    workspace = order.workspace_claim.get("workspace", {})
    patch = workspace.get("kubernetes", {}).get("pvcSpecPatch", {})
    spec: dict[str, Json] = {"accessModes": ["ReadWriteOnce"], **patch}
    if size := workspace.get("size"):
        spec["resources"] = laid_over(spec.get("resources", {}), {"requests": {"storage": size}})
    if not spec.get("resources", {}).get("requests", {}).get("storage"):
        raise InvalidOrder("The pipeline's workspace has no size.")
    labels = {MANAGED_BY: "kfdash", INSTALLATION: installation, RUN: order.run_id}
    metadata = {"name": order.workspace_claim["name"], "labels": labels}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


# --- the parts of the pod -------------------------------------------------------------------------------------------


def _metadata(order: AttemptOrder, config: Config, token: str) -> dict[str, Json]:
    wanted = order.platform.get("podMetadata", {})
    labels = {MANAGED_BY: "kfdash", INSTALLATION: config.installation, RUN: order.run_id}
    annotations = {PATH: order.path, NUMBER: str(order.number), TOKEN: token}
    return {
        "name": order.name,
        "labels": {**wanted.get("labels", {}), **labels},
        "annotations": {**wanted.get("annotations", {}), **annotations},
        "finalizers": [FINALIZER],
    }


def _main(order: AttemptOrder, volumes: Volumes, *, under_entry: bool) -> dict[str, Json]:
    uid = {"name": "KFP_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    env: list[dict[str, Json]] = [{"name": name, "value": value} for name, value in order.env] + [uid] + env_from(order.platform)
    for variable in env:
        _check_variable(variable["name"])
    main: dict[str, Json] = {
        "name": MAIN,
        "image": _image(order.image, "The step"),
        "env": env,
        "securityContext": _security(order.platform.get("securityContext", {})),
    }
    if under_entry:
        main["command"] = [ENTRY]
    if volumes.mounts:
        main["volumeMounts"] = volumes.mounts
    if resources := pod_resources(order.resources):
        _check_resources(resources)
        main["resources"] = resources
    if claims := order.platform.get("podResourceClaims"):
        main["resources"] = {**resources, "claims": [{"name": f"kfp-claim-{number}"} for number in range(1, len(claims) + 1)]}
    if policy := order.platform.get("imagePullPolicy"):
        if policy not in _POLICIES:
            raise InvalidOrder(f"The image pull policy is {policy!r}; it may be {', '.join(_POLICIES)}.")
        main["imagePullPolicy"] = policy
    return main


def _is_confined(beneath: Mapping[str, Json], order: AttemptOrder) -> bool:
    """Whether it is known that the step's user cannot make folders at the root; what the image says of its user is not."""
    spec = beneath.get("spec", {})
    main: Mapping[str, Json] = next((one for one in spec.get("containers", ()) if one.get("name") == MAIN), {})
    said: dict[str, Json] = {}
    for context in (spec.get("securityContext"), main.get("securityContext"), order.platform.get("securityContext")):
        said |= {key: value for key, value in (context or {}).items() if value is not None}
    return bool(said.get("runAsUser") or said.get("runAsNonRoot") or said.get("readOnlyRootFilesystem"))


def _security(wanted: Mapping[str, Json]) -> dict[str, Json]:
    found = {key: wanted[key] for key in ("runAsUser", "runAsGroup", "runAsNonRoot") if wanted.get(key) is not None}
    if found.get("runAsNonRoot") and found.get("runAsUser") == 0:
        raise InvalidOrder("The security context asks for the user 0 and says that it must not be root. Choose one of the two.")
    if any(found.get(key, 0) < 0 for key in ("runAsUser", "runAsGroup")):
        raise InvalidOrder("The security context names a user or group below 0.")
    return {**found, **_CLOSED}


def _launcher(order: AttemptOrder, config: Config, volumes: Volumes, *, workspace: bool) -> dict[str, Json]:
    # The hook is waited for: only then is the step's container made, which begins with `entry`. To have the launcher's container
    # begin as `entry --install` costs less, and on a node that is very busy the step's container is made before that has run.
    install = {"exec": {"command": ["/opt/kfdash/entry", "--install", ENTRY]}}
    token = [] if config.by_mail else [{"name": "KFDASH_TOKEN", "valueFrom": {"fieldRef": _CREDENTIAL}}]
    return {
        "name": LAUNCHER,
        "image": config.image,
        "command": ["python3", "-m", "runs.launcher"],
        "restartPolicy": "Always",
        "env": [
            {"name": "KFDASH_LAUNCHER_URL", "value": config.launcher_url},
            {"name": "KFDASH_ATTEMPT", "value": order.name},
            *token,
            *([{"name": "KFDASH_PLACES", "value": ":".join(volumes.reserved)}] if volumes.reserved else []),
        ],
        "lifecycle": {"postStart": install},
        "terminationMessagePolicy": "FallbackToLogsOnError",  # what it said last is then in the pod's status
        "resources": {
            "requests": {"cpu": config.launcher_cpu, "memory": config.launcher_memory},
            "limits": {"memory": config.launcher_memory_limit},
        },
        "securityContext": launcher_security(),
        "volumeMounts": launcher_mounts(volumes, workspace=workspace),
    }


def launcher_security() -> dict[str, Json]:
    """The security context of our own containers: what the restricted pod standard asks for, and a read-only root."""
    user = {"runAsUser": _LAUNCHER_USER, "runAsGroup": _LAUNCHER_USER, "runAsNonRoot": True}
    return {**_CLOSED, **user, "readOnlyRootFilesystem": True}


def _init_container(entry: Mapping[str, Json], volumes: Volumes) -> dict[str, Json]:
    name = entry.get("name", "")
    if not _CONTAINER_NAME.fullmatch(name):
        raise InvalidOrder(f"An init container is called {name!r}; it needs a name of a-z, 0-9 and '-', at most 63 characters.")
    found: dict[str, Json] = {"name": name, "image": _image(entry.get("image", ""), f"The init container {name!r}")}
    found |= {key: entry[key] for key in ("command", "args", "env", "resources") if entry.get(key)}
    if policy := entry.get("restartPolicy"):
        if policy != "Always":
            raise InvalidOrder(f"The init container {name!r} has the restart policy {policy!r}; only 'Always' is one.")
        found["restartPolicy"] = policy
    mounts = []
    for mount in entry.get("volumeMounts", ()):
        wanted = mount.get("volumeName", "")
        if wanted not in volumes.names:
            raise InvalidOrder(f"The init container {name!r} mounts the volume {wanted!r}, which the step does not have.")
        path = mount_path(mount.get("mountPath", ""), f"the volume {wanted!r}")
        mounts.append({"name": volumes.names[wanted], "mountPath": path})
    if mounts:
        found["volumeMounts"] = mounts
    return {**found, "securityContext": dict(_CLOSED)}


def _models(order: AttemptOrder, volumes: Volumes) -> list[dict[str, Json]]:
    """For each input that is a model image: a container of it that copies its `/models` to where the step looks for them."""
    uris = [
        artifact.get("uri", "")
        for listed in order.executor_input.get("inputs", {}).get("artifacts", {}).values()
        for artifact in listed.get("artifacts", [])
    ]
    models = list(dict.fromkeys(uri for uri in uris if uri.startswith("oci://")))
    if not models:
        return []
    # One volume above all of them: their own paths have a colon, and no mount may.
    name = volumes.add("kfp-oci", {"emptyDir": {}})
    volumes.mount(name, _MODELS, what="the images of models")
    found = []
    for number, uri in enumerate(models, 1):
        found.append(
            {
                "name": f"model-{number}",
                "image": uri.removeprefix("oci://"),
                "command": ["sh", "-c", _COPY_MODELS, container_path(uri)],
                "volumeMounts": [{"name": name, "mountPath": _MODELS}],
                "securityContext": dict(_CLOSED),
            }
        )
    return found


def _placement(platform: Mapping[str, Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    if labels := platform.get("nodeSelector", {}).get("labels"):
        found["nodeSelector"] = labels
    if wanted := affinity(platform):
        found["affinity"] = wanted
    if tolerations := platform.get("tolerations"):
        found["tolerations"] = tolerations
    if secrets := [{"name": entry["secretName"]} for entry in platform.get("imagePullSecret", ()) if entry.get("secretName")]:
        found["imagePullSecrets"] = secrets
    if claims := [_resource_claim(entry, number) for number, entry in enumerate(platform.get("podResourceClaims", ()), 1)]:
        found["resourceClaims"] = claims
    return found


def _resource_claim(entry: Mapping[str, Json], number: int) -> dict[str, Json]:
    named = {form: entry[form] for form in CLAIM_FORMS if entry.get(form)}
    if len(named) != 1:
        raise InvalidOrder(
            "A resource claim of the step must name either its template ('resourceClaimTemplateName') or a claim that there is "
            "('resourceClaimName')."
        )
    for form, name in named.items():
        if not isinstance(name, str) or not is_object_name(name):
            raise InvalidOrder(f"{str(name)[:100]!r} cannot be the name of a resource claim or its template ('{form}').")
    return {"name": f"kfp-claim-{number}", **named}


# --- what makes no pod ----------------------------------------------------------------------------------------------


def _check_names(platform: Mapping[str, Json]) -> None:
    for setting, member, word in (
        ("secretAsVolume", "secretName", "secret"),
        ("secretAsEnv", "secretName", "secret"),
        ("configMapAsVolume", "configMapName", "config map"),
        ("configMapAsEnv", "configMapName", "config map"),
        ("imagePullSecret", "secretName", "secret"),
        ("pvcMount", "pvcName", "volume claim"),
    ):
        for entry in platform.get(setting, ()):
            if not is_object_name(entry.get(member, "")):
                raise InvalidOrder(f"{entry.get(member, '')[:100]!r} cannot be the name of a {word} ('{setting}').")
    labels = platform.get("podMetadata", {}).get("labels", {})
    for where, found in (("pod label", labels), ("node label", platform.get("nodeSelector", {}).get("labels", {}))):
        for name, value in found.items():
            _check_label(where, name, value)
    for name in platform.get("podMetadata", {}).get("annotations", {}):
        if not is_qualified(name):
            raise InvalidOrder(f"{name[:100]!r} cannot be the name of a pod annotation.")
    _check_init_names([entry.get("name", "") for entry in platform.get("initContainers", ())])


def _check_label(where: str, name: str, value: str) -> None:
    if not is_qualified(name):
        raise InvalidOrder(f"{name[:100]!r} cannot be the name of a {where}.")
    if not is_label_value(value):
        raise InvalidOrder(
            f"The {where} {name!r} cannot have the value {value[:100]!r}: at most 63 letters, digits, '-', '_' and '.', "
            "beginning and ending with a letter or a digit."
        )


def _check_init_names(names: list[str]) -> None:
    for name in names:
        if name in (MAIN, LAUNCHER, "kfp-launcher") or name.startswith("model-"):
            raise InvalidOrder(f"An init container may not be called {name!r}: the name is taken. Rename it.")
        if names.count(name) > 1:
            raise InvalidOrder(f"Two init containers are called {name!r}. Rename one.")


def _check_variable(name: str) -> None:
    if not name or "=" in name or not name.isascii() or not name.isprintable():
        raise InvalidOrder(f"{name[:100]!r} cannot be the name of an environment variable.")


def _check_resources(resources: Mapping[str, Mapping[str, str]]) -> None:
    for kind, quantities in resources.items():
        for name, quantity in quantities.items():
            if not is_qualified(name):
                raise InvalidOrder(f"{name[:100]!r} cannot be the name of a resource, such as 'nvidia.com/gpu'.")
            if not _QUANTITY.fullmatch(quantity):
                raise InvalidOrder(f"{quantity[:100]!r} is no quantity of {name} ({kind}), such as '500m' or '2Gi'.")


def _image(image: str, whose: str) -> str:
    if not image or image != image.strip() or len(image.split()) != 1:
        raise InvalidOrder(f"{whose} has no image that could be pulled: {image[:100]!r}.")
    return image
