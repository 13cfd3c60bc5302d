"""Pipelines and versions as they stand on the wire."""

from __future__ import annotations

from typing import Any

from kfdash.wire.messages import compact, stamp
from pipelines.models import Pipeline, PipelineVersion, Specification


def pipeline_answer(row: Pipeline) -> dict[str, Any]:
    """A pipeline's message."""
    return compact(
        {
            "pipeline_id": str(row.pk),
            "name": row.name,
            "display_name": row.display_name,
            "description": row.description,
            "created_at": stamp(row.created_at),
            "tags": row.tags,
        }
    )


def version_answer(row: PipelineVersion) -> dict[str, Any]:
    """A version's message; its specification is read too."""
    return compact(
        {
            "pipeline_id": str(row.pipeline_id),
            "pipeline_version_id": str(row.pk),
            "name": row.name,
            "display_name": row.display_name,
            "description": row.description,
            "created_at": stamp(row.created_at),
            "package_url": {"pipeline_url": row.package_url} if row.package_url else None,
            "code_source_url": row.code_source_url,
            "pipeline_spec": specification_answer(row.specification),
            "tags": row.tags,
        }
    )


def specification_answer(row: Specification) -> dict[str, Any]:
    """The PipelineSpec alone, or both documents where there is a platform's."""
    return {"pipeline_spec": row.pipeline, "platform_spec": row.platform} if row.platform else row.pipeline
