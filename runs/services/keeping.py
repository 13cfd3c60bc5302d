"""What is kept of a run and how it is found again: archive, tags, deletion."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from access.services import record
from kfdash import outbox
from pipelines.labels import tag_problems
from pipelines.spec.problems import Refused
from runs import models
from runs.execution.locations import STORE


class ExperimentArchived(Exception):
    """A run cannot leave the archive while its experiment is there."""


def archive_run(run: models.Run) -> None:
    """Puts a run into the archive; what it does goes on."""
    models.Run.objects.filter(pk=run.pk).update(storage_state=models.StorageState.ARCHIVED)
    record(verb="archived", what="run", name=f"{run.name} #{run.number}")


def restore_run(run: models.Run) -> None:
    """Takes a run out of the archive. Raises ExperimentArchived."""
    if run.experiment and run.experiment.storage_state == models.StorageState.ARCHIVED:
        raise ExperimentArchived(f"Experiment {run.experiment.name!r} is archived: restore it first.")
    models.Run.objects.filter(pk=run.pk).update(storage_state=models.StorageState.AVAILABLE)
    record(verb="restored", what="run", name=f"{run.name} #{run.number}")


def set_run_tags(run: models.Run, tags: Mapping[str, str]) -> None:
    """Replaces all tags of a run. Raises Refused with every problem: the limits are those of pipelines' tags."""
    if problems := tag_problems(tags):
        raise Refused(tuple(problems))
    models.Run.objects.filter(pk=run.pk).update(tags=dict(tags))
    run.tags = dict(tags)


def deletion_preview(run: models.Run) -> dict[str, int]:
    """How much goes with a run: steps, artifacts, their bytes as far as known, cache entries that will miss, runs that use it."""
    artifacts = models.Artifact.objects.filter(run=run)
    uses = models.ArtifactUse.objects.filter(artifact__run=run).exclude(run=run)
    return {
        "steps": models.Task.objects.filter(run=run).count(),
        "artifacts": artifacts.count(),
        "bytes": artifacts.aggregate(total=Sum("size"))["total"] or 0,
        "cache_entries": models.CacheEntry.objects.filter(run=run).count(),
        "used_by_runs": uses.values("run").distinct().count(),
    }


def delete_run(run: models.Run) -> None:
    """Deletes a run with its rows, logs, cache entries and artifacts; what still runs is ended first, by force."""
    run_id, root = str(run.pk), run.pipeline_root
    names = list(models.Attempt.objects.filter(run=run).exclude(phase="ended").values_list("path", "number"))
    own_folder = root.partition("?")[0].rstrip("/") + "/"
    with transaction.atomic():
        if own_folder.startswith(STORE):  # other runs that reused them must not count on them
            models.Artifact.objects.filter(run=run, uri__startswith=own_folder).update(gone_at=timezone.now())
        models.Run.objects.filter(pk=run.pk).delete()
        record(verb="deleted", what="run", name=f"{run.name} #{run.number}", detail=run_id)
        outbox.enqueue("runs.jobs.remove_run", run_id, root, names)
