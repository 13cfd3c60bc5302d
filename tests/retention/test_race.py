"""A run has a hit in the cache at the very moment that a rule removes whose outputs they are."""

from __future__ import annotations

import threading

import pytest
from django.db import connections, transaction
from django.db.models import F
from django.utils import timezone

from runs import models
from runs.retention import removing
from runs.retention.planning import Verdict, Why
from runs.retention.reading import Boundaries, runs_by_id
from runs.retention.rules import Rule, What
from tests.django.old_runs import DAY, made


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("folders")
def test_who_is_just_having_a_hit_is_waited_for_and_keeps_the_outputs() -> None:
    maker, user = made(100), made(1)
    rule, now = Rule(What.ARTIFACTS, 30 * DAY), timezone.now()
    found: list[dict[str, int]] = []
    hit, told = threading.Event(), threading.Event()

    def has_a_hit() -> None:
        try:
            with transaction.atomic():  # as a drive does: the hit is counted, then the task is written
                models.CacheEntry.objects.filter(run=maker).update(hits=F("hits") + 1)
                hit.set()
                told.wait(20)
                models.Task.objects.filter(run=user).update(cached_from=f"{maker.pk}:root/s0")
        finally:
            connections.close_all()

    def removes() -> None:
        try:
            verdicts = [Verdict(run, Why.RULE, rule) for run in runs_by_id([maker.pk])]
            by = models.RetentionPass.objects.create(due=now).pk
            found.append(removing.remove(verdicts, rule.what, [rule], Boundaries(), now, by=by, says=str))
        finally:
            connections.close_all()

    first, second = threading.Thread(target=has_a_hit), threading.Thread(target=removes)
    first.start()
    assert hit.wait(20)
    second.start()
    second.join(0.5)
    assert not found, "it waits"
    told.set()
    first.join()
    second.join()
    assert found == [{}]
    maker.refresh_from_db()
    assert maker.artifacts_removed_at is None and models.Artifact.objects.get(run=maker).gone_at is None
