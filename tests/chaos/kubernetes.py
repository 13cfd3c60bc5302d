"""`python -m tests.chaos.kubernetes`: runs whose steps are pods, on the cluster of KUBECONFIG, while everything dies.

Steps tell a server of this program what they did, so that it is seen what ran, and how often.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from tests.chaos.outside import Door, Marks, server_of
from tests.faults.stack import call, pipeline, task
from tests.running import Installation, born, on_pods, wait_for

PARTS = ("web", "drive", "orders", "io", "observer", "intake", "redis")
STEP_IMAGE = os.environ.get("KFDASH_TEST_STEP_IMAGE", "python:3.11")
NAMESPACE = os.environ.get("KFDASH_TEST_NAMESPACE", "default")
PATIENCE = 600.0  # seconds for the last run to end
GONE_WITHIN = 60.0  # seconds for the last pod to be removed
LINES = 4
_ANYHOW = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
_ITEM = {"inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}}}


# --- the runs -------------------------------------------------------------------------------------------------------


def script(address: str, pause: float = 0.3, more: str = ":") -> str:
    """A step that says when it began and when it is done, and prints numbered lines."""
    tell = f"curl -sf -o /dev/null --retry 3 --retry-all-errors {address}/$KFP_POD_NAME --data"
    lines = f"for i in $(seq {LINES}); do echo line $i; sleep {pause}; done"
    return f"{tell} began; {lines}; {more} || exit 3; {tell} done"


def kinds(address: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Name → a pipeline and how it must end."""
    quick, slow = script(address, 0.1), script(address, 1.0)
    scripts = {"quick": quick, "slow": slow, "bad": script(address, 0.1, "false")}
    after = task("quick", ("body",), triggerPolicy=_ANYHOW)
    body = {"first": task("quick"), "loop": _loop(("first",)), "slow": task("slow", ("loop",)), "last": task("quick", ("slow",))}
    components = {"comp-body": {"dag": {"tasks": body}}, "comp-loop": {**_ITEM, "dag": {"tasks": {"one": task("quick")}}}}
    broken = {"comp-body": {"dag": {"tasks": {"first": task("quick"), "bad": task("bad", ("first",))}}}}
    return {
        "whole": (_on_pods(pipeline({"body": task("body"), "leave": after}, scripts, components)), "SUCCEEDED"),
        "chain": (_on_pods(pipeline({"one": task("quick"), "two": task("quick", ("one",))}, scripts)), "SUCCEEDED"),
        "broken": (_on_pods(pipeline({"body": task("body"), "leave": after}, scripts, broken)), "FAILED"),
        "slow": (_on_pods(pipeline({f"slow-{n}": task("slow") for n in range(2)}, scripts)), "SUCCEEDED"),
    }


def _loop(after: tuple[str, ...]) -> dict[str, Any]:
    return task("loop", after, parameterIterator={"items": {"raw": "[0, 1, 2]"}, "itemInput": "item"})


