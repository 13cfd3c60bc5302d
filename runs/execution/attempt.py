"""The order for one attempt: all that an executor needs, as a value that crosses processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Any


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """All that an executor needs for one attempt; JSON as it is (`dataclasses.asdict`).

    `name` is unique for ever: it keys the process, the pod, the folder and the log. `command` and `args` still hold KFP's
    placeholders and `executor_input` the canonical URIs (`minio://kfdash/…`): only the executor knows its paths.
    Component defaults are already among the inputs.
    """

    name: str
    run_id: str
    path: str
    number: int
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    executor_input: Mapping[str, Json]  # KFP's ExecutorInput as JSON, camelCase
    output_parameters: Mapping[str, str]  # name → declared type
    output_artifacts: Mapping[str, str]  # name → schema title
    log: str  # key of the log in the log store: `<run id>/<name>`
    timeout: float | None = None  # seconds
    resources: Mapping[str, str] = field(default_factory=dict)  # cpuLimit, memoryLimit, cpuRequest, memoryRequest, …
    workspace: str = ""  # key of the run's workspace, where the step uses it
    platform: Mapping[str, Json] = field(default_factory=dict)  # KubernetesExecutorConfig with parameters resolved
    placeholders: Mapping[str, str] = field(default_factory=dict)  # `{{$.pipeline_job_name}}` and the like → text
    workspace_claim: Mapping[str, Json] = field(default_factory=dict)  # where `workspace` is set: see `execution.order`
    service_account: str = ""  # the run's, where its user named one
    pod_template: Mapping[str, Json] = field(default_factory=dict)  # the run's own, merged underneath what is said here

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> AttemptOrder:
        """The inverse of `dataclasses.asdict` after a way through JSON. Raises KeyError or TypeError for other data.

        Orders of older versions, without the later fields, are read too.
        """
        fields = dict(data)
        fields["command"] = tuple(fields["command"])
        fields["args"] = tuple(fields["args"])
        fields["env"] = tuple((name, value) for name, value in fields["env"])
        return cls(**fields)
