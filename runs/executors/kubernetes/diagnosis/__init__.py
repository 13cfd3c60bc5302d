"""What is wrong with a pod, in one sentence: where, what, and what to do.

`diagnose` reads a pod's document and its events, `refusal` an answer of the API server that made no pod. Both are pure:
plain dictionaries as the API gives them go in, a `Diagnosis` comes out. Nothing here talks to a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runs.executors.kubernetes.diagnosis import devices, disruption, ending, preparing, scheduling, sidecar, volumes
from runs.executors.kubernetes.diagnosis.podview import PodView
from runs.executors.kubernetes.diagnosis.refusals import refusal
from runs.executors.kubernetes.diagnosis.verdict import Cause, Diagnosis

__all__ = ["Cause", "Diagnosis", "diagnose", "no_result", "refusal"]

Json = Any

# From what explains most to what explains least: a pod that is being deleted also looks as if its command had failed.
_LOOKS = (
    disruption.look,
    ending.rejected,
    ending.of_command,
    sidecar.failed_before,
    preparing.look,
    sidecar.look,
    devices.look,
    scheduling.look,
    volumes.look,
    preparing.under_way,
)


def diagnose(
    pod: Mapping[str, Json],
    events: Sequence[Mapping[str, Json]],
    last_lines: Sequence[str] = (),
    *,
    peak: int | None = None,
    nodes: Sequence[Mapping[str, Json]] = (),
    absent_claims: Sequence[str] = (),
) -> Diagnosis | None:
    """What to say of a pod; None where there is nothing to say, as for one that runs or has ended well.

    `events` are those about this pod, in any order; `last_lines` the end of the step's log; `peak` the most memory that it
    was seen to use, in bytes; `nodes` the cluster's nodes where they may be read: what cannot be scheduled is then said node
    by node. `absent_claims` are resource claims that the pod names and that do not exist.
    """
    view = PodView(pod, events, last_lines, peak=peak, nodes=nodes, absent_claims=absent_claims)
    return next((found for look in _LOOKS if (found := look(view)) is not None), None)


def no_result(pod: Mapping[str, Json], events: Sequence[Mapping[str, Json]] = ()) -> Diagnosis:
    """What to say of a pod whose command ended with code 0 while no result of it is found."""
    return sidecar.no_result(PodView(pod, events))
