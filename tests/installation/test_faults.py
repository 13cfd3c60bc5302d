"""Whatever is killed in the middle of a run: the run goes on, ends rightly, and what was printed is still there."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
import urllib.request
from typing import Any

import pytest

from tests.running import Installation, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
LINES, STEPS = 15, 3
SCRIPT = f"for i in $(seq {LINES}); do echo line $i; sleep 0.1; done"
END_WITHIN = 90.0  # seconds


def chain() -> dict[str, Any]:
    """Steps one after the other, each printing for a while."""
    tasks: dict[str, Any] = {}
    for number in range(STEPS):
        tasks[f"step-{number}"] = {
            "componentRef": {"name": "comp-step"},
            "taskInfo": {"name": f"step-{number}"},
            "cachingOptions": {},
        } | ({"dependentTasks": [f"step-{number - 1}"]} if number else {})
    return {
        "components": {"comp-step": {"executorLabel": "exec-step"}},
        "deploymentSpec": {"executors": {"exec-step": {"container": {"image": "any", "command": ["sh", "-c", SCRIPT]}}}},
        "pipelineInfo": {"name": "chain"},
        "root": {"dag": {"tasks": tasks}},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
    }


def call(address: str, path: str, body: Any = None) -> Any:
    """JSON from the API."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def launch(installation: Installation) -> str:
    body = {"display_name": "through thick and thin", "pipeline_spec": chain()}
    return str(call(installation.address, "/apis/v2beta1/runs", body)["run_id"])


def state(installation: Installation, run_id: str) -> str:
    """The run's state; empty while nobody answers."""
    try:
        return str(call(installation.address, f"/apis/v2beta1/runs/{run_id}")["state"])
    except OSError:
        return ""


def tasks(installation: Installation, run_id: str) -> dict[str, Any]:
    found = call(installation.address, f"/apis/kfdash/v1/runs/{run_id}/tasks").get("tasks", [])
    return {task["path"]: task for task in found}


def running(installation: Installation, run_id: str, path: str) -> bool:
    try:
        return any(attempt.get("running_at") for attempt in tasks(installation, run_id).get(path, {}).get("attempts", []))
    except OSError:
        return False


def check_the_end(installation: Installation, run_id: str) -> None:
    """The run succeeded, and every step's last attempt has its whole log, each line once."""
    assert wait_for(lambda: state(installation, run_id) in ("SUCCEEDED", "FAILED"), END_WITHIN), installation.said()
    assert state(installation, run_id) == "SUCCEEDED", tasks(installation, run_id)
    for number in range(STEPS):
        log = call(installation.address, f"/apis/kfdash/v1/runs/{run_id}/log?node=root/step-{number}")
        printed = [line["text"] for line in log["lines"] if line["stream"] == "stdout"]
        assert printed == [f"line {n}" for n in range(1, LINES + 1)], log


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One installation for the tests that do not end it."""
    with Installation(tmp_path_factory.mktemp("faults") / "data") as installation:
        yield installation


@pytest.mark.parametrize("parts", [("web", "io"), ("drive", "observer"), ("orders", "redis"), ("host",)], ids="-".join)
def test_parts_are_killed_in_the_middle_of_a_run(shared: Installation, parts: tuple[str, ...]) -> None:
    run_id = launch(shared)
    assert wait_for(lambda: running(shared, run_id, "root/step-1"), END_WITHIN), shared.said()
    before = shared.parts()
    for part in parts:
        os.kill(before[part], signal.SIGKILL)
    check_the_end(shared, run_id)
    attempts = tasks(shared, run_id)["root/step-1"]["attempts"]
    assert len(attempts) == (2 if "host" in parts else 1)
    assert all(shared.parts()[part] != before[part] for part in parts)


def test_everything_is_killed_and_started_again_without_redis_s_data(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data") as installation:
        run_id = launch(installation)
        assert wait_for(lambda: running(installation, run_id, "root/step-1"), END_WITHIN), installation.said()
        for pid in [installation.process.pid, *installation.parts().values()]:  # type: ignore[union-attr]
            os.kill(pid, signal.SIGKILL)
        installation.process.wait()  # type: ignore[union-attr]
        for kept in (tmp_path / "data" / "redis").glob("*"):
            kept.unlink()
        installation.start()
        check_the_end(installation, run_id)


def test_stopped_and_started_again_the_run_goes_on(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data") as installation:
        run_id = launch(installation)
        assert wait_for(lambda: running(installation, run_id, "root/step-1"), END_WITHIN), installation.said()
        installation.stop()
        assert not installation.processes()
        installation.start()
        check_the_end(installation, run_id)
