"""What a process tells probes and Prometheus, and how a line of its log looks as JSON."""

from __future__ import annotations

import json
import logging
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kfdash import health, metrics, pulse
from kfdash.console import Json


@pytest.fixture
def address() -> Iterator[str]:
    server = health.listen("127.0.0.1:0")
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_began_well", type(health._began_well)())
    pulse.turned()


def asked(url: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_process_whose_loop_turns_is_alive(address: str) -> None:
    assert asked(f"{address}/healthz") == (200, "alive\n")


def test_a_process_that_stands_still_is_neither_alive_nor_ready(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "away", list)
    monkeypatch.setattr(pulse, "stood", lambda: 300.0)
    status, says = asked(f"{address}/healthz")
    assert status == 503 and "stood still for 300 s" in says
    assert asked(f"{address}/readyz")[0] == 503


def test_a_process_is_not_ready_before_the_database_answered_and_stays_ready_after(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = ["The database does not answer."]
    monkeypatch.setattr(health, "away", lambda: list(gone))
    assert asked(f"{address}/readyz") == (503, "The database does not answer.\n")
    gone.clear()
    assert asked(f"{address}/readyz") == (200, "ready\n")
    gone.append("Redis does not answer.")
    assert asked(f"{address}/readyz") == (200, "Redis does not answer.\n")


def test_metrics_are_read_by_prometheus_and_have_few_labels(address: str) -> None:
    status, text = asked(f"{address}/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert status == 200 and "kfdash_drive_seconds" in families
    labels = {name for family in families.values() for sample in family.samples for name in sample.labels}
    assert not labels & {"run", "run_id", "task", "attempt", "path", "user"}


def test_other_addresses_are_not_found(address: str) -> None:
    assert asked(f"{address}/else")[0] == 404


def line(error: BaseException | None = None) -> dict[str, object]:
    """A record as JSON."""
    try:
        if error is not None:
            raise error
        about = None
    except BaseException:
        about = sys.exc_info()
    record = logging.LogRecord("runs.driver", logging.WARNING, __file__, 1, "run %s\nended", ("a",), about)
    record.facts = {"run": "a"}
    text = Json().format(record)
    assert "\n" not in text
    told: dict[str, object] = json.loads(text)
    return told


def test_a_record_is_one_line_of_json_with_what_it_is_about() -> None:
    told = line()
    assert (told["level"], told["logger"], told["message"], told["run"]) == ("WARNING", "runs.driver", "run a\nended", "a")
    assert str(told["time"]).endswith("Z") and "error" not in told


def test_only_mistakes_have_a_traceback_in_json() -> None:
    assert "ValueError" in str(line(ValueError("no"))["traceback"])
    outside = line(ConnectionError("refused"))
    assert outside["error"] == {"kind": "ConnectionError", "message": "refused"} and "traceback" not in outside


def test_errors_are_counted_by_what_was_in_the_way() -> None:
    metrics.error("database")
    assert 'kind="database"' in metrics.text().decode()
