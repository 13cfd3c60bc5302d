"""An end that the launcher tells in part and the pod's status in part is told as one."""

from __future__ import annotations

import json
import pathlib
import time

import pytest

from runs import results
from runs.engine.model import AttemptFailed, AttemptLost, AttemptStopped
from runs.execution.result import Result
from runs.executors.base import AttemptKey
from runs.executors.kubernetes.client import Client
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.ends import Ends
from runs.executors.kubernetes.pods import STOPPED, read
from runs.store import StoreOptions

RECORDED = pathlib.Path(__file__).parent / "recorded"
KEY = AttemptKey("score-1", "run", "root/score", 1)
OURS = {"kfdash.dev/path": "root/score", "kfdash.dev/number": "1"}


def pod(name: str, moment: int = -1, **annotations: str) -> dict:
    """A recorded pod as if it were one of ours."""
    found = json.loads((RECORDED / f"{name}.json").read_text())[moment]
    labels = {"kfdash.dev/run": "run"}
    found["pod"]["metadata"] |= {"name": KEY.name, "labels": labels, "annotations": {**OURS, **annotations}}
    found["pod"]["metadata"].setdefault("finalizers", ["kfdash.dev/recorded"])
    return found


@pytest.fixture
def ends(tmp_path):
    """Gives what the end of an attempt comes to, where the launcher told `state`."""
    options = StoreOptions(artifacts_dir=str(tmp_path))
    config = Config("kfdash:1", "http://host:8001", b"key", "abc", "minio://kfdash/.results", options)

    def told(found: dict, state: str, *, ago: float = 0.0, **fields):
        times = {"finished": int((time.time() - ago) * 1e6)}
        result = Result(KEY.name, state, times, reason=fields.pop("reason", ""), **fields)
        results.write(config.results_root, options, KEY.run_id, KEY.name, result.to_text())
        seen = read(found["pod"])
        assert seen is not None
        return Ends(Client(config), config).document(KEY, seen, found["pod"], found["events"])

    return told


def test_a_kill_that_the_pod_knows_to_be_for_memory_names_limit_and_peak(ends):
    fact = ends(pod("out-of-memory"), "failed", signal=9, exit_code=137, peak_memory=47 * 2**20, reason="Ended by SIGKILL")
    assert isinstance(fact, AttemptFailed)
    assert fact.reason.startswith("Out of memory: killed at its limit of 48 MiB (its peak was 47 MiB).")
    assert (fact.cause, fact.peak_memory) == ("out-of-memory", 47 * 2**20)


def test_a_kill_of_another_kind_keeps_the_launcher_s_word(ends):
    fact = ends(pod("killed"), "failed", signal=9, exit_code=137, reason="Ended by SIGKILL from outside")
    assert isinstance(fact, AttemptFailed) and fact.reason == "Ended by SIGKILL from outside"


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("emptydir-full", AttemptFailed, "Evicted: it wrote more than 4 MiB"),
        ("deadline", AttemptFailed, "Ran into its time limit"),
        ("drained", AttemptLost, "Moved off its node"),
        ("preempted", AttemptLost, "Preempted"),
        ("deleted", AttemptLost, "Pod deleted"),
    ],
)
def test_what_made_a_step_end_is_told_instead_of_that_it_was_told_to(ends, name, kind, sentence):
    fact = ends(pod(name), "stopped", exit_code=143)
    assert isinstance(fact, kind)
    assert fact.reason.startswith(sentence)


def test_a_step_that_we_stopped_was_stopped_whatever_the_pod_looks_like(ends):
    assert isinstance(ends(pod("deleted", **{STOPPED: "1"}), "stopped", exit_code=143), AttemptStopped)


def test_the_pod_s_half_is_waited_for_and_not_for_ever(ends):
    running = pod("deleted", 0)
    assert ends(running, "stopped", exit_code=143) is None
    assert isinstance(ends(running, "stopped", exit_code=143, ago=60), AttemptStopped)


def test_an_ordinary_end_waits_for_nothing(ends):
    fact = ends(pod("deleted", 0), "failed", exit_code=3, reason="Exit code 3: no")
    assert isinstance(fact, AttemptFailed) and fact.reason == "Exit code 3: no"
