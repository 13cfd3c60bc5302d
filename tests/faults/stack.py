"""A pipeline that shows what a fault did to it, and an installation's API as tests of faults use it."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.running import Installation, wait_for

LINES = 6  # of each step
ENDS = ("SUCCEEDED", "FAILED", "CANCELED")
STEPS = ("root/body/first", *(f"root/body/loop[{n}]/one" for n in range(3)), "root/body/slow", "root/body/last", "root/leave")
_SENTENCE = re.compile(r"^(\d\d:\d\d:\d\d (WARNING|ERROR|CRITICAL) |[a-z]+ ended |ready |note: |[a-z]+ does not end |kfdash)")


def step(script: str, **more: Any) -> dict[str, Any]:
    """A pipeline of one step that runs a script of the shell; `more` is merged into its task."""
    return pipeline({"only": task("step", **more)}, {"step": script})


def task(component: str, after: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """A task of a DAG, as the compiler writes it."""
    made: dict[str, Any] = {"componentRef": {"name": f"comp-{component}"}, "taskInfo": {"name": component}, "cachingOptions": {}}
    return made | ({"dependentTasks": list(after)} if after else {}) | more


def pipeline(tasks: Mapping[str, Any], scripts: Mapping[str, str], components: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A pipeline whose components are scripts of the shell, by name, and those given."""
    executors = {f"exec-{name}": {"container": {"image": "any", "command": ["sh", "-c", text]}} for name, text in scripts.items()}
    leaves = {f"comp-{name}": {"executorLabel": f"exec-{name}"} for name in scripts}
    return {
        "components": {**leaves, **(components or {})},
        "deploymentSpec": {"executors": executors},
        "pipelineInfo": {"name": "faults"},
        "root": {"dag": {"tasks": dict(tasks)}},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
    }


def whole(marks: pathlib.Path) -> dict[str, Any]:
    """A chain with a loop, a slow step and an exit task; each attempt leaves a line in a file with its name in `marks`.

    The slow step does not end while there is a file with the name of `marks` and `.held`.
    """
    mark = f"echo ran >> {marks}/$KFP_POD_NAME; for i in $(seq {LINES}); do echo line $i; sleep"
    scripts = {"quick": f"{mark} 0.05; done", "slow": f"{mark} 0.3; done; while [ -e {marks}.held ]; do sleep 0.1; done"}
    loop = {
        "inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}},
        "dag": {"tasks": {"one": task("quick")}},
    }
    body = {
        "first": task("quick"),
        "loop": task("loop", ("first",), parameterIterator={"items": {"raw": "[1, 2, 3]"}, "itemInput": "item"}),
        "slow": task("slow", ("loop",)),
        "last": task("quick", ("slow",)),
    }
    tasks = {
        "body": task("body"),
        "leave": task("quick", ("body",), triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}),
    }
    return pipeline(tasks, scripts, {"comp-loop": loop, "comp-body": {"dag": {"tasks": body}}})


def call(installation: Installation, path: str, body: Any = None, **headers: str) -> Any:
    """JSON from the API."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(installation.address + path, data, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def launch(installation: Installation, spec: Mapping[str, Any]) -> str:
    """Starts a run of a pipeline that was never uploaded; its id."""
    body = {"display_name": "through thick and thin", "pipeline_spec": spec}
    return str(call(installation, "/apis/v2beta1/runs", body)["run_id"])


def state(installation: Installation, run_id: str) -> str:
    """The run's state; empty while nobody answers."""
    try:
        return str(call(installation, f"/apis/v2beta1/runs/{run_id}")["state"])
    except OSError:
        return ""


def end(installation: Installation, run_id: str, within: float = 40.0) -> str:
    """The state that a run ends in. Raises AssertionError where it does not in time (seconds)."""
    ended = wait_for(lambda: state(installation, run_id) in ENDS, within)
    assert ended, f"The run did not end: {tasks(installation, run_id)}\n{installation.said()}"
    return state(installation, run_id)


def tasks(installation: Installation, run_id: str) -> dict[str, Any]:
    """Tasks by path; empty while nobody answers."""
    try:
        found = call(installation, f"/apis/kfdash/v1/runs/{run_id}/tasks").get("tasks", [])
    except OSError:
        return {}
    return {task["path"]: task for task in found}


def runs(installation: Installation, run_id: str, path: str) -> bool:
    """Whether a step's process runs, or ran."""
    return any(attempt.get("running_at") for attempt in tasks(installation, run_id).get(path, {}).get("attempts", []))


def log(installation: Installation, run_id: str, path: str) -> list[dict[str, Any]]:
    """The lines of a step's last attempt."""
    found: list[dict[str, Any]] = call(installation, f"/apis/kfdash/v1/runs/{run_id}/log?node={path}")["lines"]
    return found


def check_the_end(installation: Installation, run_id: str, marks: pathlib.Path) -> dict[str, int]:
    """The run ended as if nothing had been: every step once an attempt, its log whole. Path → number of attempts."""
    assert end(installation, run_id) == "SUCCEEDED", tasks(installation, run_id)
    found = tasks(installation, run_id)
    assert {found[path]["state"] for path in STEPS} == {"SUCCEEDED"}
    doubled = {file.name: lines for file in marks.iterdir() if (lines := file.read_text().split()) != ["ran"]}
    assert not doubled, f"These attempts ran more than once: {doubled}"
    for path in STEPS:
        printed = [(line["number"], line["text"]) for line in log(installation, run_id, path) if line["stream"] == "stdout"]
        assert [text for _, text in printed] == [f"line {n}" for n in range(1, LINES + 1)], (path, printed)
    return {path: len(found[path]["attempts"]) for path in STEPS}


def check_what_it_said(installation: Installation) -> None:
    """What stands in the terminal are sentences."""
    said = installation.said()
    assert "Traceback" not in said, said
    strange = [line for line in said.splitlines() if line.strip() and not _SENTENCE.match(line)]
    assert not strange, strange


def kill(installation: Installation, *parts: str) -> None:
    """Ends parts without warning, all of them and `kfdash up` itself for none."""
    found = installation.parts()
    if not parts:
        assert installation.process
        os.kill(installation.process.pid, signal.SIGKILL)
    for pid in [found[part] for part in parts] if parts else found.values():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def figure(name: str, began: float) -> None:
    """Prints how long something took."""
    print(f"\n{name}: {time.monotonic() - began:.1f} s")


def how_often(values: list[Any]) -> dict[Any, int]:
    """Value → how often it is there."""
    return dict(collections.Counter(values))