def _on_pods(made: dict[str, Any]) -> dict[str, Any]:
    for executor in made["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = STEP_IMAGE
        executor["container"]["resources"] = {"resourceCpuRequest": "10m", "resourceMemoryRequest": "16Mi"}
    return made


# --- the faults -----------------------------------------------------------------------------------------------------


class Faults:
    """What is done to the installation and to the cluster, chosen by `chance`."""

    def __init__(self, installation: Installation, door: Door, api: client.CoreV1Api, chance: random.Random) -> None:
        self.installation, self.door, self.api, self.chance = installation, door, api, chance
        self.tally: Counter[str] = Counter()
        self._choices = {
            self.kill_a_part: 10,
            self.delete_a_pod: 5,
            self.kill_a_launcher: 3,
            self.shut_the_api: 2,
            self.fill_the_node: 1,
            self.drain: 1,
        }

    def one(self) -> None:
        """A fault at random."""
        self.chance.choices(list(self._choices), list(self._choices.values()))[0]()

    def kill_a_part(self) -> None:
        """One part is killed; it is started again by itself."""
        part = self.chance.choice(PARTS)
        if born(pid := self.installation.parts().get(part, 0)):
            os.kill(pid, signal.SIGKILL)
            self.tally[f"kill {part}"] += 1

    def delete_a_pod(self) -> None:
        """Somebody deletes a step's pod by hand."""
        if pods := [pod for pod in self._pods() if pod.status.phase in ("Pending", "Running")]:
            self._delete(self.chance.choice(pods))
            self.tally["delete a pod"] += 1

    def kill_a_launcher(self) -> None:
        """A sidecar is killed. Its process is only seen where the node is this machine."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if b"runs.launcher" in (folder / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        if found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chance.choice(sorted(found)), signal.SIGKILL)
                self.tally["kill a launcher"] += 1

    def shut_the_api(self) -> None:
        """The API server cannot be reached for a while."""
        self.tally["API server away"] += 1
        self.door.shut_for(self.chance.uniform(2, 20))

    def fill_the_node(self) -> None:
        """Others take all that nodes have."""
        names = [f"kfdash-chaos-{self.chance.randrange(10**9)}" for _ in range(3)]
        resources = {"requests": {"cpu": "600m"}}
        for name in names:
            container = {"name": "main", "image": STEP_IMAGE, "command": ["sleep", "600"], "resources": resources}
            spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
            self.api.create_namespaced_pod(NAMESPACE, {"metadata": {"name": name}, "spec": spec})
        time.sleep(self.chance.uniform(5, 15))
        for name in names:
            with contextlib.suppress(ApiException):
                self.api.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)
        self.tally["fill the node"] += 1

    def drain(self) -> None:
        """The node of a step is emptied, and may be used again after a while."""
        nodes = {pod.spec.node_name for pod in self._pods() if pod.spec.node_name}
        if not nodes:
            return
        node = self.chance.choice(sorted(nodes))
        self.api.patch_node(node, {"spec": {"unschedulable": True}})
        try:
            for pod in self._pods():
                if pod.spec.node_name == node and pod.status.phase in ("Pending", "Running"):
                    body = {
                        "metadata": {"name": pod.metadata.name, "namespace": NAMESPACE},
                        "deleteOptions": {"gracePeriodSeconds": 2},
                    }
                    with contextlib.suppress(ApiException):
                        self.api.create_namespaced_pod_eviction(pod.metadata.name, NAMESPACE, body)
            time.sleep(self.chance.uniform(3, 8))
        finally:
            self.api.patch_node(node, {"spec": {"unschedulable": None}})
        self.tally["drain the node"] += 1

    def _pods(self) -> list[Any]:
        return list(self.api.list_namespaced_pod(NAMESPACE, label_selector="app.kubernetes.io/managed-by=kfdash").items)

    def _delete(self, pod: Any) -> None:
        with contextlib.suppress(ApiException):
            self.api.delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=self.chance.choice((0, 1, 5)))


# --- a round --------------------------------------------------------------------------------------------------------


class Round:
    """Launches runs while faults happen, then looks at all of them."""

    def __init__(self, installation: Installation, marks: Marks, faults: Faults, address: str, chance: random.Random) -> None:
        self.installation, self.marks, self.faults, self.chance = installation, marks, faults, chance
        self.kinds = kinds(address)
        self.expected: dict[str, tuple[str, str]] = {}  # run id → kind, state
        self.problems: list[str] = []
        self._attempts: set[str] = set()

    def play(self, count: int, at_once: int) -> None:
        """`count` runs, so many at a time, with faults in between until the last has been launched."""
        over = threading.Event()
        thread = threading.Thread(target=self._cause, args=(over,), daemon=True)
        thread.start()
        for number in range(count):
            assert wait_for(lambda: len(self._unfinished()) < at_once, PATIENCE), f"Too many runs do not end: {self._unfinished()}"
            kind = self.chance.choice(list(self.kinds))
            spec, state = self.kinds[kind]
            name = f"{kind} {number}"
            self.expected[self._launch(name, spec)] = (kind, state)
        over.set()
        thread.join()
        if not wait_for(lambda: not self._unfinished(), PATIENCE):
            self.problems += [f"{self.expected[run_id]} {run_id} did not end" for run_id in self._unfinished()]

    def _cause(self, over: threading.Event) -> None:
        while not over.wait(self.chance.uniform(1.0, 6.0)):
            try:
                self.faults.one()
            except ApiException as error:
                self.problems.append(f"a fault could not be caused: {error.status} {error.reason}")

    def _launch(self, name: str, spec: dict[str, Any]) -> str:
        body = {"display_name": name, "pipeline_spec": spec}
        while True:
            for run in (self._ask("/apis/kfdash/v1/runs?page_size=100") or {}).get("runs", []):
                if run["display_name"] == name:
                    return str(run["run_id"])
            if answer := self._ask("/apis/v2beta1/runs", body):
                return str(answer["run_id"])
            time.sleep(0.5)

    def _ask(self, path: str, body: Any = None) -> Any:
        try:
            return call(self.installation, path, body)
        except (OSError, ValueError):
            return None

    def _unfinished(self) -> list[str]:
        time.sleep(0.5)
        found = []
        for run_id in self.expected:
            run = self._ask(f"/apis/kfdash/v1/runs/{run_id}")
            if run is None or run["state"] not in ("SUCCEEDED", "FAILED", "CANCELED"):
                found.append(run_id)
        return found

    def look(self) -> dict[str, int]:
        """What became of it, as figures; what is wrong is in `problems`."""
        figures: Counter[str] = Counter()
        for run_id, (kind, state) in self.expected.items():
            run, rows = self._ask(f"/apis/kfdash/v1/runs/{run_id}"), self._ask(f"/apis/kfdash/v1/runs/{run_id}/tasks")
            if run is None or rows is None:
                self.problems.append(f"{run_id} cannot be looked at")
                continue
            if run["state"] != state:
                why = {row["path"]: row.get("reason") for row in rows["tasks"] if row["state"] == "FAILED"}
                self.problems.append(f"{kind} {run_id} ended as {run['state']} instead of {state}: {why}")
            figures[f"runs {run['state']}"] += 1
            for row in rows["tasks"]:
                for attempt in row.get("attempts", []):
                    self._look_at(run_id, row["path"], attempt, figures)
        figures["marks of unknown attempts"] = len(set(self.marks.by_attempt) - self._attempts)
        return dict(figures)

    def _look_at(self, run_id: str, path: str, attempt: dict[str, Any], figures: Counter[str]) -> None:
        name, state = attempt["name"], attempt["state"]
        self._attempts.add(name)
        marks = self.marks.by_attempt.get(name, [])
        figures[f"attempts {state}"] += 1
        figures["marks began"] += marks.count("began")
        figures["marks done"] += marks.count("done")
        if marks.count("began") > 1:
            self.problems.append(f"{name} of {run_id} began {marks.count('began')} times")
        if state == "SUCCEEDED" and marks != ["began", "done"]:
            self.problems.append(f"{name} of {run_id} succeeded, and its marks are {marks}")
        if state != "SUCCEEDED" and not attempt.get("reason"):
            self.problems.append(f"{name} of {run_id} ({path}) is {state} without a reason")
        if state == "SUCCEEDED":
            lines = (self._ask(f"/apis/kfdash/v1/runs/{run_id}/log?node={name}") or {}).get("lines", [])
            printed = [line["text"] for line in lines if line["stream"] == "stdout"]
            if printed != [f"line {n}" for n in range(1, LINES + 1)]:
                self.problems.append(f"the log of {name} of {run_id} is {printed}")
            figures["logs whole"] += 1


@contextlib.contextmanager
def stack(door: Door, folder: pathlib.Path) -> Iterator[Installation]:
    """The installation of a round: its pods are removed soon."""
    kubeconfig = str(door.kubeconfig(pathlib.Path(os.environ["KUBECONFIG"]), folder))
    soon = {"KFDASH_POD_TTL": "5", "KFDASH_FAILED_POD_TTL": "5", "KFDASH_STOP_GRACE": "5"}
    with Installation(folder / "data", **on_pods(NAMESPACE, KFDASH_KUBECONFIG=kubeconfig, **soon)) as installation:
        yield installation


def main() -> int:
    """Plays a round; 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="make chaos-kubernetes", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    config.load_kube_config(os.environ["KUBECONFIG"])
    api, chance, began = client.CoreV1Api(), random.Random(options.seed), time.monotonic()
    door, marks = Door(server_of(pathlib.Path(os.environ["KUBECONFIG"]))), Marks()
    address = f"http://{os.environ.get('KFDASH_TEST_ADDRESS') or _own_address()}:{marks.port}"
    print(f"seed {options.seed}, {options.runs} runs, marks at {address}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kfdash-chaos-") as folder, stack(door, pathlib.Path(folder)) as installation:
        faults = Faults(installation, door, api, random.Random(chance.random()))
        played = Round(installation, marks, faults, address, chance)
        played.play(options.runs, options.at_once)
        figures = played.look()
        selector = "app.kubernetes.io/managed-by=kfdash"
        if not wait_for(lambda: not api.list_namespaced_pod(NAMESPACE, label_selector=selector).items, GONE_WITHIN):
            played.problems.append(f"{len(api.list_namespaced_pod(NAMESPACE, label_selector=selector).items)} pods are left")
        if "Traceback" in (said := installation.said()):
            played.problems.append(f"it said: {said[-3000:]}")
    print(f"{time.monotonic() - began:.0f} s")
    for title, values in (("faults", faults.tally), ("found", figures)):
        print(f"{title}:", *(f"  {name:28} {value}" for name, value in sorted(values.items())), sep="\n")
    print(*(f"WRONG: {problem}" for problem in played.problems), sep="\n")
    return 1 if played.problems else 0


def _own_address() -> str:
    """The address of this machine by which others reach it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing
        return str(probe.getsockname()[0])


if __name__ == "__main__":
    sys.exit(main())
