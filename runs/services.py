"""What users ask of runs and experiments. Writes the row at launch, labels and requests, and has the driver do the rest."""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from kfdash import outbox
from pipelines import specifications
from pipelines.models import PipelineVersion, Specification
from pipelines.spec.arguments import check_arguments, expand_macros
from pipelines.spec.model import PipelineSpec
from pipelines.spec.platform import local_notices
from runs import driver, models
from runs.engine.model import CacheUse, LookedOver, State, Stop

DEFAULT_EXPERIMENT = "Default"
_DEFAULT_DESCRIPTION = "All runs created without specifying an experiment will be grouped here."
_SUFFIX = string.ascii_lowercase + string.digits


class ArgumentsRefused(Exception):
    """Arguments that do not fit a pipeline's inputs: `errors` has a sentence for each input."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = dict(errors)


class NotLaunchable(Exception):
    """A pipeline that cannot run here: the message names what it needs and where to get it."""


class NotStoppable(Exception):
    """The run has ended, or is being stopped already."""


class ExperimentExists(Exception):
    """The name of a new experiment is taken."""


class ExperimentArchived(Exception):
    """A run cannot leave the archive while its experiment is there."""


class DefaultExperimentStays(Exception):
    """The default experiment cannot be deleted."""


# --- runs -----------------------------------------------------------------------------------------------------------


def launch_run(
    *,
    specification: Specification,
    arguments: Mapping[str, Any],
    name: str = "",
    description: str = "",
    experiment: models.Experiment | None = None,
    version: PipelineVersion | None = None,
    cache: CacheUse = CacheUse.USE,
    pipeline_root: str = "",
    service_account: str = "",
    namespace: str = "",
    by: str = "",
    run_id: uuid.UUID | None = None,
    scheduled_at: datetime | None = None,
    tags: Mapping[str, str] | None = None,
) -> models.Run:
    """Creates a run in PENDING; its work begins once the transaction has committed.

    Raises ArgumentsRefused and NotLaunchable; then nothing was written.
    """
    spec = specifications.load(specification.pk)
    if errors := check_arguments(spec, dict(arguments)):
        raise ArgumentsRefused(errors)
    _refuse_what_cannot_run_here(spec)
    now = timezone.now()
    run_id = run_id or uuid.uuid4()
    expanded = expand_macros(dict(arguments), run_id=str(run_id), created_at=now, scheduled_at=scheduled_at)
    base = spec.name.rpartition("/")[2]
    with transaction.atomic():
        experiment = experiment or default_experiment(namespace=namespace)
        run = models.Run.objects.create(
            id=run_id,
            namespace=namespace,
            number=_next_number(namespace),
            name=name or spec.display_name or spec.name,
            resource_name=f"{base}-{''.join(secrets.choice(_SUFFIX) for _ in range(5))}",
            description=description,
            experiment=experiment,
            experiment_key=experiment.pk,
            specification=specification,
            version=version,
            version_key=version.pk if version else None,
            pipeline_key=version.pipeline_id if version else None,
            parameters=dict(arguments),
            arguments=expanded,
            requested_root=pipeline_root,
            pipeline_root=_run_root(pipeline_root or settings.PIPELINE_ROOT, spec.name, run_id),
            service_account=service_account or "pipeline-runner",
            cache=cache.value,
            tags=dict(tags or {}),
            state_history=[{"update_time": now.isoformat(), "state": State.PENDING.value}],
            created_at=now,
            created_by=by,
            scheduled_at=scheduled_at or now,
        )
        models.Experiment.objects.filter(pk=experiment.pk).update(last_run_created_at=now)
        outbox.enqueue_drive(str(run.pk))
    return run


def _refuse_what_cannot_run_here(spec: PipelineSpec) -> None:
    if settings.EXECUTOR == "kubernetes":
        return
    if refusals := [notice for notice in local_notices(spec) if notice.refuses]:
        raise NotLaunchable(" ".join(dict.fromkeys(notice.sentence for notice in refusals)))


def _next_number(namespace: str) -> int:
    """The next run number of a namespace; inside a transaction, whose lock keeps the numbers without gaps or doubles."""
    models.NamespaceCounter.objects.get_or_create(namespace=namespace)
    models.NamespaceCounter.objects.filter(pk=namespace).update(last_number=F("last_number") + 1)
    return models.NamespaceCounter.objects.values_list("last_number", flat=True).get(pk=namespace)


def _run_root(root: str, pipeline_name: str, run_id: uuid.UUID) -> str:
    """`<root>/<pipeline>/<run id>`; a query string (the store's options) stays at the end."""
    base, mark, query = root.partition("?")
    return f"{base.rstrip('/')}/{pipeline_name}/{run_id}{mark}{query}"


def stop_run(run: models.Run, *, by: str = "", force: bool = False) -> None:
    """Asks a run to stop: gracefully (exit tasks still run), or at once. Raises NotStoppable.

    A run that is being stopped gracefully can be stopped at once; anything else that is ending cannot.
    """
    wanted = Stop.FORCE if force else Stop.GRACEFUL
    with transaction.atomic():
        row = models.Run.objects.select_for_update().get(pk=run.pk)
        if State(row.state).is_final:
            raise NotStoppable(f"Run #{row.number} has ended: it is {row.state}.")
        if row.stop == Stop.FORCE or (row.stop == Stop.GRACEFUL and not force):
            raise NotStoppable(f"Run #{row.number} is being stopped already.")
        row.stop, row.stopped_by = wanted.value, by
        row.save(update_fields=["stop", "stopped_by"])
        driver.drive(str(row.pk), LookedOver())
    run.refresh_from_db()


def archive_run(run: models.Run) -> None:
    """Puts a run into the archive; what it does goes on."""
    models.Run.objects.filter(pk=run.pk).update(storage_state=models.StorageState.ARCHIVED)


def restore_run(run: models.Run) -> None:
    """Takes a run out of the archive. Raises ExperimentArchived."""
    if run.experiment and run.experiment.storage_state == models.StorageState.ARCHIVED:
        raise ExperimentArchived(f"Experiment {run.experiment.name!r} is archived: restore it first.")
    models.Run.objects.filter(pk=run.pk).update(storage_state=models.StorageState.AVAILABLE)


def deletion_preview(run: models.Run) -> dict[str, int]:
    """How much goes with a run: steps, artifacts, their bytes as far as known, cache entries that will miss."""
    artifacts = models.Artifact.objects.filter(run=run)
    return {
        "steps": models.Task.objects.filter(run=run).count(),
        "artifacts": artifacts.count(),
        "bytes": artifacts.aggregate(total=Sum("size"))["total"] or 0,
        "cache_entries": models.CacheEntry.objects.filter(run=run).count(),
    }


def delete_run(run: models.Run) -> None:
    """Deletes a run with its rows, logs and artifacts; what still runs is ended first, by force."""
    run_id, root = str(run.pk), run.pipeline_root
    names = list(models.Attempt.objects.filter(run=run).exclude(phase="ended").values_list("path", "number"))
    with transaction.atomic():
        models.Run.objects.filter(pk=run.pk).delete()
        outbox.enqueue("runs.jobs.remove_run", run_id, root, names)


# --- experiments ----------------------------------------------------------------------------------------------------


def create_experiment(*, name: str, description: str = "", namespace: str = "", by: str = "") -> models.Experiment:
    """A new experiment. Raises ExperimentExists."""
    try:
        with transaction.atomic():
            return models.Experiment.objects.create(name=name, description=description, namespace=namespace, created_by=by)
    except IntegrityError:
        raise ExperimentExists(f"There is an experiment called {name!r} already. Specify a new name.") from None


def default_experiment(*, namespace: str = "") -> models.Experiment:
    """The experiment of runs that name none; made when there is none."""
    found, _ = models.Experiment.objects.get_or_create(
        namespace=namespace, name=DEFAULT_EXPERIMENT, defaults={"description": _DEFAULT_DESCRIPTION}
    )
    return found


def archive_experiment(experiment: models.Experiment) -> None:
    """Archives an experiment and all its runs."""
    with transaction.atomic():
        models.Experiment.objects.filter(pk=experiment.pk).update(storage_state=models.StorageState.ARCHIVED)
        _runs_of(experiment).update(storage_state=models.StorageState.ARCHIVED)


def restore_experiment(experiment: models.Experiment) -> None:
    """Takes an experiment out of the archive; its runs stay there, as in KFP."""
    models.Experiment.objects.filter(pk=experiment.pk).update(storage_state=models.StorageState.AVAILABLE)


def delete_experiment(experiment: models.Experiment) -> None:
    """Deletes an experiment; its runs stay and keep its id. Raises DefaultExperimentStays."""
    if experiment.name == DEFAULT_EXPERIMENT:
        raise DefaultExperimentStays("The default experiment takes the runs that name none; it cannot be deleted.")
    experiment.delete()


def _runs_of(experiment: models.Experiment) -> QuerySet[models.Run]:
    return models.Run.objects.filter(experiment_key=experiment.pk)
