"""What a deleted run leaves behind goes, at once or when whoever holds it answers again."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from runs import removal, results
from runs.execution.result import Result
from runs.executors.base import ExecutorUnavailable
from runs.stores import store_options


class Cluster:
    """Notes what it is told, or is away."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.away = False

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> None:
            if self.away:
                raise ExecutorUnavailable("The API server does not answer.")
            self.told.append(name)

        return call


@pytest.fixture
def cluster(settings: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    settings.EXECUTOR = "kubernetes"
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    settings.LOGS_DIR = tmp_path / "logs"
    store_options.cache_clear()
    found = Cluster()
    monkeypatch.setattr("runs.removal.executor", lambda: found)
    yield found
    store_options.cache_clear()


def test_pods_logs_artifacts_and_results_of_a_deleted_run_go(cluster: Cluster, settings: Any) -> None:
    log = settings.LOGS_DIR / "the-run" / "s0-x-1" / "000000000001.log"
    artifact = settings.ARTIFACTS_DIR / "kfdash" / "v2" / "chain" / "the-run" / "s0" / "data"
    for file in (log, artifact):
        file.parent.mkdir(parents=True)
        file.write_text("x")
    for run in ("the-run", "another"):
        results.write(
            settings.RESULTS_ROOT, store_options(), run, "s0-x-1", Result("s0-x-1", "succeeded", {"finished": 1}).to_text()
        )
    removal.remove_run("the-run", "minio://kfdash/v2/chain/the-run", [("root/s0", 1)])
    assert cluster.told == ["stop", "forget", "clear"]
    assert (log.exists(), artifact.exists()) == (False, False)
    assert results.read(settings.RESULTS_ROOT, store_options(), "the-run", "s0-x-1") is None
    assert [folder.name for folder in (settings.ARTIFACTS_DIR / "kfdash" / ".results").iterdir()] == ["another"]
    assert results.read(settings.RESULTS_ROOT, store_options(), "another", "s0-x-1") is not None


def test_a_cluster_that_is_away_is_asked_again_later(cluster: Cluster, settings: Any) -> None:
    cluster.away = True
    (settings.LOGS_DIR / "the-run").mkdir(parents=True)
    with pytest.raises(removal.NotRemoved, match="the-run left behind could not be removed: The API server does not answer"):
        removal.remove_run("the-run", "minio://kfdash/v2/chain/the-run", [])
    assert not (settings.LOGS_DIR / "the-run").exists(), "what can be removed is"
    cluster.away = False
    removal.remove_run("the-run", "minio://kfdash/v2/chain/the-run", [])
