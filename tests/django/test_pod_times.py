"""How long pods that are over are kept: by rules, else by the settings."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import pytest

from runs import services
from runs.executors.kubernetes.ends import Ends
from runs.executors.kubernetes.names import RUN
from runs.executors.kubernetes.pods import RECORDED_AT
from runs.podtimes import times_of
from runs.retention.rules import Rule, What
from runs.services import retention
from tests.django.driving import launched
from tests.kubernetes.orders import CONFIG

HOUR = 3600


@pytest.mark.django_db
def test_pods_are_kept_by_the_settings_until_a_rule_says_otherwise(settings: Any, sent: list) -> None:
    settings.POD_TTL, settings.FAILED_POD_TTL = 100, 200
    mine = services.create_experiment(name="mine")
    one, kept, other = launched(experiment=mine), launched(experiment=mine), launched()
    services.keep_run(kept)
    ids = [str(run.pk) for run in (one, kept, other)] + ["00000000-0000-4000-8000-000000000000"]
    assert [times_of(ids)[run] for run in ids] == [(100, 200)] * 4
    retention.save_retention_rule(Rule(What.PODS, 2 * HOUR, states=("FAILED",)))
    assert [times_of(ids)[run] for run in ids] == [(100, 2 * HOUR), (100, 200), (100, 2 * HOUR), (100, 200)]
    retention.save_retention_rule(Rule(What.PODS, None, states=("SUCCEEDED",), experiment=str(mine.pk)))
    retention.save_retention_rule(Rule(What.PODS, HOUR, states=("FAILED", "CANCELED"), experiment=str(mine.pk)))
    assert [times_of(ids)[run] for run in ids] == [(math.inf, HOUR), (100, 200), (100, 2 * HOUR), (100, 200)]


class Server:
    """An API server with some recorded pods."""

    namespace = "steps"

    def __init__(self, pods: dict[str, list[dict[str, Any]]]) -> None:
        self.pods = pods
        self.deleted: list[str] = []

    def request(self, method: str, path: str, *, query: Any = None, **options: Any) -> Any:
        if method == "DELETE":
            self.deleted.append(path.rpartition("/")[2])
            return {}
        return {"items": self.pods.get(query["fieldSelector"], []), "metadata": {}}

    found = request


def recorded(name: str, run: str, age: float) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {RUN: run}, "annotations": {RECORDED_AT: str(int(time.time() - age))}}}


def test_pods_go_when_the_time_of_their_run_is_over() -> None:
    server = Server(
        {
            "status.phase=Succeeded": [recorded("a", "r1", 50), recorded("b", "r2", 50), recorded("c", "", 4000)],
            "status.phase!=Succeeded": [recorded("d", "r1", 50), recorded("e", "r2", 50)],
        }
    )
    times = {"r1": (10.0, 100.0), "r2": (100.0, 10.0)}
    config = dataclasses.replace(CONFIG, pod_ttl=3600.0, pod_times=lambda runs: {run: times[run] for run in runs})
    Ends(server, config).sweep()  # type: ignore[arg-type]
    assert server.deleted == ["a", "c", "e"]
    server.deleted.clear()
    Ends(server, dataclasses.replace(CONFIG, pod_ttl=40.0, failed_pod_ttl=60.0)).sweep()  # type: ignore[arg-type]
    assert server.deleted == ["a", "b", "c"]
