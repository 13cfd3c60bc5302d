"""Celery jobs about pipelines; `kfdash.outbox` sends them by name."""

from __future__ import annotations

import logging

from celery import shared_task

from pipelines.drawing import GraphvizMissing, draw
from pipelines.models import Specification

log = logging.getLogger(__name__)


@shared_task(name="pipelines.jobs.draw", ignore_result=True)
def draw_specification(specification_id: str, opened: list[str], artifacts: bool) -> None:
    """Queue `io`: lays a large graph out and stores it."""
    if not Specification.objects.filter(pk=specification_id).exists():
        return
    try:
        draw(specification_id, opened, artifacts)
    except GraphvizMissing as error:
        log.warning("%s", error)
