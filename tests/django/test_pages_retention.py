"""The pages of retention, and what pages say in place of what a rule removed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import resolve

from kfdash.rights import Right, needed_for
from runs import models, services
from runs.retention.rules import Rule, What
from runs.services import retention
from tests.django.old_runs import DAY, carry_out, made

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent", "hourly")]
FORM = {
    "what": "runs",
    "experiment": "",
    "state": ["SUCCEEDED", "FAILED", "CANCELED"],
    "age": "30",
    "unit": "days",
    "enabled": "on",
}


@pytest.fixture
def hourly(settings: Any, folders: None) -> None:
    settings.RETENTION = "hourly"


@pytest.fixture
def client() -> Client:
    return Client(HTTP_HOST="localhost")


def text(answer: Any) -> str:
    body = answer.content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body[body.index('id="main"') :]))


def test_without_rules_the_page_says_that_everything_is_kept(client: Client) -> None:
    page = text(client.get("/system/retention/"))
    assert "Everything is kept" in page and "New rule" in page


def test_a_rule_is_made_changed_and_deleted(client: Client) -> None:
    assert client.get("/system/retention/rules/new/").status_code == 200
    assert client.post("/system/retention/rules/new/", {**FORM, "newest": "20"}).status_code == 302
    row = models.RetentionRule.objects.get()
    said = "Runs that ended more than 30 days ago are removed, but the newest 20 of each experiment stay."
    page = text(client.get("/system/retention/"))
    assert said in page and "every hour" in page
    edit = client.get(f"/system/retention/rules/{row.pk}/").content.decode()
    assert 'value="30"' in edit and 'value="20"' in edit
    client.post(f"/system/retention/rules/{row.pk}/", {**FORM, "age": "36", "unit": "hours", "enabled": ""})
    row.refresh_from_db()
    assert (row.age, row.newest, row.enabled) == (36 * 3600, None, False)
    assert "36" in client.get(f"/system/retention/rules/{row.pk}/").content.decode()
    assert "What it removed stays removed" in client.get(f"/system/retention/rules/{row.pk}/delete/").content.decode()
    client.post(f"/system/retention/rules/{row.pk}/delete/")
    assert not models.RetentionRule.objects.exists()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"age": "soon"}, "is no number"),
        ({"age": "1e999"}, "is no number"),
        ({"age": "-3"}, "more than nothing"),
        ({"age": "9" * 40}, "at most 100 years"),
        ({"newest": "1.5"}, "is no whole number"),
        ({"age": "", "newest": ""}, "everything stays anyway"),
        ({"state": []}, "Choose at least one way"),
        ({"what": "all"}, "Choose what is removed"),
        ({"experiment": "mine"}, "There is no such experiment"),
        ({"experiment": "b1946ac9-2a5b-4a5e-9f6a-000000000000"}, "There is no such experiment"),
        ({"what": "pods", "newest": "3"}, "go by their age alone"),
    ],
)
def test_what_cannot_be_a_rule_is_said_at_its_field(client: Client, sent: dict[str, Any], expected: str) -> None:
    answer = client.post("/system/retention/rules/new/", {**FORM, **sent})
    assert (
        answer.status_code == 200
        and expected in text(answer)
        and 'aria-invalid="true"' in answer.content.decode()
        or "state" in sent
    )
    assert not models.RetentionRule.objects.exists()


def test_a_rule_that_would_remove_much_is_confirmed_with_the_figures(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MUCH", 2)
    made(), made()
    page = text(client.post("/system/retention/rules/new/", FORM))
    assert "would remove much" in page and "2 runs, 2 outputs" in page and "this rule is meant so" in page
    assert not models.RetentionRule.objects.exists()
    assert client.post("/system/retention/rules/new/", {**FORM, "confirmed": "on"}).status_code == 302


def test_a_dry_run_shows_what_goes_and_what_stays_and_why(client: Client) -> None:
    old, kept = made(100), made(90)
    services.keep_run(kept)
    retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY))
    answer = client.post("/system/retention/try/", follow=True)
    page = text(answer)
    assert "The rules would remove 1 run, 1 output, 1 cache entry, 5 B now." in page
    assert f"#{old.number}" in page and "somebody keeps it" in page and f"/runs/{kept.pk}/" in answer.content.decode()
    assert "1 run, 1 output" in client.get("/system/retention/now/").content.decode()


def test_what_was_removed_is_a_row_with_a_page(client: Client) -> None:
    made()
    carry_out(Rule(What.RUNS, age=30 * DAY))
    page = text(client.get("/system/retention/"))
    assert "1 run, 1 output, 1 cache entry, 15 B" in page and "ada" in page
    row = models.RetentionPass.objects.get(dry=False)
    assert "Removed: 1 run" in text(client.get(f"/system/retention/passes/{row.pk}/"))
    models.Leftover.objects.create(run_id=made().pk, what="logs", problem="The disk is away.", tries=3)
    page = text(client.get("/system/retention/"))
    assert "1 thing could not be removed yet. The disk is away." in page


def test_times_at_which_nothing_was_removed_are_shown_only_for_the_last(client: Client) -> None:
    made()
    carry_out(Rule(What.RUNS, age=30 * DAY))
    for _ in range(3):
        carry_out()
    page = client.get("/system/retention/").content.decode()
    assert page.count("/system/retention/passes/") == 2 and text(client.get("/system/retention/")).count("nothing") == 1


def test_a_run_is_kept_from_its_page_and_let_go(client: Client) -> None:
    run = made()
    address = f"/runs/{run.pk}/"
    assert "Keep no more" not in client.get(address).content.decode()
    client.post(f"{address}keep/", {"kept": "1"})
    page = client.get(address).content.decode()
    assert "Keep no more" in page and ">kept<" in page
    client.post(f"{address}keep/", {"kept": "0"})
    run.refresh_from_db()
    assert run.kept_at is None and run.retention is None


def test_pages_and_apis_say_what_was_removed(client: Client) -> None:
    run = made()
    models.Attempt.objects.create(run=run, path="root/s0", number=1, name="s0-1", phase="ended", state="SUCCEEDED")
    models.Task.objects.filter(run=run).update(attempt=1)
    artifact = models.Artifact.objects.get(run=run)
    carry_out(Rule(What.LOGS, age=30 * DAY), Rule(What.ARTIFACTS, age=30 * DAY))
    log = text(client.get(f"/runs/{run.pk}/?task=root/s0&tab=log"))
    assert "Logs of this run were removed on" in log and "by the rule: The logs of runs that ended more than 30 days ago" in log
    answer = client.get(f"/runs/{run.pk}/log/download/?attempt=s0-1")
    assert answer.status_code == 410 and "Logs of this run were removed on" in text(answer)
    assert "Outputs of this run were removed on" in text(client.get(f"/artifacts/{artifact.pk}/"))
    for what in ("content", "download"):
        answer = client.get(f"/artifacts/{artifact.pk}/{what}/")
        assert answer.status_code == 410 and "Outputs of this run were removed on" in text(answer)
    for path in ("log?node=s0-1", "log.txt?node=s0-1"):
        answer = client.get(f"/apis/kfdash/v1/runs/{run.pk}/{path}")
        assert answer.status_code == 404 and "Logs of this run were removed on" in answer.json()["message"]
    answer = client.get(f"/apis/v2beta1/runs/{run.pk}/nodes/s0-1/artifacts/data:read")
    assert answer.status_code == 400 and "Outputs of this run were removed on" in answer.json()["message"]


def test_a_failed_run_without_its_outputs_does_not_go_on(client: Client) -> None:
    run = made(state="FAILED")
    carry_out(Rule(What.ARTIFACTS, age=30 * DAY))
    run.refresh_from_db()
    with pytest.raises(services.NotRetriable, match="It cannot go on without them: run it again"):
        services.retry_run(run)


def test_the_page_of_an_experiment_says_what_is_removed_of_it(client: Client) -> None:
    mine = services.create_experiment(name="mine")
    address = f"/experiments/{mine.pk}/"
    assert "are removed" not in text(client.get(address))
    retention.save_retention_rule(Rule(What.RUNS, age=30 * DAY))
    retention.save_retention_rule(Rule(What.RUNS, age=90 * DAY, experiment=str(mine.pk)))
    retention.save_retention_rule(Rule(What.LOGS, age=7 * DAY))
    page = text(client.get(address))
    assert "Runs of experiment mine that ended more than 90 days ago" in page and "The logs of runs that ended more than 7" in page
    assert "Runs that ended more than 30 days ago" not in page
    assert f"?experiment={mine.pk}" in client.get(address).content.decode()
    assert f'value="{mine.pk}" selected' in client.get(f"/system/retention/rules/new/?experiment={mine.pk}").content.decode()


@pytest.mark.parametrize(
    ("path", "method", "needed"),
    [
        ("/system/retention/", "GET", Right.VIEW),
        ("/system/retention/passes/1/", "GET", Right.VIEW),
        ("/system/retention/rules/new/", "GET", Right.ADMINISTER),
        ("/system/retention/rules/new/", "POST", Right.ADMINISTER),
        ("/system/retention/rules/1/", "POST", Right.ADMINISTER),
        ("/system/retention/rules/1/delete/", "POST", Right.ADMINISTER),
        ("/system/retention/try/", "POST", Right.ADMINISTER),
        ("/system/retention/now/", "POST", Right.ADMINISTER),
        ("/runs/b1946ac9-2a5b-4a5e-9f6a-000000000000/keep/", "POST", Right.RUN),
        ("/apis/kfdash/v1/retention/rules", "GET", Right.VIEW),
        ("/apis/kfdash/v1/retention/rules", "POST", Right.ADMINISTER),
        ("/apis/kfdash/v1/retention/rules/1", "GET", Right.VIEW),
        ("/apis/kfdash/v1/retention/rules/1", "PATCH", Right.ADMINISTER),
        ("/apis/kfdash/v1/retention/rules/1", "DELETE", Right.ADMINISTER),
        ("/apis/kfdash/v1/retention:tryOut", "POST", Right.ADMINISTER),
        ("/apis/kfdash/v1/retention:carryOut", "POST", Right.ADMINISTER),
        ("/apis/kfdash/v1/retention/passes", "GET", Right.VIEW),
    ],
)
def test_everybody_may_see_the_rules_and_only_administrators_change_them(path: str, method: str, needed: Right) -> None:
    assert needed_for(resolve(path).func, method) == needed
