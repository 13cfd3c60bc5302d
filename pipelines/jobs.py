"""Celery jobs about pipelines; `kfdash.outbox` sends them by name."""

from __future__ import annotations

import logging

from celery import shared_task
from django.db import Error as DatabaseError

from kfdash import outage, trouble
from pipelines.drawing import GraphvizMissing, draw
from pipelines.models import Specification

log = logging.getLogger(__name__)


@shared_task(name="pipelines.jobs.draw", ignore_result=True)
def draw_specification(specification_id: str, opened: list[str], artifacts: bool) -> None:
    """Queue `io`: lays a large graph out and stores it."""
    try:
        if Specification.objects.filter(pk=specification_id).exists():
            draw(specification_id, opened, artifacts)
    except GraphvizMissing as error:
        log.warning("%s", error)
    except DatabaseError as error:
        if not outage.of_database(error):
            raise
        trouble.met(error)
        log.warning("A drawing could not be stored (%s); whoever looks at it asks for it again.", error)
        outage.let_go()
