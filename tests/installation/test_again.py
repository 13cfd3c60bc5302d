"""Retry in place, run again from a step, and pause, on a whole installation that is killed in between."""

from __future__ import annotations

import pathlib
import shutil
import sys
import urllib.error
from typing import Any

import pytest

from tests.faults.stack import call, end, kill, state, tasks
from tests.running import Installation, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
END_WITHIN = 90.0  # seconds
DATA = "{{$.outputs.artifacts['data'].path}}"
GIVEN = "{{$.inputs.artifacts['data'].path}}"
FOLDER = "{{$.inputs.parameters['folder']}}"


def document() -> dict[str, Any]:
    """`make` writes an artifact; `use` reads it, and fails while the file `broken` lies in the folder; `last` follows.

    Each step adds a line to `<folder>/<step>`, which counts how often it ran.
    """
    folder = {"parameters": {"folder": {"parameterType": "STRING"}}}
    artifact = {"artifacts": {"data": {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}}}
    scripts = {
        "make": ('echo ran >> "$0/make"; mkdir -p "$(dirname "$1")"; echo content > "$1"', [FOLDER, DATA]),
        "use": ('echo ran >> "$0/use"; cat "$1"; test ! -e "$0/broken"', [FOLDER, GIVEN]),
        "last": ('echo ran >> "$0/last"', [FOLDER]),
    }
    inputs: dict[str, Any] = {"parameters": {"folder": {"componentInputParameter": "folder"}}}
    given = {"taskOutputArtifact": {"producerTask": "make", "outputArtifactKey": "data"}}
    return {
        "components": {
            "comp-make": {
                "executorLabel": "make",
                "inputDefinitions": folder,
                "outputDefinitions": artifact,
            },
            "comp-use": {"executorLabel": "use", "inputDefinitions": folder | artifact},
            "comp-last": {"executorLabel": "last", "inputDefinitions": folder},
        },
        "deploymentSpec": {
            "executors": {
                name: {"container": {"image": "any", "command": ["sh", "-c", script], "args": args}}
                for name, (script, args) in scripts.items()
            }
        },
        "pipelineInfo": {"name": "again"},
        "root": {
            "inputDefinitions": folder,
            "dag": {
                "tasks": {
                    "make": {"componentRef": {"name": "comp-make"}, "taskInfo": {"name": "make"}, "inputs": inputs},
                    "use": {
                        "componentRef": {"name": "comp-use"},
                        "taskInfo": {"name": "use"},
                        "inputs": {**inputs, "artifacts": {"data": given}},
                        "dependentTasks": ["make"],
                    },
                    "last": {
                        "componentRef": {"name": "comp-last"},
                        "taskInfo": {"name": "last"},
                        "inputs": inputs,
                        "dependentTasks": ["use"],
                    },
                }
            },
        },
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
    }


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One installation for these tests."""
    with Installation(tmp_path_factory.mktemp("again") / "data") as one:
        yield one


def launch(installation: Installation, folder: pathlib.Path) -> str:
    body = {"display_name": "again", "pipeline_spec": document(), "runtime_config": {"parameters": {"folder": str(folder)}}}
    return str(call(installation, "/apis/v2beta1/runs", body)["run_id"])


def own(installation: Installation, path: str, body: Any = None) -> Any:
    return call(installation, f"/apis/kfdash/v1{path}", body)


def counted(folder: pathlib.Path) -> dict[str, int]:
    """Step → how often it ran."""
    return {name: len((folder / name).read_text().split()) for name in ("make", "use", "last") if (folder / name).exists()}


def kill_everything(installation: Installation) -> None:
    kill(installation)
    installation.process.wait()  # type: ignore[union-attr]
    shutil.rmtree(installation.folder / "redis", ignore_errors=True)


def test_a_failed_run_is_retried_in_place_and_what_succeeded_does_not_run_twice(
    installation: Installation, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "broken").touch()
    run_id = launch(installation, tmp_path)
    assert end(installation, run_id) == "FAILED"
    (tmp_path / "broken").unlink()
    call(installation, f"/apis/v2beta1/runs/{run_id}:retry", {})
    assert end(installation, run_id) == "SUCCEEDED"
    assert counted(tmp_path) == {"make": 1, "use": 2, "last": 1}
    attempts = tasks(installation, run_id)["root/use"]["attempts"]
    assert [(attempt["number"], attempt["state"]) for attempt in attempts] == [(1, "FAILED"), (2, "SUCCEEDED")]
    history = call(installation, f"/apis/v2beta1/runs/{run_id}")["state_history"]
    assert [entry["state"] for entry in history] == ["PENDING", "RUNNING", "FAILED", "RUNNING", "SUCCEEDED"]


def test_a_run_again_runs_what_its_plan_says_on_the_artifacts_of_the_earlier_run(
    installation: Installation, tmp_path: pathlib.Path
) -> None:
    first = launch(installation, tmp_path)
    assert end(installation, first) == "SUCCEEDED"
    body = {"from_paths": ["root/use"]}
    plan = own(installation, f"/runs/{first}:plan", body)
    assert {step["path"]: step["do"] for step in plan["steps"]} == {"root/make": "reuse", "root/use": "run", "root/last": "run"}
    second = str(own(installation, f"/runs/{first}:again", body)["run_id"])
    assert end(installation, second) == "SUCCEEDED"
    assert counted(tmp_path) == {"make": 1, "use": 2, "last": 2}
    made = [tasks(installation, run_id)["root/make"]["outputs"] for run_id in (first, second)]
    assert made[0] == made[1]
    log = own(installation, f"/runs/{second}/log?node=root/use")
    assert [line["text"] for line in log["lines"] if line["stream"] == "stdout"] == ["content"]


def test_a_paused_run_stays_paused_when_everything_is_killed_and_goes_on_when_it_is_resumed(
    installation: Installation, tmp_path: pathlib.Path
) -> None:
    slow = document()
    slow["deploymentSpec"]["executors"]["make"]["container"]["command"][2] += "; while [ ! -e $0/go ]; do sleep 0.1; done"
    body = {"display_name": "again", "pipeline_spec": slow, "runtime_config": {"parameters": {"folder": str(tmp_path)}}}
    run_id = str(call(installation, "/apis/v2beta1/runs", body)["run_id"])
    assert wait_for(lambda: counted(tmp_path) == {"make": 1}, END_WITHIN), installation.said()
    assert own(installation, f"/runs/{run_id}:pause", {})["paused"]
    (tmp_path / "go").touch()
    assert wait_for(lambda: tasks(installation, run_id)["root/make"]["state"] == "SUCCEEDED", END_WITHIN)
    kill_everything(installation)
    installation.start()
    assert not wait_for(lambda: "use" in counted(tmp_path), 12), "a resync comes every ten seconds"
    assert own(installation, f"/runs/{run_id}")["paused"] and state(installation, run_id) == "RUNNING"
    assert "paused" not in own(installation, f"/runs/{run_id}:resume", {})
    assert end(installation, run_id) == "SUCCEEDED"
    assert counted(tmp_path) == {"make": 1, "use": 1, "last": 1}


def test_a_retry_outlives_the_death_of_everything_right_after_it_was_answered(
    installation: Installation, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "broken").touch()
    run_id = launch(installation, tmp_path)
    assert end(installation, run_id) == "FAILED"
    (tmp_path / "broken").unlink()
    call(installation, f"/apis/v2beta1/runs/{run_id}:retry", {})
    kill_everything(installation)
    installation.start()
    assert end(installation, run_id) == "SUCCEEDED"
    assert counted(tmp_path)["make"] == 1
    with pytest.raises(urllib.error.HTTPError, match="409"):
        call(installation, f"/apis/v2beta1/runs/{run_id}:retry", {})
