"""The real launcher on the real intake: a step's two files, its log and its end, with `entry` played by the test."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

import pytest

from runs import logs, models
from runs.engine.model import AttemptProgressed, AttemptSucceeded, Phase
from tests.django.documents import container
from tests.django.driving import artifact, launched, succeed
from tests.intake.conftest import Pod, pod_of
from tests.running import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# Artifacts lie below /minio in a container; here below a folder of the test.
_PROGRAM = """
import os, sys
from runs.execution import locations
locations._MOUNTS["minio"] = os.environ["MINIO"]
from runs.launcher.__main__ import main
sys.exit(main())
"""


def document() -> str:
    """Two steps that hand a folder on."""
    kind = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
    given = {"taskOutputArtifact": {"producerTask": "make", "outputArtifactKey": "data"}}
    return json.dumps(
        {
            "pipelineInfo": {"name": "handing-on"},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.0",
            "root": {
                "dag": {
                    "tasks": {
                        "make": {"taskInfo": {"name": "make"}, "componentRef": {"name": "comp-make"}},
                        "change": {
                            "taskInfo": {"name": "change"},
                            "componentRef": {"name": "comp-change"},
                            "dependentTasks": ["make"],
                            "inputs": {"artifacts": {"data": given}},
                        },
                    }
                }
            },
            "components": {
                "comp-make": {"executorLabel": "exec-make", "outputDefinitions": {"artifacts": {"data": kind}}},
                "comp-change": {
                    "executorLabel": "exec-change",
                    "inputDefinitions": {"artifacts": {"data": kind}},
                    "outputDefinitions": {"artifacts": {"changed": kind}},
                },
            },
            "deploymentSpec": {"executors": {"exec-make": container(), "exec-change": container()}},
        }
    )


def launcher(pod: Pod, folder: pathlib.Path) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.environ["PATH"],
        "KFDASH_VOLUME": str(folder / "kfdash"),
        "KFDASH_LAUNCHER_URL": f"http://127.0.0.1:{pod.port}",
        "KFDASH_ATTEMPT": pod.row.name,
        "KFDASH_TOKEN": pod.token,
        "MINIO": str(folder / "minio"),
        "PYTHONPATH": str(REPOSITORY),
    }
    return subprocess.Popen([sys.executable, "-P", "-c", _PROGRAM], env=environment)


def written(path: pathlib.Path, content: bytes) -> None:
    """A file that appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".part").write_bytes(content)
    path.with_suffix(".part").replace(path)


def test_a_step_gets_its_inputs_and_gives_log_outputs_and_result(
    intake_port: int, place: pathlib.Path, told: list, shown: list, tmp_path: pathlib.Path
) -> None:
    run = launched(document())
    made = pod_of(intake_port, run, "root/make")
    source = made.output()
    for name, content in (("a.txt", b"one"), ("deep/b.txt", b"two!")):
        assert made.ask("PUT", "/v1/artifact", content, uri=source, name=name).status == 204
    succeed(run, "root/make", artifacts={"data": [artifact(source)]})
    told.clear()
    pod = pod_of(intake_port, run, "root/change")
    target = pod.output("changed")
    folder = tmp_path / "pod"
    (folder / "kfdash").mkdir(parents=True)
    program = launcher(pod, folder)
    try:
        volume = folder / "kfdash"
        assert wait_for((volume / "step" / "plan").exists, 20)
        given = folder / "minio" / source.removeprefix("minio://")
        assert ((given / "a.txt").read_bytes(), (given / "deep" / "b.txt").read_bytes()) == (b"one", b"two!")
        written(volume / "step" / "begun", b"")
        assert wait_for(lambda: any(run_id == str(run.pk) for run_id, _ in told), 20)
        now = time.time_ns() // 1000
        written(volume / "log" / "000000000001.log", f"{now} o first\n{now} e second\n".encode())
        written(folder / "minio" / target.removeprefix("minio://") / "result.txt", b"changed")
        end: dict[str, Any] = {"exitCode": 0, "signal": None, "running": now, "finished": now + 5, "peakMemory": 1000, "lines": 2}
        end |= {"timedOut": False, "terminated": False, "error": "", "notFound": False}
        written(volume / "step" / "ended", json.dumps(end).encode())
        assert wait_for((volume / "step" / "collected").exists, 20)
    finally:
        program.terminate()
        program.wait(20)
    facts = [fact for run_id, fact in told if run_id == str(run.pk)]
    assert [fact.phase for fact in facts if isinstance(fact, AttemptProgressed)][:1] == [Phase.RUNNING]
    assert isinstance(facts[-1], AttemptSucceeded)
    assert facts[-1].outputs.artifacts["changed"][0]["uri"] == target
    stored = place / "artifacts" / "kfdash" / target.removeprefix("minio://kfdash/")
    assert [(path.name, path.read_bytes()) for path in stored.iterdir()] == [("result.txt", b"changed")]
    log = f"{run.pk}/{models.Attempt.objects.get(run=run, path='root/change').name}"
    assert [(line.stream, line.text) for line in logs.read(log)] == [("o", "first"), ("e", "second")]
    assert shown[-1][2], "that the log has ended is told"
