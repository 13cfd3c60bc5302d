"""Pods as a real cluster showed them (Kubernetes 1.36, one node, containerd), and the sentence each of them gets.

`recorded/NAME.json` holds moments of one pod with its events, shortened to what the API says of its state; `refusals.json` the
answers of the API server to pods that it did not make.
"""

from __future__ import annotations

import json
import pathlib

import pytest
from recorded_sentences import FAILS, LOST, PODS, REFUSALS, TELLS, WAITS

from runs.executors.kubernetes.diagnosis import Diagnosis, diagnose, no_result, refusal

RECORDED = pathlib.Path(__file__).parent / "recorded"


def moments(name: str) -> list[dict]:
    return json.loads((RECORDED / f"{name}.json").read_text())


def kind(found: Diagnosis) -> str:
    if found.fails:
        return LOST if found.lost else FAILS
    return WAITS if found.attention else TELLS


@pytest.mark.parametrize("name", PODS)
def test_a_pod_in_trouble_says_what_is_wrong_and_what_follows(name):
    last = moments(name)[-1]
    found = diagnose(last["pod"], last["events"])
    assert found is not None
    assert (kind(found), str(found.cause), found.sentence) == PODS[name]


@pytest.mark.parametrize("name", REFUSALS)
def test_a_pod_that_the_cluster_does_not_take_says_why(name):
    found = refusal(json.loads((RECORDED / "refusals.json").read_text())[name])
    assert (kind(found), str(found.cause), found.sentence) == REFUSALS[name]


@pytest.mark.parametrize("name", ["succeeded", "result-missing"])
def test_a_pod_that_ended_well_needs_no_words(name):
    for moment in moments(name):
        assert diagnose(moment["pod"], moment["events"]) is None


def test_a_claim_that_is_not_there_is_named_though_the_scheduler_says_nothing():
    pod = {
        "metadata": {"name": "a", "namespace": "team"},
        "spec": {"resourceClaims": [{"name": "kfp-claim-1", "resourceClaimName": "shared-gpu"}]},
        "status": {"phase": "Pending"},
    }
    found = diagnose(pod, [], absent_claims=["shared-gpu"])
    assert found is not None and kind(found) == WAITS
    assert found.sentence == (
        "No such resource claim: shared-gpu does not exist in namespace team. Create it, and the step goes on by itself."
    )
    assert diagnose(pod, []) is None


def test_every_recorded_pod_has_its_sentence():
    assert {path.stem for path in RECORDED.glob("*.json")} == {*PODS, "succeeded", "result-missing", "refusals"}


def test_no_recorded_moment_is_blamed_before_its_trouble_began():
    for name in ("exit-3", "out-of-memory", "deadline", "drained", "deleted", "preempted", "emptydir-full"):
        first = moments(name)[0]
        assert diagnose(first["pod"], first["events"]) is None, name


def test_what_a_node_says_in_an_event_is_told_before_the_status_has_it():
    evicted = next(
        moment for moment in moments("emptydir-full") if moment["pod"]["status"]["phase"] == "Running" and moment["events"]
    )
    found = [diagnose(moment["pod"], moment["events"]) for moment in moments("emptydir-full")]
    assert evicted["pod"]["status"].get("reason") is None
    assert found[1] is not None and found[1].sentence.startswith("Evicted: it wrote more than 4 MiB")


def test_an_event_is_believed_before_the_status_says_the_same():
    for name in ("secret-missing", "run-as-non-root", "image-name-invalid"):
        early = next(moment for moment in moments(name) if diagnose(moment["pod"], moment["events"]) is not None)
        assert "Config" not in str(early["pod"]["status"]) and "Invalid" not in str(early["pod"]["status"]), name
        found = diagnose(early["pod"], early["events"])
        assert found is not None and found.sentence == PODS[name][2]
        assert diagnose(early["pod"], []) is None


def test_an_exit_code_comes_with_the_last_line_of_the_log():
    last = moments("exit-3")[-1]
    found = diagnose(last["pod"], last["events"], ["epoch 3", "KeyError: 'petal_width'", ""])
    assert found is not None and found.exit_code == 3
    assert found.sentence == "Exit code 3: KeyError: 'petal_width'"


def test_a_wrong_architecture_shows_in_the_last_line():
    last = moments("exec-format")[-1]
    found = diagnose(last["pod"], last["events"], ["exec /v/bin: exec format error"])
    assert found is not None
    assert found.sentence.startswith("Wrong architecture: the program of python:3.11 is not for the processor of node-1.")


def test_memory_that_ran_out_comes_with_limit_and_peak():
    last = moments("out-of-memory")[-1]
    found = diagnose(last["pod"], last["events"], peak=47 * 2**20)
    assert found is not None
    assert found.sentence.startswith("Out of memory: killed at its limit of 48 MiB (its peak was 47 MiB).")


def test_a_command_that_ended_well_without_a_result_blames_the_launcher():
    last = moments("result-missing")[-1]
    assert no_result(last["pod"]).sentence == (
        "No result: the command ended well, but kfdash's launcher ended with exit code 3, so its outputs are not stored."
    )
