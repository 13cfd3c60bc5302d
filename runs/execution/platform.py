"""The Kubernetes settings of a step with their parameters resolved, and the TaskConfig that some components ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.spec.model import ComponentSpec, ParameterType
from pipelines.spec.values import to_json_text

Json = Any
# An input-parameter spec → its value in the scope of the enclosing DAG, None for an optional one that is unset.
Resolver = Callable[[Mapping[str, Json]], Json]

_NAMED = {  # the setting → its member that names something; `<member>Parameter` is the form with a parameter
    "secretAsVolume": "secretName",
    "secretAsEnv": "secretName",
    "configMapAsVolume": "configMapName",
    "configMapAsEnv": "configMapName",
    "imagePullSecret": "secretName",
}
_PARAMETER_FORMS = ("constant", "componentInputParameter", "taskOutputParameter")
CLAIM_FORMS = ("resourceClaimTemplateName", "resourceClaimName")  # how a claim of devices is named
_FIELDS = {  # TaskConfig's passthrough → the settings it covers
    "KUBERNETES_AFFINITY": ("nodeAffinity", "podAffinity"),
    "KUBERNETES_TOLERATIONS": ("tolerations",),
    "KUBERNETES_NODE_SELECTOR": ("nodeSelector",),
    "KUBERNETES_VOLUMES": ("pvcMount", "secretAsVolume", "configMapAsVolume"),
    "ENV": ("secretAsEnv", "configMapAsEnv", "fieldPathAsEnv"),
}


class InvalidOrder(ValueError):
    """The step can never be started as it is. The message is for people."""


@dataclass(frozen=True)
class TaskConfig:
    """What a component with TaskConfig gets: inputs to add, and what of it applies to the step itself."""

    inputs: Mapping[str, Json] = field(default_factory=dict)
    env_applies: bool = True
    resources_apply: bool = True


# --- parameters in settings -----------------------------------------------------------------------------------------


def resolve_platform(config: Mapping[str, Json], resolve: Resolver | None) -> dict[str, Json]:
    """A KubernetesExecutorConfig with values in place of its parameters; an unset optional drops the setting.

    Where there is no resolver, what is no constant stays as it is. Raises InvalidOrder for values that cannot be used.
    """
    found = dict(config)
    for setting, member in _NAMED.items():
        if setting in found:
            found[setting] = [entry for entry in (_named(setting, e, member, resolve) for e in found[setting]) if entry is not None]
    if "pvcMount" in found:
        found["pvcMount"] = [_claim(entry, resolve) for entry in found["pvcMount"]]
    if "nodeSelector" in found:
        found["nodeSelector"] = _node_selector(found["nodeSelector"], resolve)
    if "tolerations" in found:
        found["tolerations"] = [t for entry in found["tolerations"] for t in _tolerations(entry, resolve)]
    if "nodeAffinity" in found:
        found["nodeAffinity"] = [entry for e in found["nodeAffinity"] if (entry := _affinity(e, resolve)) is not None]
    if "podResourceClaims" in found:
        found["podResourceClaims"] = [c for entry in found["podResourceClaims"] for c in _resource_claims(entry, resolve)]
    return {setting: value for setting, value in found.items() if value not in ([], {})}


_UNRESOLVED = object()


def _value(spec: Mapping[str, Json], resolve: Resolver | None) -> Json:
    """The value of an input-parameter spec, `_UNRESOLVED` where it needs a resolver that is not there."""
    if "constant" in spec:  # the older form, without runtimeValue around it
        spec = {**{key: value for key, value in spec.items() if key != "constant"}, "runtimeValue": {"constant": spec["constant"]}}
    runtime = spec.get("runtimeValue")
    if isinstance(runtime, Mapping) and "constant" in runtime and not spec.get("parameterExpressionSelector"):
        constant = runtime["constant"]
        if resolve is None or "{{$" not in to_json_text(constant):
            return constant
    return resolve(spec) if resolve else _UNRESOLVED


def _name(setting: str, value: Json) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidOrder(f"The setting '{setting}' needs a name, and its parameter gives {value!r}.")
    return value


def _named(setting: str, entry: Mapping[str, Json], member: str, resolve: Resolver | None) -> dict[str, Json] | None:
    if not entry.get(f"{member}Parameter"):
        return dict(entry)
    value = _value(entry[f"{member}Parameter"], resolve)
    if value is _UNRESOLVED:
        return dict(entry)
    if value is None:
        return None
    rest = {key: item for key, item in entry.items() if key != f"{member}Parameter"}
    return {**rest, member: _name(setting, value)}


def _claim(entry: Mapping[str, Json], resolve: Resolver | None) -> dict[str, Json]:
    spec = entry.get("pvcNameParameter") or {key: entry[key] for key in _PARAMETER_FORMS if key in entry}
    if not spec:
        return dict(entry)
    value = _value(spec, resolve)
    if value is _UNRESOLVED:
        return dict(entry)
    rest = {key: item for key, item in entry.items() if key not in ("pvcNameParameter", *_PARAMETER_FORMS)}
    return {**rest, "pvcName": _name("pvcMount", value)}


def _node_selector(entry: Mapping[str, Json], resolve: Resolver | None) -> dict[str, Json]:
    if not entry.get("nodeSelectorJson"):
        return dict(entry)
    value = _value(entry["nodeSelectorJson"], resolve)
    if value is _UNRESOLVED:
        return dict(entry)
    if not value:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(label, str) for label in value.values()):
        raise InvalidOrder("The setting 'nodeSelector' needs an object of label to text, and its parameter gives something else.")
    return {"labels": dict(value)}


def _tolerations(entry: Mapping[str, Json], resolve: Resolver | None) -> list[dict[str, Json]]:
    if not entry.get("tolerationJson"):
        return [dict(entry)]
    value = _value(entry["tolerationJson"], resolve)
    if value is _UNRESOLVED:
        return [dict(entry)]
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(item, Mapping) or item is None for item in listed):
        raise InvalidOrder(
            "The setting 'tolerations' needs an object or a list of objects, and its parameter gives something else."
        )
    return [dict(item) for item in listed if item]


def _affinity(entry: Mapping[str, Json], resolve: Resolver | None) -> dict[str, Json] | None:
    if not entry.get("nodeAffinityJson"):
        return dict(entry)
    value = _value(entry["nodeAffinityJson"], resolve)
    if value is _UNRESOLVED:
        return dict(entry)
    if not value:
        return None
    if not isinstance(value, Mapping):
        raise InvalidOrder("The setting 'nodeAffinity' needs an object, and its parameter gives something else.")
    return {"nodeAffinityJson": dict(value)}


def _resource_claims(entry: Mapping[str, Json], resolve: Resolver | None) -> list[dict[str, Json]]:
    """Claims of devices, each by its template or by its own name. An object, or a list of them, may come from a parameter."""
    if not entry.get("resourceClaimJson"):
        return [dict(entry)]
    value = _value(entry["resourceClaimJson"], resolve)
    if value is _UNRESOLVED:
        return [dict(entry)]
    if value is None:
        return []
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(item, Mapping) for item in listed):
        raise InvalidOrder(
            "The setting 'podResourceClaims' needs an object or a list of objects, and its parameter gives something else."
        )
    return [{key: item[key] for key in CLAIM_FORMS if key in item} for item in listed]


# --- TaskConfig -----------------------------------------------------------------------------------------------------


def task_config(
    component: ComponentSpec,
    platform: Mapping[str, Json],
    env: Sequence[tuple[str, str]],
    resources: Mapping[str, str],
) -> tuple[dict[str, Json], TaskConfig]:
    """The settings that stay with the step, and the TaskConfig of its inputs of that type.

    Without `taskConfigPassthroughs` everything stays and the input is empty. A field listed there goes into the input,
    and stays only where the component says so.
    """
    names = [name for name, d in component.input_parameters.items() if d.type is ParameterType.TASK_CONFIG]
    listed = dict(component.task_config_passthroughs)
    content = {key: value for key, value in _content(listed, platform, env, resources).items() if value}
    gone = {setting for passthrough, applies in listed.items() if not applies for setting in _FIELDS.get(passthrough, ())}
    kept = {setting: value for setting, value in platform.items() if setting not in gone}
    return kept, TaskConfig(
        inputs=dict.fromkeys(names, content),
        env_applies=listed.get("ENV", True),
        resources_apply=listed.get("RESOURCES", True),
    )


def _content(
    listed: Iterable[str],
    platform: Mapping[str, Json],
    env: Sequence[tuple[str, str]],
    resources: Mapping[str, str],
) -> dict[str, Json]:
    """The listed fields as fragments of a pod's specification."""
    found: dict[str, Json] = {}
    if "RESOURCES" in listed:
        found["resources"] = pod_resources(resources)
    if "ENV" in listed:
        found["env"] = [{"name": name, "value": value} for name, value in env] + env_from(platform)
    if "KUBERNETES_AFFINITY" in listed:
        found["affinity"] = affinity(platform)
    if "KUBERNETES_TOLERATIONS" in listed:
        found["tolerations"] = platform.get("tolerations")
    if "KUBERNETES_NODE_SELECTOR" in listed:
        found["nodeSelector"] = platform.get("nodeSelector", {}).get("labels")
    if "KUBERNETES_VOLUMES" in listed:
        found["volumes"], found["volumeMounts"] = _volumes(platform)
    return found


