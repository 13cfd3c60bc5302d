"""What pod templates may hold: the installation's, which may hold anything of a pod, and a run's, which may not.

Whoever may run pipelines says by the platform document what a step mounts, where it runs and as which user. A run's template
says the rest of that kind; what opens the node, or touches what makes the pod kfdash's, is the installation's alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pipelines.spec.documents import SourceDocument, read_documents
from pipelines.spec.problems import Finding, Place, Problem, Refused, dotted, suggestion
from pipelines.spec.storable import unstorable
from runs.execution.platform import InvalidOrder
from runs.executors.kubernetes.names import LAUNCHER, MAIN, MANAGED_BY, PREFIX, is_label_value, is_qualified
from runs.executors.kubernetes.template import NAMED, laid_over
from runs.executors.kubernetes.volumes import has_own_name, has_own_path, mount_path

Json = Any

MOST_CHARACTERS = 64 * 1024  # of a run's template as JSON

_FREE = ("nodeSelector", "matchLabels", "labels", "annotations", "limits", "requests")  # objects whose keys are the user's
_PARTS = ("apiVersion", "kind", "metadata", "spec")
_WORDS: Mapping[type, str] = {dict: "an object", list: "a list", str: "a text", int: "a whole number", bool: "true or false"}
_POD: Mapping[str, type] = {
    "activeDeadlineSeconds": int,
    "affinity": dict,
    "automountServiceAccountToken": bool,
    "containers": list,
    "dnsConfig": dict,
    "dnsPolicy": str,
    "enableServiceLinks": bool,
    "hostAliases": list,
    "imagePullSecrets": list,
    "initContainers": list,
    "nodeSelector": dict,
    "preemptionPolicy": str,
    "priorityClassName": str,
    "resourceClaims": list,
    "resources": dict,
    "runtimeClassName": str,
    "schedulerName": str,
    "securityContext": dict,
    "serviceAccountName": str,
    "tolerations": list,
    "topologySpreadConstraints": list,
    "volumes": list,
}
_EVERY_CONTAINER: Mapping[str, type] = {
    "name": str,
    "env": list,
    "envFrom": list,
    "imagePullPolicy": str,
    "resources": dict,
    "securityContext": dict,
    "volumeMounts": list,
    "workingDir": str,
}
_INIT_CONTAINER: Mapping[str, type] = {
    **_EVERY_CONTAINER,
    "image": str,
    "command": list,
    "args": list,
    "restartPolicy": str,
    "startupProbe": dict,
}
_LAUNCHER: Mapping[str, type] = {"name": str, "resources": dict}
_USER: Mapping[str, type] = {"runAsUser": int, "runAsGroup": int, "runAsNonRoot": bool}
_POD_SECURITY: Mapping[str, type] = {
    **_USER,
    "fsGroup": int,
    "fsGroupChangePolicy": str,
    "supplementalGroups": list,
    "supplementalGroupsPolicy": str,
}
_CONTAINER_SECURITY: Mapping[str, type] = {**_USER, "readOnlyRootFilesystem": bool}
_SOURCES: Mapping[str, type] = dict.fromkeys(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"), dict
)
_SITES_ALONE = "opens the node to the step: only the installation's own template may set it (KFDASH_POD_TEMPLATE)."
_WHY: Mapping[str, str] = {  # fields that a run's template may not have, and why
    **dict.fromkeys(("hostNetwork", "hostPID", "hostIPC", "hostUsers", "hostPath", "privileged", "capabilities"), _SITES_ALONE),
    **dict.fromkeys(("allowPrivilegeEscalation", "procMount", "seccompProfile", "seLinuxOptions", "sysctls"), _SITES_ALONE),
    **dict.fromkeys(("appArmorProfile", "windowsOptions"), _SITES_ALONE),
    **dict.fromkeys(("restartPolicy", "terminationGracePeriodSeconds"), "is set by kfdash; leave it out."),
    "shareProcessNamespace": "would let the step see kfdash's launcher; leave it out.",
    "nodeName": "would pass the scheduler by; use `nodeSelector` with the label `kubernetes.io/hostname`.",
    **dict.fromkeys(("image", "command", "args"), "comes from the pipeline; leave it out."),
    **dict.fromkeys(("name", "namespace", "finalizers", "ownerReferences"), "of the pod is set by kfdash; leave it out."),
}


def site_template(text: str) -> dict[str, Json]:
    """The installation's template out of its YAML: `metadata` and `spec`. Raises Refused with every problem at its line."""
    found, source = _read(text)
    _raise_any(_shape(found), source)
    return _parts(found)


