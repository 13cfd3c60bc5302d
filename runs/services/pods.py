"""The pods of steps as people read them: the one that will be made, and the one that was."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from pipelines.spec import paths
from pipelines.spec.model import ContainerSpec, PipelineSpec
from runs import models
from runs.documents import as_yaml
from runs.engine.model import Kind, Run, Task, Values
from runs.executing import executor, kubernetes_config
from runs.execution.order import complete
from runs.execution.platform import InvalidOrder
from runs.executors.base import AttemptKey, ExecutorUnavailable
from runs.executors.kubernetes.manifest import manifest
from runs.executors.kubernetes.shown import shown
from runs.ordering import key_of, named_account
from runs.rows import run_value

Json = Any

_LATER_JSON = {
    "nodeSelector": "nodeSelectorJson",
    "tolerations": "tolerationJson",
    "nodeAffinity": "nodeAffinityJson",
    "podResourceClaims": "resourceClaimJson",
}
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


class PodUnknown(Exception):
    """It cannot be said now what pod there is or will be. The message is for people."""


@dataclass(frozen=True)
class PodShown:
    """A pod as YAML, and what the cluster tells of it: `{at, warning, reason, message, count, by}` each, oldest first."""

    text: str
    facts: tuple[tuple[str, str], ...] = ()
    events: Sequence[Mapping[str, Json]] = ()
    gone: bool = False  # from the copy that is kept
    made: bool = True  # else it is the one that will be


class _Describes(Protocol):
    def describe(self, key: AttemptKey) -> Mapping[str, Json] | None: ...


def has_pods() -> bool:
    """Whether the steps of this installation are pods."""
    return bool(settings.EXECUTOR == "kubernetes")


def pod_of(run: models.Run, path: str, number: int) -> PodShown | None:
    """The pod of an attempt; None where there never was one, or nothing is left. Raises PodUnknown."""
    key = key_of(str(run.id), path, number)
    try:
        found = cast(_Describes, executor()).describe(key)
    except (ExecutorUnavailable, ImproperlyConfigured) as error:
        raise PodUnknown(str(error)) from None
    if found is None:
        return None
    return PodShown(as_yaml(found["pod"]), tuple(_facts(found["pod"])), found["events"], gone=found["gone"])


def planned_pod(spec: PipelineSpec, path: str, run: models.Run | None = None) -> PodShown | None:
    """The pod that a container step will have, as far as it can be said before; None for other steps. Raises PodUnknown."""
    _, component = spec.at(path)
    container = spec.executor_of(component)
    if not isinstance(container, ContainerSpec):
        return None
    value = run_value(run, most_iterations=0) if run is not None else _some_run(spec)
    label = container.label
    platform = _known_before(spec.platform.executors.get(label, {}))
    spec = replace(spec, platform=replace(spec.platform, executors={**spec.platform.executors, label: platform}))
    task = Task(path=path, kind=Kind.CONTAINER, inputs=Values())
    try:
        order = complete(
            spec=spec,
            component=component,
            run=value,
            task=task,
            number=1,
            resolve=_placeholder,
            service_account=named_account(run) if run is not None else "",
            pod_template=run.pod_template if run is not None else None,
        )
        if run is None:
            name = re.sub(r"-[a-z0-9]{16}-1$", "-xxxxxxxxxxxxxxxx-1", order.name)
            env = tuple((key, name if key == "KFP_POD_NAME" else text) for key, text in order.env)
            order = replace(order, name=name, env=env)
        pod = manifest(order, kubernetes_config(), "")
    except (InvalidOrder, ImproperlyConfigured) as error:
        raise PodUnknown(str(error)) from None
    return PodShown(as_yaml(shown(pod)), made=False)


def _some_run(spec: PipelineSpec) -> Run:
    """A run that is not launched yet."""
    return Run(
        id="xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
        name=spec.name,
        resource_name=f"{spec.name}-xxxxx",
        created_at=timezone.now(),
        scheduled_at=timezone.now(),
        pipeline_root=f"minio://kfdash/{spec.name}/…",
    )


def _known_before(platform: Mapping[str, Json]) -> dict[str, Json]:
    """The settings without those whose shape comes from a parameter: nothing true can be shown of them."""
    found = dict(platform)
    for setting, member in _LATER_JSON.items():
        value = found.get(setting)
        if isinstance(value, list):
            found[setting] = [entry for entry in value if not _comes_later(entry, member)]
        elif isinstance(value, Mapping) and _comes_later(value, member):
            del found[setting]
    return found


def _comes_later(entry: Mapping[str, Json], member: str) -> bool:
    source = entry.get(member)
    return isinstance(source, Mapping) and "constant" not in source.get("runtimeValue", {})


def _placeholder(source: Mapping[str, Json]) -> Json:
    """A name to stand for a parameter's value."""
    runtime = source.get("runtimeValue")
    if isinstance(runtime, Mapping) and "constant" in runtime:
        return runtime["constant"]
    if task := source.get("taskOutputParameter"):
        return f"from-{_named(task.get('producerTask', ''))}"
    return f"input-{_named(source.get('componentInputParameter', ''))}"


def _named(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", paths.unescape(text).removeprefix("pipelinechannel--").lower()).strip("-") or "value"


def _facts(pod: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Where the pod is and how the cluster calls its state."""
    metadata, spec, status = (pod.get(part) or {} for part in ("metadata", "spec", "status"))
    facts = [("Namespace", metadata.get("namespace")), ("Node", spec.get("nodeName") or "none yet")]
    phase = status.get("reason") or status.get("phase")
    facts += [("State", f"{phase}, being deleted" if metadata.get("deletionTimestamp") else phase)]
    return [(word, str(value)) for word, value in facts if value]
