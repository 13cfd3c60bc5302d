"""Finds what is in kfdash's own store no more though its rows are: such outputs are no hit, and are reused by no run.

Files are looked for here and where a step is started, never while a run is driven. What was never there (an artifact that is
metadata alone) is not gone; other stores are not asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from runs import models
from runs.artifacts import content
from runs.engine.model import ArtifactValue, Values
from runs.execution.locations import STORE, STORE_FOLDER

log = logging.getLogger(__name__)

_BATCH = 2000  # artifacts looked for in one go
_AGAIN_AFTER = timedelta(hours=1)  # from the begin of one round over all of them to the next
_SWEEP = "artifacts"
_LONGEST = 10.0  # seconds of one look: the rest is for the next


def look_for_artifacts(*, most: int = _BATCH) -> int:
    """Measures new artifacts, and looks for those not looked for lately; returns how many were found gone.

    Does nothing while the store itself is not there (a volume that is not mounted).
    """
    if not (settings.ARTIFACTS_DIR / STORE_FOLDER).is_dir():
        return 0
    now, until = timezone.now(), time.monotonic() + _LONGEST
    own = models.Artifact.objects.filter(uri__startswith=STORE, gone_at=None)
    looked: list[models.Artifact] = []
    for row in own.filter(looked_at=None).order_by("id")[:most]:
        if time.monotonic() > until:
            break
        row.size, row.looked_at = _size(row), now
        looked.append(row)
    models.Artifact.objects.bulk_update(looked, ["looked_at", "size"], batch_size=200)
    lost = _look_again(own.filter(looked_at__lt=now - _AGAIN_AFTER, size__isnull=False), most - len(looked), until)
    mark_gone(lost)
    return len(lost)


def _look_again(rows: QuerySet[models.Artifact], most: int, until: float) -> list[int]:
    """Goes on with the round over known artifacts, by their ids: that they are there still is written nowhere."""
    now = timezone.now()
    sweep = models.Sweep.objects.filter(name=_SWEEP).first() or models.Sweep(name=_SWEEP, began_at=now - _AGAIN_AFTER)
    if not sweep.after:
        if sweep.began_at > now - _AGAIN_AFTER:
            return []
        sweep.began_at = now
    begun, lost, looked = sweep.after, [], 0
    found = list(rows.filter(pk__gt=begun).order_by("pk").values_list("pk", "uri")[:most])
    for pk, uri in found:
        if time.monotonic() > until:
            break
        if not _is_there(uri):
            lost.append(pk)
        sweep.after, looked = pk, looked + 1
    if looked == len(found) < most:
        sweep.after = 0  # the round is at its end
    if looked or begun:  # a look that had no room for it begins none
        sweep.save()
    return lost


def missing_inputs(inputs: Values) -> list[ArtifactValue]:
    """The input artifacts of a step that were in kfdash's store once and are not now; they are marked so.

    Without a missing file this costs a look at the disk for each input, and no statement.
    """
    values = {
        value["id"]: value
        for every in inputs.artifacts.values()
        for value in every
        if value["id"] and value["uri"].startswith(STORE) and not _is_there(value["uri"])
    }
    if not values:
        return []
    known = models.Artifact.objects.filter(pk__in=values).filter(Q(size__isnull=False) | Q(gone_at__isnull=False))
    lost = list(known.values_list("pk", flat=True))
    mark_gone(lost)
    return [values[pk] for pk in lost]


def mark_gone(ids: Iterable[int]) -> None:
    """Notes that artifacts are gone, and takes the cache entries of the steps that made them out."""
    ids = list(ids)
    if not ids:
        return
    with transaction.atomic():
        rows = models.Artifact.objects.filter(pk__in=ids)
        made_by = list(rows.exclude(run=None).values_list("run", "path").distinct())
        rows.filter(gone_at=None).update(gone_at=timezone.now())
        evicted = sum(models.CacheEntry.objects.filter(run=run, path=path).delete()[0] for run, path in made_by)
    log.info("%d artifacts are in the store no more; %d cache entries were taken out for that.", len(ids), evicted)


def missing_sentence(missing: Iterable[ArtifactValue], names: Mapping[int, str]) -> str:
    """What a step fails with whose inputs are gone. `names` has, by artifact id, who made it: "step train of run #12"."""
    first, *others = missing
    more = f" (and {len(others)} more)" if others else ""
    maker = names.get(first["id"], "an earlier step")
    return (
        f"Its input '{first['name']}' is gone: {first['uri']}{more} was made by {maker} and is in the store no more. "
        "Run again from the step that makes it."
    )


def makers(missing: Iterable[ArtifactValue]) -> dict[int, str]:
    """Who made these artifacts, by their id, for `missing_sentence`."""
    rows = models.Artifact.objects.filter(pk__in=[value["id"] for value in missing]).select_related("run")
    return {row.pk: f"{row.path.removeprefix('root/')} of run #{row.run.number}" for row in rows if row.run is not None}


def _size(row: models.Artifact) -> int | None:
    try:
        return content.size(content.local_path(row))
    except (content.NotHere, OSError):
        return None


def _is_there(uri: str) -> bool:
    try:
        content.local_path(models.Artifact(uri=uri))
    except (content.NotHere, OSError):
        return False
    return True
