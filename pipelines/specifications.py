"""Specifications in the database: stored once by content, and read back parsed, from memory where possible."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from pipelines.models import Specification
from pipelines.spec import parse
from pipelines.spec.model import ComponentSpec, Json, PipelineSpec

_REMEMBERED = 128  # parsed specifications in one process


def identify(pipeline: dict[str, Json], platform: dict[str, Json]) -> str:
    """The id of a specification: the SHA-256, in hex, of the canonical JSON of both documents."""
    text = json.dumps([pipeline, platform], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def store(document: parse.Document) -> Specification:
    """The row of a parsed document; made when there is none yet."""
    key = identify(document.pipeline, document.platform)
    found, _ = Specification.objects.get_or_create(
        id=key,
        defaults={
            "pipeline": document.pipeline,
            "platform": document.platform,
            "name": document.spec.name,
            "step_count": count_steps(document.spec),
        },
    )
    return found


@lru_cache(maxsize=_REMEMBERED)
def load(specification_id: str) -> PipelineSpec:
    """The parsed specification with this id. The same id always means the same content, so memory never goes stale.

    Raises Specification.DoesNotExist.
    """
    row = Specification.objects.only("pipeline", "platform").get(pk=specification_id)
    return parse.build(row.pipeline, row.platform)


def count_steps(spec: PipelineSpec) -> int:
    """Tasks over all DAGs, groups not counted, loops counted once. A component that is used twice counts twice."""
    counted: dict[int, int] = {}

    def steps(component: ComponentSpec) -> int:
        if component.dag is None:
            return 1
        if id(component) not in counted:
            counted[id(component)] = sum(steps(spec.component_of(task)) for task in component.dag.tasks.values())
        return counted[id(component)]

    return steps(spec.root)
