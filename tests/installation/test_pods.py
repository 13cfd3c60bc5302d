"""`kfdash up --executor kubernetes`: what it needs, what it starts, and that it waits for a cluster that is away."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import urllib.request

import pytest

from tests.running import Installation, wait_for

KUBERNETES = {"KFDASH_EXECUTOR": "kubernetes"}


@pytest.fixture
def dead_cluster(tmp_path: pathlib.Path) -> str:
    """A kubeconfig for an API server that does not answer."""
    file = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "steps"}}
    config = {"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}], "current-context": "x"}
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
    return str(file)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    sentence = Installation(tmp_path / "data", KFDASH_KUBECONFIG=str(tmp_path / "none"), **KUBERNETES).refused()
    assert str(tmp_path / "none") in sentence and "KFDASH_KUBECONFIG" in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KFDASH_LAUNCHER_BIND", "8001"),
        ("KFDASH_LAUNCHER_BIND", "0.0.0.0:99999"),
        ("KFDASH_POD_TEMPLATE", "/no/such/template.yaml"),
        ("KFDASH_STORES", "/no/such/stores.yaml"),
    ],
)
def test_a_setting_that_cannot_be_is_named(tmp_path: pathlib.Path, dead_cluster: str, name: str, value: str) -> None:
    installation = Installation(tmp_path / "data", KFDASH_KUBECONFIG=dead_cluster, **KUBERNETES, **{name: value})
    sentence = installation.refused().splitlines()[-1]
    assert value in sentence and name in sentence


def test_pods_are_listened_to_whether_the_cluster_answers_or_not(tmp_path: pathlib.Path, dead_cluster: str) -> None:
    bind = {"KFDASH_LAUNCHER_BIND": "127.0.0.1:0", "KFDASH_KUBECONFIG": dead_cluster}
    with Installation(tmp_path / "data", **bind, **KUBERNETES) as installation:
        assert {"web", "intake"} <= set(installation.parts())
        assert "host" not in installation.parts()
        line = next(line for line in installation.said().splitlines() if line.startswith("Pods reach this machine at "))
        address = line.split()[5]

        def answers() -> bool:
            with urllib.request.urlopen(f"{address}/healthz", timeout=10) as answer:
                return bool(json.load(answer)["ok"])

        assert answers()
        before = installation.parts()["intake"]
        os.kill(before, signal.SIGKILL)
        assert answers(), "the socket is held meanwhile"
        assert wait_for(lambda: installation.parts().get("intake", before) != before)
