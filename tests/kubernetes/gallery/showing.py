"""What the cluster's own API and an installation show of the gallery, watched from outside."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Mapping
from typing import Any

from kubernetes import client, config

from tests.faults.stack import call
from tests.kubernetes.gallery.exhibits import EXHIBITS, Exhibit
from tests.running import Installation

Json = Any


class Cluster:
    """The API server, by raw documents."""

    def __init__(self) -> None:
        config.load_kube_config(os.environ["KUBECONFIG"])
        self.api = client.ApiClient()

    def ask(self, method: str, path: str, body: Json = None, **query: str) -> Json:
        """One call. Raises `kubernetes.client.ApiException`."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer = self.api.call_api(
            path,
            method,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
        )
        return json.loads(answer[0].data)

    def make(self, path: str, body: Json) -> None:
        """Makes an object, or leaves the one that is there."""
        try:
            self.ask("POST", path, body)
        except client.ApiException as refused:
            if refused.status != 409:
                raise

    def remove_namespace(self, name: str) -> None:
        """With all that is in it; pods lose their finalizers."""
        for pod in self.ask("GET", f"/api/v1/namespaces/{name}/pods")["items"]:
            path = f"/api/v1/namespaces/{name}/pods/{pod['metadata']['name']}"
            for method, body, query in (
                ("PATCH", {"metadata": {"finalizers": None}}, {}),
                ("DELETE", None, {"gracePeriodSeconds": "0"}),
            ):
                try:
                    self.ask(method, path, body, **query)
                except client.ApiException:
                    continue
        self.ask("DELETE", f"/api/v1/namespaces/{name}")


class Watcher:
    """Sees, four times a second, when the cluster knows of each exhibit's trouble, and when the installation says it."""

    def __init__(self, cluster: Cluster, namespace: str, installation: Installation, runs: Mapping[str, str]) -> None:
        self.cluster, self.namespace, self.installation, self.runs = cluster, namespace, installation, dict(runs)
        self.node = cluster.ask("GET", "/api/v1/nodes")["items"][0]["metadata"]["name"]
        self.began = time.monotonic()
        self.known: dict[str, float] = {}  # exhibit → monotonic time
        self.said: dict[str, float] = {}
        self.seen: dict[str, Json] = {}  # the step as the API shows it, the newest
        self.acted: set[str] = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._often, args=(look,), daemon=True) for look in (self._cluster, self._product)]

    def watch(self, seconds: float) -> None:
        """Watches until every exhibit has its sentence, at most so long."""
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and set(self.said) != set(self.runs):
            time.sleep(0.2)
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        late = [self.said[name] - self.known[name] for name in self.said if name in self.known]
        last = max(self.said.values(), default=self.began) - self.began
        print(f"\n{len(self.said)} of {len(self.runs)} sentences within {last:.0f} s, at most {max(late, default=0):.1f} s late")

    def sentence(self, name: str) -> re.Pattern[str]:
        """What is to be said of an exhibit."""
        return pattern(EXHIBITS[name], namespace=self.namespace, node=self.node)

    def _often(self, look: Any) -> None:
        while not self._stop.wait(0.25):
            try:
                look()
            except (OSError, client.ApiException) as error:
                print(f"{type(error).__name__}: {error}")

    def _cluster(self) -> None:
        items = self.cluster.ask("GET", f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        events = self.cluster.ask("GET", f"/api/v1/namespaces/{self.namespace}/events", limit="2000")["items"]
        now = time.monotonic()
        for pod in items:
            name = next((name for name, run in self.runs.items() if run == pod["metadata"]["labels"].get("kfdash.dev/run")), "")
            if not name:
                continue
            about = [event for event in events if event["involvedObject"].get("uid") == pod["metadata"]["uid"]]
            told = json.dumps([pod["metadata"].get("deletionTimestamp") and "deletionTimestamp", pod["status"], about])
            if EXHIBITS[name].knows and EXHIBITS[name].knows in told:
                self.known.setdefault(name, now)
            self._act(name, pod)

    def _act(self, name: str, pod: Json) -> None:
        """Does to a pod that runs what others are to do to it, once."""
        states = [one["state"] for one in pod["status"].get("containerStatuses", [])]
        if not EXHIBITS[name].then or name in self.acted or not any("running" in state for state in states):
            return
        self.acted.add(name)
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"
        if EXHIBITS[name].then == "delete":
            self.cluster.ask("DELETE", path)
        else:
            metadata = {"name": pod["metadata"]["name"], "namespace": self.namespace}
            self.cluster.ask("POST", f"{path}/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})

    def _product(self) -> None:
        for name, run in self.runs.items():
            if name in self.said:
                continue
            tasks = call(self.installation, f"/apis/kfdash/v1/runs/{run}/tasks").get("tasks", [])
            step = next((task for task in tasks if task["path"] == "root/step"), None)
            if step is None:
                continue
            self.seen[name] = step
            if any(self.sentence(name).search(reason) for reason in reasons(step)):
                self.said[name] = time.monotonic()


def reasons(step: Mapping[str, Json]) -> list[str]:
    """What is said of a step and of its attempts."""
    return [str(step.get("reason", "")), *(str(attempt.get("reason", "")) for attempt in step.get("attempts", []))]


def pattern(exhibit: Exhibit, **values: str) -> re.Pattern[str]:
    """The sentence with what only a cluster knows put in; `…` stands for any text."""
    text = exhibit.sentence
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return re.compile(".*".join(re.escape(part) for part in text.split("…")))