def run_template(given: str | Mapping[str, Json]) -> dict[str, Json]:
    """A run's template out of YAML, or out of an object: `metadata` and `spec`; empty where nothing is said.

    Raises Refused with every problem at its place, and at its line where it was a text.
    """
    if isinstance(given, str):
        found, source = _read(given)
    else:
        found, source = dict(given), None
        if why := unstorable(found):
            raise Refused([Problem(why)])
    if (size := len(json.dumps(found))) > MOST_CHARACTERS:
        raise Refused([Problem(f"The template has {size:,} characters; {MOST_CHARACTERS:,} are allowed.")])
    _raise_any(_shape(found), source)
    _raise_any(_limits(found), source)
    return _parts(found)


def underneath(site: Mapping[str, Json], run: Mapping[str, Json], closed: Mapping[str, Json]) -> dict[str, Json]:
    """The installation's template with a run's over it, whose own containers get the security context `closed`.

    Raises InvalidOrder where the run's touches what the installation's brings: it would run with rights that were
    meant for that.
    """
    if not run:
        return dict(site)
    spec = run.get("spec", {})
    for kind, word in (("initContainers", "container"), ("volumes", "volume")):
        taken = {item["name"] for item in [*site.get("spec", {}).get(kind, ()), *_site_containers(site, kind)]}
        for item in spec.get(kind, ()):
            if item["name"] != LAUNCHER and item["name"] in taken:
                raise InvalidOrder(
                    f"The run's pod template has a {word} {item['name']!r}, as the installation's template has. Call it otherwise."
                )
    init = [
        item if item["name"] == LAUNCHER else {**item, "securityContext": {**item.get("securityContext", {}), **closed}}
        for item in spec.get("initContainers", ())
    ]
    own = {**run, "spec": {**spec, "initContainers": init}} if init else run
    return laid_over(site, own)


def _site_containers(site: Mapping[str, Json], kind: str) -> list[Mapping[str, Json]]:
    return list(site.get("spec", {}).get("containers", ())) if kind == "initContainers" else []


# --- reading --------------------------------------------------------------------------------------------------------


def _read(text: str) -> tuple[dict[str, Json], SourceDocument | None]:
    documents = read_documents(text)
    if not documents:
        return {}, None
    if len(documents) > 1:
        raise Refused([Problem("A template is one document; this has several.", line=documents[1].first_line)])
    if not isinstance(documents[0].value, dict):
        raise Refused([Problem("A template is a pod's `metadata` and `spec`; this is neither.", line=documents[0].first_line)])
    return documents[0].value, documents[0]


def _parts(found: Mapping[str, Json]) -> dict[str, Json]:
    return {key: found[key] for key in ("metadata", "spec") if found.get(key)}


def _raise_any(findings: Iterable[Finding], source: SourceDocument | None) -> None:
    if found := list(findings):
        line_of: Callable[[Place], int | None] = source.line_of if source is not None else lambda place: None
        raise Refused(Problem(finding.message, dotted(finding.place), line_of(finding.place)) for finding in found)


# --- the shape of every template -------------------------------------------------------------------------------------


def _shape(found: Mapping[str, Json]) -> Iterator[Finding]:
    for name in found:
        if name not in _PARTS:
            yield Finding((name,), f"`{name}` is no part of a pod{suggestion(name, _PARTS)}")
    if found.get("kind") not in (None, "Pod"):
        yield Finding(("kind",), "A template is a Pod.")
    for part in ("metadata", "spec"):
        if found.get(part) is not None and not isinstance(found[part], dict):
            yield Finding((part,), f"`{part}` must be an object.")
        elif part == "spec":
            yield from _lists(found.get(part) or {}, (part,))


def _lists(found: Mapping[str, Json], place: Place) -> Iterator[Finding]:
    """Lists that are merged by a key must be lists of objects that have it."""
    for name, value in found.items():
        here = (*place, name)
        if name not in NAMED:
            if isinstance(value, dict) and name not in _FREE:
                yield from _lists(value, here)
        elif value is not None and not isinstance(value, list):
            yield Finding(here, f"`{name}` must be a list.")
        else:
            for index, item in enumerate(value or ()):
                if not isinstance(item, dict) or item.get(NAMED[name]) in (None, ""):
                    yield Finding((*here, index), f"Each item of `{name}` must be an object with `{NAMED[name]}`.")
                else:
                    yield from _lists(item, (*here, index))


# --- what a run's may hold -------------------------------------------------------------------------------------------


