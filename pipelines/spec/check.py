"""Every rule of the language that a document can break."""

from __future__ import annotations

from pipelines.spec.model import PipelineSpec
from pipelines.spec.problems import Finding


def check(spec: PipelineSpec) -> list[Finding]:
    """Everything that is wrong with a pipeline, in places of its pipeline document."""
    return []


def check_platform(spec: PipelineSpec) -> list[Finding]:
    """Everything that is wrong with a pipeline's platform document, in places of that document."""
    return []