def pod_resources(resources: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """An order's resources as a container's `limits` and `requests`."""
    limits = {kind: resources[f"{kind}Limit"] for kind in ("cpu", "memory") if f"{kind}Limit" in resources}
    requests = {kind: resources[f"{kind}Request"] for kind in ("cpu", "memory") if f"{kind}Request" in resources}
    if resources.get("acceleratorType") and resources.get("acceleratorCount"):
        limits[resources["acceleratorType"]] = resources["acceleratorCount"]
    return {key: value for key, value in (("limits", limits), ("requests", requests)) if value}


def env_from(platform: Mapping[str, Json]) -> list[dict[str, Json]]:
    """A container's variables that come from secrets, config maps and the pod's own fields."""
    found: list[dict[str, Json]] = []
    for setting, reference, member, key in (
        ("secretAsEnv", "secretKeyRef", "secretName", "secretKey"),
        ("configMapAsEnv", "configMapKeyRef", "configMapName", "configMapKey"),
    ):
        for entry in platform.get(setting, ()):
            for pair in entry.get("keyToEnv", ()):
                source: dict[str, Json] = {"name": entry.get(member, ""), "key": pair.get(key, "")}
                if "optional" in entry:
                    source["optional"] = entry["optional"]
                found.append({"name": pair.get("envVar", ""), "valueFrom": {reference: source}})
    for entry in platform.get("fieldPathAsEnv", ()):
        found.append({"name": entry.get("name", ""), "valueFrom": {"fieldRef": {"fieldPath": entry.get("fieldPath", "")}}})
    return found


def affinity(platform: Mapping[str, Json]) -> dict[str, Json]:
    """A pod's `affinity` out of `nodeAffinity` and `podAffinity` settings; empty where there are none."""
    return _node_affinity(platform.get("nodeAffinity", ())) | _pod_affinity(platform.get("podAffinity", ()))


def _node_affinity(entries: Iterable[Mapping[str, Json]]) -> dict[str, Json]:
    required: list[Json] = []
    preferred: list[Json] = []
    whole: dict[str, Json] = {}
    for entry in entries:
        if "nodeAffinityJson" in entry:
            whole.update(entry["nodeAffinityJson"])
            continue
        term = {key: entry[key] for key in ("matchExpressions", "matchFields") if entry.get(key)}
        if entry.get("weight"):
            preferred.append({"weight": entry["weight"], "preference": term})
        else:
            required.append(term)
    if required:
        whole["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": required}
    if preferred:
        whole["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    return {"nodeAffinity": whole} if whole else {}


def _pod_affinity(entries: Iterable[Mapping[str, Json]]) -> dict[str, Json]:
    """Which pods it stands beside, or (`anti`) apart from."""
    found: dict[str, dict[str, list[Json]]] = {}
    for entry in entries:
        kind = found.setdefault("podAntiAffinity" if entry.get("anti") else "podAffinity", {})
        term: dict[str, Json] = {"topologyKey": entry.get("topologyKey", "")}
        for name, expressions, labels in (
            ("labelSelector", "matchPodExpressions", "matchPodLabels"),
            ("namespaceSelector", "matchNamespaceExpressions", "matchNamespaceLabels"),
        ):
            parts = {"matchExpressions": entry.get(expressions), "matchLabels": entry.get(labels)}
            if selector := {key: value for key, value in parts.items() if value}:
                term[name] = selector
        if entry.get("namespaces"):
            term["namespaces"] = entry["namespaces"]
        if entry.get("weight"):
            preferred = {"weight": entry["weight"], "podAffinityTerm": term}
            kind.setdefault("preferredDuringSchedulingIgnoredDuringExecution", []).append(preferred)
        else:
            kind.setdefault("requiredDuringSchedulingIgnoredDuringExecution", []).append(term)
    return found


def _volumes(platform: Mapping[str, Json]) -> tuple[list[Json], list[Json]]:
    volumes: dict[str, Json] = {}
    mounts: list[Json] = []
    for entry in platform.get("pvcMount", ()):
        name = entry.get("pvcName", "")
        volumes[name] = {"name": name, "persistentVolumeClaim": {"claimName": name}}
        mount = {"name": name, "mountPath": entry.get("mountPath", "")}
        mounts.append({**mount, "subPath": entry["subPath"]} if entry.get("subPath") else mount)
    for setting, kind, member, inner in (
        ("secretAsVolume", "secret", "secretName", "secretName"),
        ("configMapAsVolume", "configMap", "configMapName", "name"),
    ):
        for entry in platform.get(setting, ()):
            name = entry.get(member, "")
            source = {inner: name, **({"optional": entry["optional"]} if "optional" in entry else {})}
            volumes[name] = {"name": name, kind: source}
            mounts.append({"name": name, "mountPath": entry.get("mountPath", "")})
    return list(volumes.values()), mounts
