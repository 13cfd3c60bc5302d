"""What users ask of runs and experiments. Writes the row at launch, labels and requests, and has the driver do the rest."""

from __future__ import annotations

from runs.services.control import (
    NotPausable,
    NotRetriable,
    NotStoppable,
    pause_run,
    resume_run,
    retry_run,
    stop_run,
)
from runs.services.experiments import (
    DEFAULT_EXPERIMENT,
    DefaultExperimentStays,
    ExperimentExists,
    archive_experiment,
    create_experiment,
    default_experiment,
    delete_experiment,
    restore_experiment,
)
from runs.services.keeping import ExperimentArchived, archive_run, delete_run, deletion_preview, restore_run
from runs.services.launching import ArgumentsRefused, NotLaunchable, launch_run

__all__ = [
    "DEFAULT_EXPERIMENT",
    "ArgumentsRefused",
    "DefaultExperimentStays",
    "ExperimentArchived",
    "ExperimentExists",
    "NotLaunchable",
    "NotPausable",
    "NotRetriable",
    "NotStoppable",
    "archive_experiment",
    "archive_run",
    "create_experiment",
    "default_experiment",
    "delete_experiment",
    "delete_run",
    "deletion_preview",
    "launch_run",
    "pause_run",
    "restore_experiment",
    "restore_run",
    "resume_run",
    "retry_run",
    "stop_run",
]
