"""Stopping, pausing and retrying a run. Each takes the run's lock, and is carried out with all that follows when it returns."""

from __future__ import annotations

from django.db import transaction

from access.services import record
from runs import driver, models
from runs.engine.advance import NotRetriable
from runs.engine.model import LookedOver, State, Stop
from runs.removed import removed_sentence
from runs.services.templating import TemplatesOff, refuse_where_off

__all__ = ["NotPausable", "NotRetriable", "NotStoppable", "pause_run", "resume_run", "retry_run", "stop_run"]


class NotStoppable(Exception):
    """The run has ended, or is being stopped already."""


class NotPausable(Exception):
    """The run cannot be paused or resumed as it is. The message is for people."""


def stop_run(run: models.Run, *, by: str = "", force: bool = False) -> None:
    """Asks a run to stop: gracefully (exit tasks still run), or at once. Raises NotStoppable.

    A run that is being stopped gracefully can be stopped at once; anything else that is ending cannot.
    """
    wanted = Stop.FORCE if force else Stop.GRACEFUL
    with transaction.atomic():
        row = _locked(run)
        if State(row.state).is_final:
            raise NotStoppable(f"Run #{row.number} has ended: it is {row.state}.")
        if row.stop == Stop.FORCE or (row.stop == Stop.GRACEFUL and not force):
            raise NotStoppable(f"Run #{row.number} is being stopped already.")
        row.stop, row.stopped_by = wanted.value, by
        row.save(update_fields=["stop", "stopped_by"])
        driver.drive(str(row.pk), LookedOver())
        record(verb="stopped", what="run", name=f"{row.name} #{row.number}", detail="at once" if force else "", by=by)
    run.refresh_from_db()


def retry_run(run: models.Run, *, by: str = "") -> None:
    """Lets a run that failed or was stopped go on where it ended: what succeeded stays. Raises NotRetriable.

    The run is RUNNING when this returns (or has ended again, where nothing was left to do), and is not paused.
    """
    try:
        refuse_where_off(run.pod_template)
    except TemplatesOff as error:
        raise NotRetriable(str(error)) from None
    with transaction.atomic():
        row = _locked(run)
        if said := removed_sentence(row, "artifacts"):
            raise NotRetriable(f"{said} It cannot go on without them: run it again.")
        driver.retry(str(run.pk), by=by)
        record(verb="retried", what="run", name=f"{row.name} #{row.number}", by=by)
        models.Run.objects.filter(pk=run.pk).update(logs_removed_at=None, artifacts_removed_at=None)  # there will be new ones
    run.refresh_from_db()


def pause_run(run: models.Run, *, by: str = "") -> None:
    """No new steps are started from now on; those that run go on. Raises NotPausable."""
    with transaction.atomic():
        row = _locked(run)
        _refuse_what_ends(row, "paused")
        if row.paused:
            raise NotPausable(f"Run #{row.number} is paused already.")
        driver.set_paused(str(row.pk), True, by=by)
        record(verb="paused", what="run", name=f"{row.name} #{row.number}", by=by)
    run.refresh_from_db()


def resume_run(run: models.Run, *, by: str = "") -> None:
    """Starts what a pause held back. Raises NotPausable."""
    with transaction.atomic():
        row = _locked(run)
        _refuse_what_ends(row, "resumed")
        if not row.paused:
            raise NotPausable(f"Run #{row.number} is not paused.")
        driver.set_paused(str(row.pk), False, by=by)
        record(verb="resumed", what="run", name=f"{row.name} #{row.number}", by=by)
    run.refresh_from_db()


def _refuse_what_ends(row: models.Run, done: str) -> None:
    if State(row.state).is_final:
        raise NotPausable(f"Run #{row.number} has ended: it cannot be {done}.")
    if row.stop or row.state == State.CANCELING:
        raise NotPausable(f"Run #{row.number} is being stopped: it cannot be {done}.")


def _locked(run: models.Run) -> models.Run:
    return models.Run.objects.select_for_update().get(pk=run.pk)
