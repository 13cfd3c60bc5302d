"""A pod's document, read without trust: whatever is missing or of another kind is empty."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Json = Any

_STAGES = ("Pulling", "Pulled", "Created", "Started", "Failed")  # reasons of events about one container
_FORESEEN = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_UNMADE = re.compile(r"^(?:secret|configmap) \"[^\"]+\" not found$|^couldn't find key |runAsNonRoot|^failed to prepare subPath")

MAIN = "main"
LAUNCHER = "launcher"


def mapping(value: Json) -> Mapping[str, Json]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Json) -> list[Mapping[str, Json]]:
    """The objects of a list; empty for anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def text(value: Json) -> str:
    """The value if it is text, else an empty one."""
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended."""

    code: int | None
    reason: str
    message: str

    @classmethod
    def read(cls, state: Json) -> Ended | None:
        """From a container's `state` or `lastState`; None where it has not ended."""
        ended = mapping(mapping(state).get("terminated"))
        if not ended:
            return None
        code = ended.get("exitCode")
        return cls(code if isinstance(code, int) else None, text(ended.get("reason")), text(ended.get("message")).strip())


@dataclass(frozen=True, slots=True)
class ContainerView:
    """A container as specified and as it stands."""

    name: str
    is_init: bool  # sidecars too
    spec: Mapping[str, Json]
    waiting: str  # the reason; empty where it does not wait
    message: str  # why it waits
    running: bool
    ended: Ended | None
    ended_before: Ended | None  # how it ended the last time, where it was started again
    restarts: int

    @property
    def image(self) -> str:
        """The name of its image as the pod has it."""
        return text(self.spec.get("image"))

    @property
    def is_sidecar(self) -> bool:
        """Whether it is an init container that goes on beside the others."""
        return self.is_init and self.spec.get("restartPolicy") == "Always"

    def limit(self, resource: str) -> str:
        """Its limit of a resource, as written; empty where it has none."""
        return text(mapping(mapping(self.spec.get("resources")).get("limits")).get(resource))


class PodView:
    """All that is known of a pod: its document, its events in the order of time, the last lines of its log."""

    def __init__(
        self,
        pod: Mapping[str, Json],
        events: Sequence[Mapping[str, Json]] = (),
        last_lines: Sequence[str] = (),
        *,
        peak: int | None = None,
        nodes: Sequence[Mapping[str, Json]] = (),
        absent_claims: Sequence[str] = (),
    ) -> None:
        self.metadata = mapping(pod.get("metadata"))
        self.spec = mapping(pod.get("spec"))
        self.status = mapping(pod.get("status"))
        self.events = sorted(listed(events), key=when)
        self.last_lines = last_lines
        self.peak = peak
        self.nodes = listed(nodes)
        self.absent_claims = tuple(absent_claims)
        self.containers = tuple(self._containers())

    def _containers(self) -> Iterator[ContainerView]:
        for specs, statuses, is_init in (
            ("initContainers", "initContainerStatuses", True),
            ("containers", "containerStatuses", False),
        ):
            told = {text(status.get("name")): status for status in listed(self.status.get(statuses))}
            for spec in listed(self.spec.get(specs)):
                container = _container(spec, told.get(text(spec.get("name")), {}), is_init)
                yield self._foreseen(container, f"spec.{specs}{{{container.name}}}")

    def _foreseen(self, container: ContainerView, field_path: str) -> ContainerView:
        """As its status will show it: a busy kubelet tells of a failure by an event, and in the status seconds later."""
        if container.running or container.ended or container.waiting not in ("", "PodInitializing", "ContainerCreating"):
            return container
        about = [event for event in self.events if mapping(event.get("involvedObject")).get("fieldPath") == field_path]
        newest = next((event for event in reversed(about) if event.get("reason") in _STAGES), {})
        message = text(newest.get("message"))
        if newest.get("reason") != "Failed":
            return container
        if message.startswith("Failed to pull image "):
            return replace(container, waiting="ErrImagePull", message=message.partition('": ')[2])
        told = message.removeprefix("Error: ")
        if told in _FORESEEN:
            details = [text(event.get("message")) for event in about if event.get("reason") in ("InspectFailed", told)]
            return replace(container, waiting=told, message=details[-1] if details else "")
        if _UNMADE.search(told):
            return replace(container, waiting="CreateContainerConfigError", message=told)
        return container

    @property
    def name(self) -> str:
        """The pod's name."""
        return text(self.metadata.get("name"))

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return text(self.metadata.get("namespace"))

    @property
    def node(self) -> str:
        """The node it is on; empty before it has one."""
        return text(self.spec.get("nodeName"))

    @property
    def phase(self) -> str:
        """The API's phase: Pending, Running, Succeeded, Failed, Unknown."""
        return text(self.status.get("phase"))

    @property
    def reason(self) -> str:
        """The status' own reason (Evicted, DeadlineExceeded, …)."""
        return text(self.status.get("reason"))

    @property
    def message(self) -> str:
        """The status' own message."""
        return text(self.status.get("message")).strip()

    @property
    def being_deleted(self) -> bool:
        """Whether somebody asked for its deletion."""
        return bool(self.metadata.get("deletionTimestamp"))

    def container(self, name: str) -> ContainerView | None:
        """The container of that name."""
        return next((container for container in self.containers if container.name == name), None)

    def condition(self, kind: str) -> Mapping[str, Json]:
        """The condition of that type; empty where there is none."""
        return next((one for one in listed(self.status.get("conditions")) if one.get("type") == kind), {})

    def newest(self, *reasons: str) -> Mapping[str, Json] | None:
        """The newest event with one of these reasons."""
        return next((event for event in reversed(self.events) if event.get("reason") in reasons), None)

    def said(self, *reasons: str) -> str:
        """The newest such event's message, empty where there is none."""
        return text((self.newest(*reasons) or {}).get("message")).strip()


def when(event: Mapping[str, Json]) -> str:
    """When an event was last seen, as a text that sorts by time."""
    series = mapping(event.get("series"))
    candidates = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    created = mapping(event.get("metadata")).get("creationTimestamp")
    return next((text(at) for at in (*candidates, created) if text(at)), "")


def _container(spec: Mapping[str, Json], status: Mapping[str, Json], is_init: bool) -> ContainerView:
    state = mapping(status.get("state"))
    waiting = mapping(state.get("waiting"))
    restarts = status.get("restartCount")
    return ContainerView(
        name=text(spec.get("name")),
        is_init=is_init,
        spec=spec,
        waiting=text(waiting.get("reason")),
        message=text(waiting.get("message")).strip(),
        running="running" in state,
        ended=Ended.read(state),
        ended_before=Ended.read(status.get("lastState")),
        restarts=restarts if isinstance(restarts, int) else 0,
    )
