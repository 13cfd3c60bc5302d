"""What requests about runs have in common: rows by id."""

from __future__ import annotations

from kfdash.wire.errors import WireError, invalid, not_found
from kfdash.wire.reading import read_id
from pipelines.models import PipelineVersion
from runs import models
from runs.services import ArgumentsRefused

_DOCUMENTS = ("package", "specification__pipeline", "specification__platform")  # large, and `specifications.load` has them parsed


def run_of(text: str) -> models.Run:
    """The run with this id. Raises WireError: 404."""
    key = read_id(text)
    row = models.Run.objects.select_related("experiment").defer("arguments").filter(pk=key).first() if key else None
    if row is None:
        raise not_found("Run", text)
    return row


def experiment_of(text: str) -> models.Experiment:
    """The experiment with this id. Raises WireError: 404."""
    key = read_id(text)
    row = models.Experiment.objects.filter(pk=key).first() if key else None
    if row is None:
        raise not_found("Experiment", text)
    return row


def version_of(pipeline_id: str, version_id: str) -> PipelineVersion:
    """The version that is referred to; the latest of the pipeline where none is named. Raises WireError: 400."""
    rows = PipelineVersion.objects.select_related("specification").defer(*_DOCUMENTS)
    pipeline, key = read_id(pipeline_id), read_id(version_id)
    if not version_id:
        found = rows.filter(pipeline=pipeline).order_by("-created_at", "-number").first() if pipeline else None
        if found is None:
            raise invalid(f"Pipeline {pipeline_id[:80] or '(without an id)'} has no version.")
        return found
    found = next(iter(rows.filter(pk=key)), None) if key else None
    if found is None:
        raise invalid(f"PipelineVersion {version_id[:80]} not found.")
    if pipeline_id and found.pipeline_id != pipeline:
        raise invalid(f"PipelineVersion {version_id} does not belong to pipeline {pipeline_id[:80]}.")
    return found


def refused_arguments(error: ArgumentsRefused) -> WireError:
    """400, with the sentence for each input."""
    return invalid(" ".join(f"{name}: {sentence}" for name, sentence in error.errors.items()))
