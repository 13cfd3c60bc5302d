"""Outputs in a bucket: removed there by rule, and what belongs to no run; a bucket that does not answer is tried again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import obstore
import pytest
from django.utils import timezone

from runs import models
from runs.retention import leftovers, orphans, passes
from runs.retention.rules import Rule, What
from runs.services import delete_run, retention
from runs.store import open_store
from runs.stores import store_options
from tests.buckets import KEYS
from tests.django.old_runs import DAY, carry_out, made, there

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, settings: Any, s3_server: str, bucket: str, folders: None) -> Callable[..., str]:
    """Sets the bucket as the place of outputs, at the server or at another address; returns its pipeline root."""

    def use(endpoint: str = s3_server) -> str:
        options = {"endpoint": endpoint, "region": "us-east-1", **KEYS}
        monkeypatch.setenv("KFDASH_STORES", json.dumps([{"prefix": f"s3://{bucket}", "options": options}]))
        store_options.cache_clear()
        settings.PIPELINE_ROOT = f"s3://{bucket}/pipelines"
        settings.RESULTS_ROOT = f"s3://{bucket}/pipelines/.results"
        return settings.PIPELINE_ROOT

    return use


def in_bucket(run: models.Run, root: str) -> models.Run:
    """The run, with its outputs in the bucket instead of the folder."""
    run.pipeline_root = f"{root}/chain/{run.pk}"
    run.save(update_fields=["pipeline_root"])
    models.Artifact.objects.filter(run=run).update(uri=f"{run.pipeline_root}/s0/data", size=None)
    for name in ("s0/data", "s0/deep/er/file"):
        opened = open_store(f"{run.pipeline_root}/{name}", store_options())
        obstore.put(opened.store, opened.key, b"12345")
    return run


def objects(root: str) -> set[str]:
    opened = open_store(root, store_options())
    return {meta["path"] for batch in obstore.list(opened.store, prefix=opened.key) for meta in batch}


def test_outputs_go_from_the_bucket_and_those_of_others_stay(root: Callable[..., str]) -> None:
    base = root()
    old, young = in_bucket(made(100), base), in_bucket(made(10), base)
    done = carry_out(Rule(What.ARTIFACTS, age=30 * DAY))
    assert objects(base) == {f"pipelines/chain/{young.pk}/s0/{name}" for name in ("data", "deep/er/file")}
    assert done.counts["freed"] == 10 and there(old)
    assert models.Artifact.objects.get(run=old).gone_at


def test_a_run_goes_with_what_it_has_in_the_bucket(root: Callable[..., str]) -> None:
    base = root()
    old = in_bucket(made(100), base)
    carry_out(Rule(What.RUNS, age=30 * DAY))
    assert not there(old) and not objects(base)


def test_a_bucket_that_does_not_answer_is_tried_again_and_said(root: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    base = root()
    old = in_bucket(made(100), base)
    monkeypatch.setattr("runs.store._RETRY", {"max_retries": 0})
    root("http://127.0.0.1:9")
    carry_out(Rule(What.ARTIFACTS, age=30 * DAY))
    assert "cannot be read" in models.RetentionPass.objects.get().problem, "nor can it be looked for what belongs to no run"
    (trouble,) = leftovers.troubles()
    assert "cannot be removed" in str(trouble["problem"]) and models.Run.objects.get(pk=old.pk).artifacts_removed_at
    root()
    assert len(objects(base)) == 2
    models.Leftover.objects.update(due=timezone.now())
    passes.go_on(10)
    assert not objects(base) and not leftovers.troubles()


def test_what_belongs_to_no_run_is_found_and_removed_in_its_time_unless_it_is_of_use(root: Callable[..., str]) -> None:
    base = root()
    deleted, used, user = in_bucket(made(100), base), in_bucket(made(100), base), made(1)
    models.Task.objects.filter(run=user).update(cached_from=f"{used.pk}:root/s0")
    for run in (deleted, used):  # outputs in a bucket stay where somebody deletes a run himself
        delete_run(run)
    kept = in_bucket(made(5), base)
    now = timezone.now()
    found = orphans.look(now, None, remove=True)
    mine = [one for one in found.shown if one["kind"] == "outputs"]
    assert [(one["where"], one["bytes"], one["goes"]) for one in mine] == [(f"{base}/chain/{deleted.pk}", 10, False)]
    assert orphans.look(now, timedelta(days=1), remove=True).going == 0, "it was made a moment ago"
    found = orphans.look(now + timedelta(days=2), timedelta(days=1), remove=True)
    assert found.going == 3 and found.freed == 10 + 2 * 10  # with the logs of both
    assert {path.split("/")[2] for path in objects(base)} == {str(used.pk), str(kept.pk)}


def test_orphans_on_disk_go_by_rule_with_their_age(root: Callable[..., str], settings: Any) -> None:
    settings.PIPELINE_ROOT, settings.RESULTS_ROOT = "minio://kfdash/v2/artifacts", "minio://kfdash/.results"
    run = made()
    stray = uuid.uuid4()
    for folder in (
        settings.LOGS_DIR / str(stray),
        settings.LOGS_DIR / "not-a-run",
        settings.ARTIFACTS_DIR / "kfdash/v2/artifacts/x" / str(stray),
    ):
        folder.mkdir(parents=True)
        (folder / "file").write_text("123")
    retention.save_retention_rule(Rule(What.ORPHANS, 3 * DAY))
    assert retention.try_rules_out().counts == {}
    models.RetentionPass.objects.all().delete()
    row = passes.begin(retention.rules_now(), due=timezone.now() + timedelta(days=4))
    assert row is not None
    models.RetentionPass.objects.update(created_at=timezone.now() + timedelta(days=4))
    passes.go_on(10)
    row.refresh_from_db()
    assert row.counts == {"orphans": 2, "orphan_bytes": 6, "freed": 6}
    assert {path.name for path in settings.LOGS_DIR.iterdir()} == {"not-a-run", str(run.pk)}
