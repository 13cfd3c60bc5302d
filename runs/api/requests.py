"""What requests about runs have in common: rows by id."""

from __future__ import annotations

from kfdash.wire.errors import not_found
from kfdash.wire.reading import read_id
from runs import models


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
