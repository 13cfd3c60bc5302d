"""Steps as pods, on the cluster of KUBECONFIG, each beside the same pods made by hand in the same run.

`python -m tests.bench.kubernetes [NAME …]`; the launcher's image comes from KFDASH_TEST_IMAGE.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kubernetes import client, config, watch

from tests.bench.figures import Figure, Measure, print_figures
from tests.bench.pipelines import lightweight
from tests.bench.processes import processor_time, share
from tests.bench.stack import call, launch, moment, tasks_of
from tests.running import IMAGE, Installation, on_pods, wait_for

CHAIN, FAN_OUT, LEVELS, CROWD, MANY = 10, 50, 20, 200, 500
LINES = 200  # that each step of the crowd prints
STEP_IMAGE = os.environ.get("KFDASH_TEST_STEP_IMAGE", "python:3.11")
NAMESPACE = os.environ.get("KFDASH_TEST_NAMESPACE", "default")
LABEL = "kfdash-bench"
MEASURES: dict[str, Measure] = {}


def measure(name: str) -> Callable[[Measure], Measure]:
    """Registers a function that yields figures."""
    return lambda function: MEASURES.setdefault(name, function)


@contextlib.contextmanager
def installation(**environment: str) -> Iterator[Installation]:
    """`kfdash up` whose steps are pods; one step has run, so that images are on the node."""
    with (
        tempfile.TemporaryDirectory(prefix="kfdash-bench-") as folder,
        Installation(pathlib.Path(folder) / "data", **on_pods(NAMESPACE, **environment)) as running,
    ):
        ended(running, chain(1))
        yield running


def ended(running: Installation, pipeline: dict[str, Any]) -> dict[str, Any]:
    """A run when it has ended well, and its pods are gone: the kubelet looks at all that there are, whenever one changes."""
    run_id = launch(running, pipeline)
    run = ends(running, run_id)
    clear(run_id)
    return run


def ends(running: Installation, run_id: str, *, minutes: float = 10) -> dict[str, Any]:
    """The run when it has ended well."""
    run: dict[str, Any] = {}

    def over() -> bool:
        run.update(call(running, f"/apis/v2beta1/runs/{run_id}"))
        return run["state"] in ("SUCCEEDED", "FAILED")

    assert calmly(over, minutes * 60), f"The run is still {run['state']}."
    assert run["state"] == "SUCCEEDED", str(run.get("error"))[:1000]
    return run


def calmly(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition came true in time; asked for twice a second, for asking takes its part of the processor, too."""
    return wait_for(lambda: time.sleep(0.5) is None and condition(), seconds)


def clear(run_id: str) -> None:
    """Removes the pods of a run once their ends are recorded, and waits until they are gone."""
    api, selector = cluster(), f"kfdash.dev/run={run_id}"
    recorded = f"{selector},!kfdash.dev/recorded"
    calmly(lambda: not api.list_namespaced_pod(NAMESPACE, label_selector=recorded).items, 60)
    api.delete_collection_namespaced_pod(NAMESPACE, label_selector=selector, grace_period_seconds=0)
    calmly(lambda: not api.list_namespaced_pod(NAMESPACE, label_selector=selector).items, 120)


def cluster() -> client.CoreV1Api:
    """The cluster of KUBECONFIG."""
    config.load_kube_config(os.environ["KUBECONFIG"])
    return client.CoreV1Api()


def seconds_of(run: Mapping[str, Any]) -> float:
    """From launch to end, as the run itself says."""
    return moment(run["finished_at"]) - moment(run["created_at"])


# --- pipelines ---


def document(
    name: str, tasks: Mapping[str, Any], components: Mapping[str, Any] | None = None, command: Sequence[str] = ("true",)
) -> dict[str, Any]:
    """A pipeline whose component `step` is a container that does nothing, or `command`."""
    container = {"image": STEP_IMAGE, "command": list(command)}
    return {
        "components": {"comp-step": {"executorLabel": "exec-step"}, **(components or {})},
        "deploymentSpec": {"executors": {"exec-step": {"container": container}}},
        "pipelineInfo": {"name": name},
        "root": {"dag": {"tasks": dict(tasks)}},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
    }


