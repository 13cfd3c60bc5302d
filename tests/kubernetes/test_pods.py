"""From a pod to what is known of its attempt."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runs.engine.model import AttemptFailed, AttemptLost, AttemptStopped, AttemptSucceeded, Phase
from runs.executors.kubernetes.diagnosis import Diagnosis
from runs.executors.kubernetes.pods import STOPPED, Seen, end_fact, lost_with_its_node, read
from tests.kubernetes.orders import pod_of

Json = Any

CREATED = datetime(2026, 11, 25, 7, 0, 0, tzinfo=UTC)


def at(seconds: int) -> str:
    """A time as the API server writes it, so many seconds after the pod was made."""
    return (CREATED + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(*, node: str = "", phase: str = "Pending", main: Json = None, launcher: Json = None, **metadata: Json) -> dict[str, Json]:
    """A pod as the API server shows it."""
    found: dict[str, Json] = json.loads(json.dumps(pod_of(**metadata.pop("order", {}))))
    found["metadata"]["creationTimestamp"] = at(0)
    found["metadata"]["annotations"].update(metadata.pop("annotations", {}))
    found["metadata"].update(metadata)
    status: dict[str, Json] = {"phase": phase, "conditions": []}
    if node:
        found["spec"]["nodeName"] = node
        status["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": at(1)}]
    if main:
        status["containerStatuses"] = [{"name": "main", "state": main}]
    if launcher:
        status["initContainerStatuses"] = [{"name": "launcher", "state": launcher}]
    found["status"] = status
    return found


def seen(**fields: Json) -> Seen:
    """What such a pod tells."""
    found = read(pod(**fields))
    assert found is not None
    return found


RUNNING = {"running": {"startedAt": at(3)}}


def ended(code: int) -> Json:
    """The state of a container that ended."""
    return {"terminated": {"exitCode": code, "startedAt": at(3), "finishedAt": at(9)}}


def test_a_pod_goes_through_the_phases_of_an_attempt() -> None:
    assert (seen().phase, seen().at) == (Phase.QUEUED, CREATED)
    assert (seen(node="n").phase, seen(node="n").at) == (Phase.STARTING, CREATED + timedelta(seconds=1))
    running = seen(node="n", phase="Running", main=RUNNING)
    assert (running.phase, running.at, running.end) == (Phase.RUNNING, CREATED + timedelta(seconds=3), None)


def test_a_pod_says_whose_it_is() -> None:
    key = seen().key
    assert (key.run_id, key.path, key.number) == ("run-1", "root/step", 1)


def test_a_pod_of_somebody_else_is_none_of_ours() -> None:
    stranger = pod()
    del stranger["metadata"]["annotations"]["kfdash.dev/path"]
    assert read(stranger) is None


def test_the_end_of_the_users_container_is_the_end_whatever_the_launcher_does() -> None:
    found = seen(node="n", phase="Running", main=ended(3), launcher=RUNNING)
    assert found.end is not None and (found.end.exit_code, found.end.at) == (3, CREATED + timedelta(seconds=9))
    assert not found.launcher_ended


def test_a_pod_that_failed_without_its_container_has_ended() -> None:
    assert seen(node="n", phase="Failed").end is not None


def test_a_deleted_pod_without_a_node_has_ended_for_nobody_else_will_end_it() -> None:
    assert seen(deletionTimestamp=at(5)).end is not None
    assert seen(node="n", deletionTimestamp=at(5)).end is None


def test_a_deleted_pod_whose_node_is_silent_is_lost_after_a_while() -> None:
    found = seen(node="n", phase="Running", main=RUNNING, deletionTimestamp=at(30))
    assert not lost_with_its_node(found, CREATED + timedelta(seconds=60))
    assert lost_with_its_node(found, CREATED + timedelta(seconds=100))


def test_a_pod_without_its_finalizer_is_recorded() -> None:
    assert not seen().recorded
    assert seen(finalizers=["other/thing"]).recorded


def end_of(diagnosis: Diagnosis | None = None, **fields: Json) -> Any:
    """The fact about the end of such a pod."""
    found = seen(node="n", **fields)
    assert found.end is not None
    return end_fact(found, found.end, diagnosis)


def test_an_image_with_its_own_entry_point_succeeds_by_its_exit_code() -> None:
    alone = {"command": (), "args": ()}
    fact = end_of(phase="Succeeded", main=ended(0), order=alone)
    assert isinstance(fact, AttemptSucceeded) and fact.running_at is not None and fact.running_at < fact.at


def test_a_good_end_without_a_document_is_a_loss_for_its_outputs_are_gone() -> None:
    assert isinstance(end_of(phase="Succeeded", main=ended(0)), AttemptLost)


def test_what_kfdash_stopped_is_stopped_whatever_its_exit_code() -> None:
    fact = end_of(phase="Failed", main=ended(143), annotations={STOPPED: "1"})
    assert fact == AttemptStopped("root/step", 1, CREATED + timedelta(seconds=9), 143)


@pytest.mark.parametrize("lost", [False, True])
def test_a_diagnosis_says_why_and_whether_it_counts(lost: bool) -> None:
    verdict = Diagnosis("Out of memory.", "out-of-memory", Phase.ENDED, fails=True, exit_code=137, lost=lost)
    fact = end_of(verdict, phase="Failed", main=ended(137))
    assert fact.reason == "Out of memory."
    assert isinstance(fact, AttemptLost if lost else AttemptFailed)


def test_without_a_diagnosis_the_exit_code_is_told() -> None:
    fact = end_of(phase="Failed", main=ended(3))
    assert isinstance(fact, AttemptFailed) and fact.exit_code == 3 and "exit code 3" in fact.reason
