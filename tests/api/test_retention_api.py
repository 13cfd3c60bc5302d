"""Rules of retention through `/apis/kfdash/v1`, and the command that carries them out."""

from __future__ import annotations

import io
from typing import Any

import pytest
from conftest import UNKNOWN, Api
from django.core.management import call_command

from runs import models
from runs.services import retention
from tests.django.old_runs import DAY, made

RULE = {"what": "runs", "age_seconds": 30 * DAY, "newest": 1, "states": ["SUCCEEDED"]}


@pytest.fixture
def own(api: Api, folders: None, sent: list) -> Api:
    """kfdash's own API, on folders of its own."""
    return Api("/apis/kfdash/v1")


def test_rules_are_made_changed_listed_and_deleted(own: Api) -> None:
    status, rule = own.post("/retention/rules", RULE)
    assert status == 200, rule
    assert rule["sentence"] == "Runs that succeeded more than 30 days ago are removed, but the newest of each experiment stays."
    status, rule = own.send("PATCH", f"/retention/rules/{rule['rule_id']}", {"per": "pipeline", "disabled": True})
    assert status == 200 and (rule["per"], rule["disabled"], rule["newest"]) == ("pipeline", True, 1)
    assert own.get("/retention/rules")[1]["rules"] == [rule]
    assert own.get(f"/retention/rules/{rule['rule_id']}")[1] == rule
    assert own.send("DELETE", f"/retention/rules/{rule['rule_id']}")[0] == 200
    assert own.get("/retention/rules") == (200, {}) and own.get(f"/retention/rules/{rule['rule_id']}")[0] == 404


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"what": "all"}, "what is 'all'"),
        ({"per": "day"}, "per is 'day'"),
        ({"states": ["RUNNING"]}, "states: Only runs that have ended"),
        ({"age_seconds": -1}, "age: The age must be"),
        ({"age_seconds": 0, "newest": 0}, "age: Say from which age on"),
        ({"experiment_id": "x"}, "There is no such experiment"),
        ({"experiment_id": UNKNOWN}, "There is no such experiment"),
        ({"until": 1}, "unknown field"),
    ],
)
def test_what_cannot_be_a_rule_is_refused(own: Api, change: dict[str, Any], expected: str) -> None:
    status, answer = own.post("/retention/rules", {**RULE, **change})
    assert status == 400 and expected in answer["message"], answer
    assert own.send("PATCH", "/retention/rules/77", RULE)[0] == 404


def test_a_dry_run_and_the_removal(own: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MUCH", 2)
    runs = [made(100 - i) for i in range(3)]
    status, answer = own.post("/retention/rules", RULE)
    assert status == 400 and "would remove much" in answer["message"] and not models.RetentionRule.objects.exists()
    assert own.post("/retention/rules", {**RULE, "confirmed": True})[0] == 200
    status, trial = own.post("/retention:tryOut", {})
    assert status == 200 and trial["dry"] and trial["counts"]["runs"] == 2 and trial["spared"] == {"newest": 1}
    assert [one["run"] for one in trial["shown"]["goes"]] == [str(run.pk) for run in runs[:2]]
    assert own.get(f"/retention/passes/{trial['pass_id']}")[1] == trial
    own.post(f"/runs/{runs[0].pk}:keep", {})
    assert own.get(f"/runs/{runs[0].pk}")[1]["kept"] is True
    status, begun = own.post("/retention:carryOut", {})
    assert status == 200 and "finished_at" not in begun
    assert own.post("/retention:carryOut", {})[0] == 400
    retention.passes.go_on(10)
    (done,) = own.get("/retention/passes")[1]["passes"]
    assert done["counts"]["runs"] == 1 and set(models.Run.objects.values_list("pk", flat=True)) == {runs[0].pk, runs[2].pk}
    assert "kept" not in own.post(f"/runs/{runs[0].pk}:letGo", {})[1]
    assert own.get("/retention/passes/999")[0] == 404


def test_the_command_says_what_would_go_and_removes_it(own: Api) -> None:
    said = io.StringIO()
    call_command("retention", stdout=said)
    assert "everything is kept" in said.getvalue()
    run = made()
    own.post("/retention/rules", {"what": "runs", "age_seconds": DAY})
    call_command("retention", "--dry-run", stdout=said)
    assert f"Would be removed: 1 run, 1 output, 5 B.\n  runs of #{run.number} chain" in said.getvalue()
    call_command("retention", stdout=said)
    assert "Removed: 1 run, 1 output, 15 B." in said.getvalue() and not models.Run.objects.exists()
