"""Celery jobs: entry points like views. They fetch by id and call one function; `kfdash.outbox` sends them by name."""

from __future__ import annotations

import logging

from celery import shared_task
from django.db import OperationalError

from kfdash import outbox
from runs import dispatch, driver, importing, removal
from runs.facts import decode

log = logging.getLogger(__name__)


@shared_task(name="runs.jobs.drive_run", ignore_result=True)
def drive_run(run_id: str) -> None:
    """Queue `drive`: folds the facts that wait for a run into it."""
    facts = outbox.take(run_id)
    try:
        driver.drive(run_id, *[decode(fact) for fact in facts])
    except OperationalError as error:  # the database is locked, full or away: the facts wait for the next drive
        log.warning("Run %s could not be driven (%s); it is tried again.", run_id, error)
        outbox.keep(run_id, facts)


@shared_task(name="runs.jobs.carry_out", ignore_result=True)
def carry_out(order_ids: list[int]) -> None:
    """Queue `orders`: starts and stops attempts."""
    dispatch.carry_out(order_ids)


@shared_task(name="runs.jobs.import_artifact", ignore_result=True)
def import_artifact(order_id: int) -> None:
    """Queue `io`: carries an importer out."""
    importing.carry_out(order_id)


@shared_task(name="runs.jobs.remove_run", ignore_result=True)
def remove_run(run_id: str, pipeline_root: str, running: list[tuple[str, int]]) -> None:
    """Queue `io`: removes what a deleted run left behind."""
    removal.remove_run(run_id, pipeline_root, [(path, number) for path, number in running])
