"""What users ask of runs and experiments. Writes the row at launch, labels and requests, and has the driver do the rest."""

from __future__ import annotations

from runs.services.again import NotAgain, Plan, carry_arguments, plan_again, run_again
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
    "NotAgain",
    "NotLaunchable",
    "NotPausable",
    "NotRetriable",
    "NotStoppable",
    "Plan",
    "archive_experiment",
    "archive_run",
    "carry_arguments",
    "create_experiment",
    "default_experiment",
    "delete_experiment",
    "delete_run",
    "deletion_preview",
    "launch_run",
    "pause_run",
    "plan_again",
    "restore_experiment",
    "restore_run",
    "resume_run",
    "retry_run",
    "run_again",
    "stop_run",
]
