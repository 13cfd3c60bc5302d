"""What rows say no more, removed from disks, buckets and the cluster: a row each, gone when it is done, tried again until then."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

from django.db import transaction
from django.db.models import Count, Min
from django.utils import timezone

from runs import models, removal
from runs.retention.rules import What

_AT_ONCE = 50
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=5), timedelta(minutes=15)


def remove_due(until: float) -> int:
    """Removes what is due until `until` (of the monotonic clock); how many are done. What cannot be is due again later."""
    done = 0
    while time.monotonic() < until:
        found = list(models.Leftover.objects.filter(due__lte=timezone.now()).order_by("due", "pk")[:_AT_ONCE])
        if not found:
            break
        for row in found:
            done += _remove(row)
            if time.monotonic() >= until:
                break
    return done


def _remove(row: models.Leftover) -> bool:
    run_id = str(row.run_id)
    try:
        match What(row.what):
            case What.LOGS:
                freed = removal.remove_logs(run_id)
            case What.ARTIFACTS:
                freed = removal.remove_artifacts(run_id, row.pipeline_root)
            case _:
                freed = removal.remove_whole_run(run_id, row.pipeline_root)
    except removal.NotRemoved as error:
        wait = min(_FIRST_WAIT * 2 ** min(row.tries, 20), _LONGEST_WAIT)
        models.Leftover.objects.filter(pk=row.pk).update(tries=row.tries + 1, due=timezone.now() + wait, problem=str(error))
        return False
    with transaction.atomic():
        if models.Leftover.objects.filter(pk=row.pk).delete()[0] and row.removal_id and freed:  # else another did it, too
            _add_freed(row.removal_id, freed)
    return True


def _add_freed(pass_id: int, freed: int) -> None:
    row = models.RetentionPass.objects.select_for_update().filter(pk=pass_id).only("pk", "counts").first()
    if row is not None:
        row.counts = dict(Counter(row.counts) + Counter(freed=freed))
        row.save(update_fields=["counts"])


def troubles() -> list[dict[str, object]]:
    """What could not be removed yet: `[{problem, count, due}]`, the most first."""
    rows = models.Leftover.objects.exclude(problem="").values("problem")
    return list(rows.annotate(count=Count("pk"), due=Min("due")).order_by("-count")[:5])
