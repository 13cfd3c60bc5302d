"""Runs driven by hand, without Celery and without an executor."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from runs import driver, models, services
from runs.engine.model import AttemptFailed, AttemptStopped, AttemptSucceeded, Values
from tests.django.documents import chain, stored


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def launched(text: str | None = None, *, arguments: Mapping[str, Any] | None = None, **options: Any) -> models.Run:
    """A run whose first steps are ordered."""
    run = services.launch_run(specification=stored(text or chain()), arguments=arguments or {}, **options)
    return driven(run)


def driven(run: models.Run) -> models.Run:
    """The run after it was looked over."""
    driver.drive(str(run.pk))
    run.refresh_from_db()
    return run


def succeed(run: models.Run, path: str, number: int = 1, *, artifacts: Mapping[str, Any] | None = None, **parameters: Any) -> None:
    """The attempt ends well; without outputs its `Output` is 2."""
    outputs = Values(parameters or {"Output": 2}, artifacts or {})
    driver.drive(str(run.pk), AttemptSucceeded(path, number, now(), outputs))
    run.refresh_from_db()


def fail(run: models.Run, path: str, number: int = 1, reason: str = "It broke.") -> None:
    """The attempt fails."""
    driver.drive(str(run.pk), AttemptFailed(path, number, now(), reason, exit_code=1))
    run.refresh_from_db()


def stopped(run: models.Run, path: str, number: int = 1) -> None:
    """The attempt has ended as it was told to."""
    driver.drive(str(run.pk), AttemptStopped(path, number, now(), 143))
    run.refresh_from_db()


def task(run: models.Run, path: str) -> models.Task:
    """The row of a task."""
    return models.Task.objects.get(run=run, path=path)


def states(run: models.Run) -> dict[str, str]:
    """The states of all tasks but the root, by path below it."""
    rows = models.Task.objects.filter(run=run).exclude(path="root").order_by("id").values_list("path", "state")
    return {path.removeprefix("root/"): state for path, state in rows}


def kinds(run: models.Run) -> list[str]:
    """The kinds of the run's events, in order."""
    return list(models.RunEvent.objects.filter(run=run).order_by("number").values_list("kind", flat=True))


def artifact(uri: str) -> dict[str, Any]:
    """An artifact value without a row."""
    return {
        "id": 0,
        "name": "data",
        "uri": uri,
        "type": "system.Dataset",
        "schema_version": "0.0.1",
        "metadata": {},
        "custom_path": "",
    }
