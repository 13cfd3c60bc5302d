"""The dashboard and the alerts that ship name metrics that are in the table of the manual."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any
from unittest import mock
from unittest.mock import MagicMock

import yaml
from prometheus_client.parser import text_string_to_metric_families

from kfdash.system import numbers

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
TABLE = {
    name.removesuffix("_total") for name in re.findall(r"^\| `(kfdash_\w+)` ", (REPOSITORY / "docs/watch.md").read_text(), re.M)
}


def unknown(expression: str) -> set[str]:
    """Metrics of an expression that are in no table."""
    named = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in re.findall(r"kfdash_\w+", expression)}
    return named - TABLE


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    panels = json.loads((REPOSITORY / "deploy/grafana/kfdash.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(expressions) >= 12 and not unknown(" ".join(expressions)), unknown(" ".join(expressions))


def test_alerts_ask_for_metrics_that_there_are() -> None:
    [group] = yaml.safe_load((REPOSITORY / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    assert not unknown(" ".join(rule["expr"] for rule in group["rules"]))
    assert all(rule["annotations"]["summary"] for rule in group["rules"])


def test_the_manual_lists_exactly_the_metrics_that_are_exported() -> None:
    seen: Any = MagicMock(due=0, oldest_due=0, put_off=0, bytes=0, connections=0, most_connections=0, waiting_migrations=0)
    seen.runs, seen.attempts, seen.queues = {}, {}, ()
    seen.runs_with_facts = seen.memory = seen.limit = 0
    seen.heard.processes = ()
    with mock.patch.object(numbers, "looks") as looks:
        for look in (looks.database, looks.redis_server):
            look.seen.return_value.value = seen
        looks.disk.seen.return_value.value = ()
        families = text_string_to_metric_families(numbers.text(shared=True).decode())
    assert {family.name for family in families if family.name.startswith("kfdash_")} == TABLE
