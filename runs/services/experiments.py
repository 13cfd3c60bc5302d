"""Experiments: groups of runs."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from access.services import record
from runs import models

DEFAULT_EXPERIMENT = "Default"
_DEFAULT_DESCRIPTION = "All runs created without specifying an experiment will be grouped here."


class ExperimentExists(Exception):
    """The name of a new experiment is taken."""


class DefaultExperimentStays(Exception):
    """The default experiment cannot be deleted."""


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
        record(verb="archived", what="experiment", name=experiment.name)


def restore_experiment(experiment: models.Experiment) -> None:
    """Takes an experiment out of the archive; its runs stay there, as in KFP."""
    models.Experiment.objects.filter(pk=experiment.pk).update(storage_state=models.StorageState.AVAILABLE)
    record(verb="restored", what="experiment", name=experiment.name)


def delete_experiment(experiment: models.Experiment) -> None:
    """Deletes an experiment; its runs stay and keep its id. Raises DefaultExperimentStays."""
    if experiment.name == DEFAULT_EXPERIMENT:
        raise DefaultExperimentStays("The default experiment takes the runs that name none; it cannot be deleted.")
    key = str(experiment.pk)
    experiment.delete()
    record(verb="deleted", what="experiment", name=experiment.name, detail=key)


def _runs_of(experiment: models.Experiment) -> QuerySet[models.Run]:
    return models.Run.objects.filter(experiment_key=experiment.pk)