def task(name: str, *after: str, component: str = "step", **more: Any) -> dict[str, Any]:
    """A task as the compiler writes it."""
    return {"componentRef": {"name": f"comp-{component}"}, "taskInfo": {"name": name}, "dependentTasks": list(after), **more}


def chain(length: int) -> dict[str, Any]:
    """Steps one after the other."""
    return document("chain", {f"t{n}": task(f"t{n}", *([f"t{n - 1}"] if n else [])) for n in range(length)})


def fan_out(width: int, *command: str) -> dict[str, Any]:
    """Steps at the same time."""
    return document("fan-out", {f"t{n}": task(f"t{n}") for n in range(width)}, command=command or ("true",))


def control_flow(levels: int) -> dict[str, Any]:
    """A step, then nested pipelines, loops of one and conditions, one within the other, and a step within all of them."""
    inside: dict[str, Any] = {"last": task("last")}
    components: dict[str, Any] = {}
    item = {"inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}}}
    for level in range(levels):
        name = f"level-{level}"
        looped = {"parameterIterator": {"items": {"raw": "[1]"}, "itemInput": "item"}} if level % 3 == 1 else {}
        asked = {"triggerPolicy": {"condition": "1 == 1"}} if level % 3 == 2 else {}
        components[f"comp-{name}"] = {"dag": {"tasks": inside}, **(item if looped else {})}
        inside = {name: task(name, component=name, **looped, **asked)}
    [(name, outermost)] = inside.items()
    return document("control-flow", {"first": task("first"), name: {**outermost, "dependentTasks": ["first"]}}, components)


# --- by hand ---


def bare(name: str) -> dict[str, Any]:
    """A pod of the step's container alone."""
    container = {"name": "main", "image": STEP_IMAGE, "command": ["true"]}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return {"metadata": {"name": name, "labels": {"app": LABEL}}, "spec": spec}


def with_sidecar(name: str) -> dict[str, Any]:
    """A pod of the two containers that a step's pod has, with nothing for them to do."""
    pod = bare(name)
    mounts = [{"name": "kfdash", "mountPath": "/kfdash"}]
    install = {"exec": {"command": ["/opt/kfdash/entry", "--install", "/kfdash/bin/entry"]}}
    sidecar = {
        "name": "launcher",
        "image": IMAGE,
        "command": ["python3", "-c", "import signal, sys; signal.signal(15, lambda *_: sys.exit()); signal.pause()"],
        "restartPolicy": "Always",
        "lifecycle": {"postStart": install},
        "volumeMounts": mounts,
    }
    pod["spec"] |= {"initContainers": [sidecar], "volumes": [{"name": "kfdash", "emptyDir": {}}]}
    pod["spec"]["containers"][0]["volumeMounts"] = mounts
    return pod


class ByHand:
    """Pods without kfdash: made, and waited for through the API until their step's container has ended."""

    def __init__(self) -> None:
        self.api = cluster()

    def one_after_the_other(self, pod: Callable[[str], dict[str, Any]], count: int) -> float:
        """Seconds for `count` pods, each made when the one before has ended."""
        began = time.perf_counter()
        for _ in range(count):
            name = self._make(pod)
            self._wait({name})
        return self._cleared(time.perf_counter() - began)

    def at_once(self, pod: Callable[[str], dict[str, Any]], count: int) -> float:
        """Seconds for `count` pods at the same time."""
        began = time.perf_counter()
        with ThreadPoolExecutor(8) as threads:
            names = set(threads.map(lambda _: self._make(pod), range(count)))
        self._wait(names)
        return self._cleared(time.perf_counter() - began)

    def _make(self, pod: Callable[[str], dict[str, Any]]) -> str:
        name = f"{LABEL}-{uuid.uuid4().hex[:12]}"
        self.api.create_namespaced_pod(NAMESPACE, pod(name))
        return name

    def _wait(self, names: set[str]) -> None:
        left = set(names)
        for event in watch.Watch().stream(self.api.list_namespaced_pod, NAMESPACE, label_selector=f"app={LABEL}"):
            status = event["object"].status
            statuses = status.container_statuses or []
            assert status.reason != "Evicted", f"The node is in no state for measuring: {status.message}"
            if any(one.state.terminated for one in statuses):
                left.discard(event["object"].metadata.name)
            if not left:
                return

    def _cleared(self, seconds: float) -> float:
        self.api.delete_collection_namespaced_pod(NAMESPACE, label_selector=f"app={LABEL}", grace_period_seconds=0)
        while self.api.list_namespaced_pod(NAMESPACE, label_selector=f"app={LABEL}").items:
            time.sleep(0.2)
        return seconds


# --- measures ---


@measure("chain")
def chains() -> Iterator[Figure]:
    """Ten steps one after the other; bare pods are made one after the other and waited for through the API."""
    by_hand = ByHand()
    by_hand.one_after_the_other(bare, 1)
    with installation() as running:
        rounds = []
        for _ in range(3):
            ours = seconds_of(ended(running, chain(CHAIN)))
            rounds.append((ours, by_hand.one_after_the_other(bare, CHAIN)))
    ours, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    yield Figure("kubernetes: chain of 10", ours / CHAIN, "s/step", None, theirs / CHAIN)
    yield Figure("kubernetes: chain of 10, of the time of bare pods", ours / theirs, "", 0.9)


@measure("fan-out")
def fan_outs() -> Iterator[Figure]:
    """Fifty steps at once."""
    by_hand = ByHand()
    by_hand.at_once(with_sidecar, 2)
    with installation() as running:
        rounds = []
        for _ in range(2):
            ours = seconds_of(ended(running, fan_out(FAN_OUT)))
            rounds.append((ours, by_hand.at_once(with_sidecar, FAN_OUT), by_hand.at_once(bare, FAN_OUT)))
    ours, same, alone = (FAN_OUT / statistics.median(column) for column in zip(*rounds, strict=True))
    yield Figure("kubernetes: fan-out of 50", ours, "steps/s", None, alone)
    yield Figure("kubernetes: fan-out of 50, of the rate of the same two containers", ours / same, "", 0.9)
    yield Figure("kubernetes: fan-out of 50, of the rate of bare pods", ours / alone, "", 0.65)


@measure("control-flow")
def control() -> Iterator[Figure]:
    """Conditions, loops and nested pipelines around a step: what each adds, and that none is a pod."""
    with installation() as running:
        run_id = launch(running, control_flow(LEVELS))
        ends(running, run_id)
        tasks = tasks_of(running, run_id)
        first = next(found for path, found in tasks.items() if path == "root/first")
        last = next(found for path, found in tasks.items() if path.endswith("/last"))
        passed = moment(last["attempts"][0]["queued_at"]) - moment(first["attempts"][0]["finished_at"])
        pods = cluster().list_namespaced_pod(NAMESPACE, label_selector=f"kfdash.dev/run={run_id}").items
        assert len(pods) <= 2, [pod.metadata.name for pod in pods]
        clear(run_id)
        yield Figure("kubernetes: a condition, loop or nested pipeline", passed / LEVELS * 1000, "ms", 20)


@measure("lightweight")
def lightweight_step() -> Iterator[Figure]:
    """From the container's start to the first user code of a lightweight component: with kfp laid in, and from the registry."""
    found = {}
    for words, overlay in (("laid in", "1"), ("from the registry", "0")):
        with installation(KFDASH_KFP_OVERLAY=overlay) as running:
            rounds = [_until_first_line(running) for _ in range(3)]
            found[words] = statistics.median(rounds)
    yield Figure("kubernetes: lightweight component, start to user code", found["laid in"], "s", 0.6, found["from the registry"])


def _until_first_line(running: Installation) -> float:
    run_id = launch(running, lightweight()["one"])
    ends(running, run_id)
    [attempt] = tasks_of(running, run_id)["root/say"]["attempts"]
    lines = call(running, f"/apis/kfdash/v1/runs/{run_id}/log?node=root/say&limit=1000")["lines"]
    clear(run_id)
    first = next(line for line in lines if line["text"].startswith("line 0 "))
    return moment(first["at"]) - moment(attempt["running_at"])


@measure("observer")
def observer() -> Iterator[Figure]:
    """The observer with 500 pods that wait for a node that there is not."""
    waiting = fan_out(MANY)
    config_of = {"nodeSelector": {"labels": {"kfdash.dev/bench": "nowhere"}}}
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-step": config_of}}}}}
    with installation() as running:
        body = {"display_name": "bench", "pipeline_spec": {"pipeline_spec": waiting, "platform_spec": platform}}
        run_id = str(call(running, "/apis/v2beta1/runs", body)["run_id"])
        api = cluster()
        while len(api.list_namespaced_pod(NAMESPACE, label_selector=f"kfdash.dev/run={run_id}").items) < MANY:
            time.sleep(1)
        time.sleep(20)
        pid = running.parts()["observer"]
        before, began = processor_time(pid), time.monotonic()
        time.sleep(20)
        used = (processor_time(pid) - before) / (time.monotonic() - began)
        yield Figure("kubernetes: observer with 500 pods", share(pid) / 1024, "MiB", 150)
        yield Figure("kubernetes: observer with 500 pods, nothing changes", used * 100, "% of a core", 5)
        call(running, f"/apis/v2beta1/runs/{run_id}:terminate", {})
        assert calmly(lambda: call(running, f"/apis/v2beta1/runs/{run_id}")["state"] == "CANCELED", 300)
        clear(run_id)


@measure("crowd")
def crowd() -> Iterator[Figure]:
    """Two hundred steps at once: nothing is lost, every log is whole; what each of our processes takes of the machine."""
    printing = f"i=0; while [ $i -lt {LINES} ]; do echo line $i of {LINES}; i=$((i+1)); done"
    with installation() as running:
        parts = running.parts()
        before = {name: processor_time(pid) for name, pid in parts.items()}
        run_id = launch(running, fan_out(CROWD, "sh", "-c", printing))
        most = dict.fromkeys(parts, 0)
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(1.0):
                most.update({name: max(most[name], share(pid)) for name, pid in parts.items()})

        looking = threading.Thread(target=look)
        looking.start()
        run = ends(running, run_id)
        whole = [f"line {n} of {LINES}" for n in range(LINES)]
        assert calmly(lambda: all(_log_of(running, run_id, f"t{n}") == whole for n in range(CROWD)), 120), "Lines are missing."
        stop.set()
        looking.join()
        yield Figure(f"kubernetes: fan-out of {CROWD}, every log whole", CROWD / seconds_of(run), "steps/s")
        for name, pid in parts.items():
            yield Figure(f"kubernetes: fan-out of {CROWD}, memory of {name} at the most", most[name] / 1024, "MiB")
            yield Figure(f"kubernetes: fan-out of {CROWD}, processor time of {name}", processor_time(pid) - before[name], "s")
        clear(run_id)


def _log_of(running: Installation, run_id: str, name: str) -> list[str]:
    """The text of a log that has ended, else nothing."""
    found = call(running, f"/apis/kfdash/v1/runs/{run_id}/log?node=root/{name}&limit={LINES * 2}")
    return [line["text"] for line in found["lines"]] if found["ended"] else []


@measure("launcher")
def launcher() -> Iterator[Figure]:
    """What the launcher asks for and holds while its step runs, as the kubelet counts it."""
    with installation() as running:
        run_id = launch(running, fan_out(1, "sleep", "30"))
        api, selector = cluster(), f"kfdash.dev/run={run_id}"
        wait_for(
            lambda: any(pod.status.phase == "Running" for pod in api.list_namespaced_pod(NAMESPACE, label_selector=selector).items),
            60,
        )
        [pod] = api.list_namespaced_pod(NAMESPACE, label_selector=selector).items
        [asked] = [one.resources.requests for one in pod.spec.init_containers if one.name == "launcher"]
        time.sleep(15)  # the kubelet counts now and then
        answer = api.connect_get_node_proxy_with_path(pod.spec.node_name, "stats/summary", _preload_content=False)
        counted = next(one for one in json.loads(answer.data)["pods"] if one["podRef"]["name"] == pod.metadata.name)
        [memory] = [one["memory"] for one in counted["containers"] if one["name"] == "launcher"]
        ends(running, run_id)
        clear(run_id)
    yield Figure("kubernetes: launcher, memory asked for", float(asked["memory"].removesuffix("Mi")), "MiB", 40)
    yield Figure("kubernetes: launcher, memory held", memory["rssBytes"] / 2**20, "MiB", 40)
    yield Figure("kubernetes: launcher, memory and files read", memory["workingSetBytes"] / 2**20, "MiB", 40)


if __name__ == "__main__":
    sys.exit(print_figures(MEASURES, sys.argv[1:]))