def _limits(found: Mapping[str, Json]) -> Iterator[Finding]:
    yield from _metadata(found.get("metadata") or {})
    spec = found.get("spec") or {}
    place: Place = ("spec",)
    yield from _fields(spec, _POD, place)
    yield from _fields(_object(spec, "securityContext"), _POD_SECURITY, (*place, "securityContext"))
    volumes = [item.get("name") for item in _listed(spec, "volumes")]
    for index, claim in enumerate(_listed(spec, "resourceClaims")):
        if has_own_name(str(claim.get("name"))):
            yield Finding((*place, "resourceClaims", index, "name"), f"The name `{claim['name']}` is kfdash's. Call it otherwise.")
    for index, volume in enumerate(_listed(spec, "volumes")):
        yield from _volume(volume, (*place, "volumes", index))
    for index, container in enumerate(_listed(spec, "containers")):
        here = (*place, "containers", index)
        if container.get("name") != MAIN:
            yield Finding(
                here,
                f"The step's container is `{MAIN}`, and a pod waits for every other one. What is to run beside the step is "
                "an init container with `restartPolicy: Always`.",
            )
        else:
            yield from _container(container, _EVERY_CONTAINER, volumes, here)
    for index, container in enumerate(_listed(spec, "initContainers")):
        here = (*place, "initContainers", index)
        if container.get("name") == LAUNCHER:
            yield from _fields(container, _LAUNCHER, here, "The launcher is kfdash's own; only its `resources` may be set.")
        else:
            yield from _init_container(container, volumes, here)


def _metadata(metadata: Mapping[str, Json]) -> Iterator[Finding]:
    yield from _fields(metadata, {"labels": dict, "annotations": dict}, ("metadata",))
    for kind, word in (("labels", "a label"), ("annotations", "an annotation")):
        for name, value in _object(metadata, kind).items():
            here = ("metadata", kind, name)
            if name.partition("/")[0] == PREFIX or name == MANAGED_BY:
                yield Finding(here, f"`{name}` is set by kfdash; leave it out.")
            elif not is_qualified(name):
                yield Finding(here, f"`{name[:100]}` cannot be the name of {word}.")
            elif not isinstance(value, str):
                yield Finding(here, "The value must be a text: put it in quotes.")
            elif kind == "labels" and not is_label_value(value):
                yield Finding(
                    here,
                    "A label's value has at most 63 letters, digits, '-', '_' and '.', the first and the last a letter or digit.",
                )


def _volume(volume: Mapping[str, Json], place: Place) -> Iterator[Finding]:
    yield from _fields(volume, {"name": str, **_SOURCES}, place)
    if has_own_name(str(volume.get("name"))):
        yield Finding((*place, "name"), f"The name `{volume['name']}` is taken by a volume of kfdash. Call it otherwise.")


def _container(container: Mapping[str, Json], known: Mapping[str, type], volumes: list[Json], place: Place) -> Iterator[Finding]:
    yield from _fields(container, known, place)
    yield from _fields(_object(container, "securityContext"), _CONTAINER_SECURITY, (*place, "securityContext"))
    for index, variable in enumerate(_listed(container, "env")):
        if variable.get("value") is not None and not isinstance(variable["value"], str):
            yield Finding((*place, "env", index, "value"), "The value must be a text: put it in quotes.")
    for index, mount in enumerate(_listed(container, "volumeMounts")):
        here = (*place, "volumeMounts", index)
        path = mount.get("mountPath")
        try:
            clean = mount_path(path if isinstance(path, str) else "", "a volume")
        except InvalidOrder as error:
            yield Finding((*here, "mountPath"), str(error))
        else:
            if has_own_path(clean):
                yield Finding((*here, "mountPath"), f"At `{path}` the pod has a volume of kfdash. Mount it elsewhere.")
        if mount.get("name") not in volumes:
            yield Finding((*here, "name"), f"The template has no volume `{mount.get('name')}`; add it to `spec.volumes`.")


def _init_container(container: Mapping[str, Json], volumes: list[Json], place: Place) -> Iterator[Finding]:
    yield from _container(container, _INIT_CONTAINER, volumes, place)
    if not container.get("image"):
        yield Finding(place, "An init container needs an `image`.")
    if container.get("restartPolicy") not in (None, "Always"):
        yield Finding((*place, "restartPolicy"), "The restart policy of an init container is `Always`, or is left out.")
    if container.get("name") == MAIN:
        yield Finding((*place, "name"), f"The name `{MAIN}` is the step's. Call it otherwise.")


def _fields(found: Mapping[str, Json], known: Mapping[str, type], place: Place, other: str = "") -> Iterator[Finding]:
    """Fields that are not among the known ones, or of another kind."""
    for name, value in found.items():
        here = (*place, name)
        if name not in known:
            why = other or (f"`{name}` {_WHY[name]}" if name in _WHY else _unknown(name, known))
            yield Finding(here, why)
        elif value is not None and (not isinstance(value, known[name]) or isinstance(value, bool) != (known[name] is bool)):
            yield Finding(here, f"`{name}` must be {_WORDS[known[name]]}.")


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"A run's template may not set `{name[:100]}` here{suggestion(name, known)}"


def _object(found: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _listed(found: Mapping[str, Json], name: str) -> list[Mapping[str, Json]]:
    value = found.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
