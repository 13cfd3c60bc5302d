"""The same for many runs at once: what could be done is done, and the rest is named with a sentence."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from django.db import transaction

from pipelines.labels import tag_problems
from pipelines.spec.problems import Refused
from runs import models
from runs.services.control import NotStoppable, stop_run
from runs.services.keeping import ExperimentArchived, archive_run, delete_run, restore_run

MOST_AT_ONCE = 1000


class TooMany(Exception):
    """More runs at once than are taken. The message is for people."""


@dataclass
class Bulk:
    """What came of it: the ids of runs it was done for, and a sentence for each of the others."""

    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """`{done: [id], refused: {id: sentence}}`."""
        return {"done": self.done, "refused": self.refused}


def stop_runs(ids: Collection[uuid.UUID], *, by: str = "", force: bool = False) -> Bulk:
    """Asks runs to stop, each in a transaction of its own. Raises TooMany."""
    return _each(ids, lambda run: stop_run(run, by=by, force=force))


def archive_runs(ids: Collection[uuid.UUID]) -> Bulk:
    """Puts runs into the archive. Raises TooMany."""
    return _each(ids, archive_run)


def restore_runs(ids: Collection[uuid.UUID]) -> Bulk:
    """Takes runs out of the archive. Raises TooMany."""
    return _each(ids, restore_run)


def delete_runs(ids: Collection[uuid.UUID]) -> Bulk:
    """Deletes runs, each in a transaction of its own. Raises TooMany."""
    return _each(ids, delete_run)


def tag_runs(ids: Collection[uuid.UUID], *, add: Mapping[str, str] | None = None, remove: Collection[str] = ()) -> Bulk:
    """Adds tags to runs and takes tags (by key) from them. Raises TooMany, and Refused for tags that no run can have."""
    if problems := tag_problems(add or {}):
        raise Refused(tuple(problems))

    def retag(run: models.Run) -> None:
        tags = {key: value for key, value in run.tags.items() if key not in remove} | dict(add or {})
        if found := tag_problems(tags):
            raise Refused(tuple(found))
        if tags != run.tags:
            models.Run.objects.filter(pk=run.pk).update(tags=tags)

    with transaction.atomic():
        return _each(ids, retag, locked=True)


def _each(ids: Collection[uuid.UUID], act: Callable[[models.Run], None], *, locked: bool = False) -> Bulk:
    if len(ids) > MOST_AT_ONCE:
        raise TooMany(f"These are {len(ids):,} runs; at most {MOST_AT_ONCE:,} are taken at once.")
    rows = models.Run.objects.select_related("experiment").defer("arguments", "parameters")
    if locked:
        rows = rows.select_for_update(of=("self",))
    found = {run.pk: run for run in rows.filter(pk__in=ids).order_by("pk")}
    answer = Bulk()
    for key in dict.fromkeys(ids):
        run = found.get(key)
        if run is None:
            answer.refused[str(key)] = "There is no such run."
            continue
        try:
            act(run)
        except (NotStoppable, ExperimentArchived, Refused) as error:
            answer.refused[str(key)] = str(error)
        else:
            answer.done.append(str(key))
    return answer
