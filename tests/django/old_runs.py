"""Runs that ended days ago, with rows and files of theirs, and rules of retention carried out on them."""

from __future__ import annotations

import itertools
import pathlib
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from runs import logstore, models, services
from runs.retention import passes
from runs.retention.rules import ENDED, Rule
from runs.services import retention
from tests.django.documents import chain, stored

DAY = 86400
_numbers = itertools.count(1000)


def made(days: float = 100, state: str = "SUCCEEDED", **fields: Any) -> models.Run:
    """A run's row, with a log and an output on disk, that ended so many days ago."""
    run_id = uuid.uuid4()
    at = timezone.now() - timedelta(days=days)
    experiment = fields.pop("experiment", None) or services.default_experiment()
    run = models.Run.objects.create(
        id=run_id,
        number=next(_numbers),
        name="chain",
        resource_name="chain-xxxxx",
        experiment=experiment,
        experiment_key=experiment.pk,
        specification=stored(chain(1)),
        pipeline_root=f"minio://kfdash/v2/artifacts/chain/{run_id}",
        state=state,
        created_at=at - timedelta(minutes=5),
        finished_at=at if state in ENDED else None,
        **fields,
    )
    models.Task.objects.create(run=run, path="root/s0", parent="root", kind="container", state="SUCCEEDED")
    models.RunEvent.objects.create(run=run, number=1, at=at, kind="run.ended")
    logstore.LogWriter(log_of(run) / "s0-1").append(1, "o", "hello")
    file = data_of(run)
    file.parent.mkdir(parents=True)
    file.write_text("12345")
    row = models.Artifact.objects.create(
        run=run, path="root/s0", name="data", uri=f"{run.pipeline_root}/s0/data", size=5, looked_at=at
    )
    outputs = {"parameters": {}, "artifacts": {"data": [{"id": row.pk, "name": "data", "uri": row.uri}]}}
    models.CacheEntry.objects.create(
        pipeline_name="chain", fingerprint=str(run_id), run=run, path="root/s0", outputs=outputs, created_at=at
    )
    return run


def log_of(run: models.Run) -> pathlib.Path:
    """Where its log is."""
    return pathlib.Path(settings.LOGS_DIR) / str(run.pk)


def data_of(run: models.Run) -> pathlib.Path:
    """The file of its one output."""
    return pathlib.Path(settings.ARTIFACTS_DIR) / run.pipeline_root.removeprefix("minio://") / "s0" / "data"


def there(run: models.Run) -> bool:
    """Whether its row is there still."""
    return models.Run.objects.filter(pk=run.pk).exists()


def carry_out(*rules: Rule, **options: Any) -> models.RetentionPass:
    """A pass by these rules, to its end, files included."""
    for rule in rules:
        retention.save_retention_rule(rule, confirmed=True)
    row = retention.carry_rules_out(by="ada")
    assert row is not None
    passes.go_on(30)
    row.refresh_from_db()
    return row
