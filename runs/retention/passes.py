"""Passes: the rules carried out one after the other, or only looked at, a little at a time, by whichever job is sent.

A job works on a pass for some seconds and ends; the observer's tick has the next one sent. How far it has come stands in the
row, so that a job that is killed costs nothing but the batch at hand, which its transaction takes back.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.utils import timezone

from runs import models
from runs.retention import leftovers
from runs.retention.reading import rules_now
from runs.retention.rules import Rule
from runs.retention.work import NotMine, Work

SLICE = 15.0  # seconds of one job
_FOR_ROWS = 0.6  # of them for rows, the rest for what they leave on disks and in buckets
_SILENT = timedelta(seconds=60)  # after which a job that was at a pass counts as gone


def slot(now: datetime) -> datetime | None:
    """When the rules were last due, by KFDASH_RETENTION; None where they are not carried out by themselves."""
    when = settings.RETENTION
    if when == "off":
        return None
    if when == "hourly":
        return now.replace(minute=0, second=0, microsecond=0)
    hour, minute = when
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def begin_due(now: datetime) -> models.RetentionPass | None:
    """Begins the pass that is due, unless it has been begun. Rules count from the first time that comes after their last change."""
    at = slot(now)
    if at is None or models.RetentionPass.objects.filter(dry=False, due__gte=at).exists():
        return None
    changed = models.RetentionRule.objects.aggregate(last=Max("changed_at"))["last"]
    rules = rules_now()
    if not rules or changed > at:
        return None
    return begin(rules, due=at)


def begin(rules: Sequence[Rule], *, due: datetime, by: str = "", dry: bool = False) -> models.RetentionPass | None:
    """A new pass by these rules; None where one was begun at that very moment."""
    try:
        with transaction.atomic():
            return models.RetentionPass.objects.create(due=due, by=by, dry=dry, rules=[rule.to_json() for rule in rules])
    except IntegrityError:
        return None


def go_on(seconds: float = SLICE) -> None:
    """Does what there is to do, for so long at most. Any number of jobs may call it at once: one of them is at a pass."""
    began = time.monotonic()
    until = began + seconds
    begin_due(timezone.now())
    while time.monotonic() < began + seconds * _FOR_ROWS and (row := _next()) is not None:
        work_on(row, began + seconds * _FOR_ROWS)
    leftovers.remove_due(until)


def _next() -> models.RetentionPass | None:
    """The oldest pass that nobody is at, taken. Those that only look come first: somebody waits for them."""
    for row in models.RetentionPass.objects.filter(_free(timezone.now())).order_by("-dry", "due")[:5]:
        if (mine := claim(row)) is not None:
            return mine
    return None


def claim(row: models.RetentionPass) -> models.RetentionPass | None:
    """Takes a pass for this job; None where another is at it, or it is done."""
    now, holder = timezone.now(), uuid.uuid4().hex
    if models.RetentionPass.objects.filter(_free(now), pk=row.pk).update(holder=holder, beat_at=now):
        return models.RetentionPass.objects.get(pk=row.pk, holder=holder)
    return None


def _free(now: datetime) -> Q:
    return (Q(holder="") | Q(beat_at__lt=now - _SILENT)) & Q(finished_at=None)


def work_on(row: models.RetentionPass, until: float) -> None:
    """Goes on with a pass that was claimed; lets go of it in time, or when it is done."""
    mine = models.RetentionPass.objects.filter(pk=row.pk, holder=row.holder)
    try:
        Work(row).run(until)
        mine.update(holder="")
    except NotMine:
        return
    except DatabaseError:  # the job says so; when the database is back another one takes the pass over
        raise
    except Exception as error:  # a mistake of ours: it is tried again once the holder counts as gone, not at once
        mine.update(problem=f"{type(error).__name__}: {error}"[:500])
        raise
