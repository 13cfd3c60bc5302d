"""All broken pipelines at once on the real product and the cluster of KUBECONFIG; then, of each, what is said of it and where."""

from __future__ import annotations

import html
import pathlib
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.stack import call
from tests.kubernetes.gallery.exhibits import EXHIBITS, FAILED, WAITS, objects
from tests.kubernetes.gallery.showing import Cluster, Watcher, reasons
from tests.running import Installation, on_pods

pytestmark = pytest.mark.kubernetes

PATIENCE = 90.0  # seconds for the last sentence
AT_ONCE = 3.0  # seconds from the cluster's knowledge to ours


@dataclass
class Gallery:
    """What was seen."""

    installation: Installation
    watcher: Watcher
    runs: dict[str, str]
    pages: dict[str, str]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Every exhibit, launched and watched until all have their sentence."""
    cluster, namespace = Cluster(), f"gallery-{uuid.uuid4().hex[:6]}"
    cluster.make("/api/v1/namespaces", {"metadata": {"name": namespace}})
    try:
        for path, body in objects(namespace):
            cluster.make(path, body)
        folder: pathlib.Path = tmp_path_factory.mktemp("gallery")
        with Installation(folder / "data", **on_pods(namespace)) as running:
            runs = {name: launched(running, name) for name in EXHIBITS}
            watcher = Watcher(cluster, namespace, running, runs)
            watcher.watch(PATIENCE)
            pages = {name: page(running, run) for name, run in runs.items()}
            yield Gallery(running, watcher, runs, pages)
            for run in runs.values():
                stop(running, run)
    finally:
        cluster.remove_namespace(namespace)


def launched(running: Installation, name: str) -> str:
    body: dict[str, Any] = {"display_name": name, "pipeline_spec": EXHIBITS[name].package(name)}
    if EXHIBITS[name].service_account:
        body["service_account"] = EXHIBITS[name].service_account
    return str(call(running, "/apis/v2beta1/runs", body)["run_id"])


def page(running: Installation, run: str) -> str:
    with urllib.request.urlopen(f"{running.address}/runs/{run}/?task=root/step&tab=overview", timeout=20) as answer:
        return html.unescape(answer.read().decode())


def texts(document: Any) -> Iterator[str]:
    """All texts of a JSON document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for item in document.values() if isinstance(document, dict) else document:
            yield from texts(item)


def stop(running: Installation, run: str) -> None:
    try:
        call(running, f"/apis/v2beta1/runs/{run}:terminate", {})
    except OSError:
        return


@pytest.mark.parametrize("name", EXHIBITS)
def test_a_broken_pipeline_says_what_is_wrong(gallery: Gallery, name: str) -> None:
    exhibit, step = EXHIBITS[name], gallery.watcher.seen.get(name, {})
    sentence, said = gallery.watcher.sentence(name), name in gallery.watcher.said
    assert said, f"Not said: {exhibit.sentence}\nSaid: {reasons(step)}"
    if exhibit.end == FAILED:
        assert step["state"] == "FAILED"
        run = call(gallery.installation, f"/apis/v2beta1/runs/{gallery.runs[name]}")
        assert run["state"] == "FAILED"
        assert any(sentence.search(text) for text in texts(run))
    elif exhibit.end == WAITS:
        assert (step["state"], step.get("attention")) == ("PENDING", True)
    else:
        assert len(step["attempts"]) >= 1
        assert step["state"] in ("PENDING", "RUNNING")
    if exhibit.cause:
        assert step["cause"] == exhibit.cause
    if exhibit.end in (FAILED, WAITS):
        assert sentence.search(gallery.pages[name])
    if name in gallery.watcher.known:
        late = gallery.watcher.said[name] - gallery.watcher.known[name]
        assert late <= AT_ONCE, f"The cluster knew it {late:.1f} s before."


def test_what_the_cluster_knew_was_seen_of_nearly_all(gallery: Gallery) -> None:
    """A pod whose end is recorded may be gone before the watcher looks again: kfdash was quicker."""
    wanted = {name for name, exhibit in EXHIBITS.items() if exhibit.knows}
    assert len(wanted - set(gallery.watcher.known)) <= 3, wanted - set(gallery.watcher.known)
