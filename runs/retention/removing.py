"""Takes out of the database what the rules say, a few runs in a transaction; what lies elsewhere is left to `leftovers`.

Under the runs' locks everything is judged once more: a run may be kept, retried or used since it was found.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Sum

from runs import models
from runs.retention.planning import Ended, Verdict, judge, plan
from runs.retention.reading import Boundaries, runs_by_id, users
from runs.retention.rules import Rule, What

_MOST_RUNS = 25  # in one transaction
_MOST_EVENTS = 2500  # that hang on them: how much there is to a run shows in its events

Says = Callable[[Rule], str]  # a rule in words


def not_empty(runs: Sequence[Ended], what: What) -> set[str]:
    """The ids of those that have something to be removed: any run, one with outputs, one with logs."""
    ids = [run.id for run in runs]
    if what is What.ARTIFACTS:
        return {
            str(pk) for pk in models.Artifact.objects.filter(run__in=ids, gone_at=None).values_list("run", flat=True).distinct()
        }
    if what is What.LOGS:
        return {one for one in ids if (pathlib.Path(settings.LOGS_DIR) / one).is_dir()}
    return set(ids)


def measured(runs: Sequence[Ended], what: What) -> dict[str, int]:
    """How much there is to runs, by name: `runs`, `artifacts`, `bytes`, `cache_entries`; of logs only `logs`."""
    ids = not_empty(runs, what)
    if what is What.LOGS:
        return {"logs": len(ids)}
    artifacts = models.Artifact.objects.filter(run__in=ids, gone_at=None)
    return {
        "runs" if what is What.RUNS else "of_runs": len(ids),
        "artifacts": artifacts.count(),
        "bytes": artifacts.aggregate(total=Sum("size"))["total"] or 0,
        "cache_entries": models.CacheEntry.objects.filter(run__in=ids).count(),
    }


def chunks(verdicts: Sequence[Verdict]) -> Iterator[list[Verdict]]:
    """Those that go, so many at a time that a transaction stays short."""
    going = [one for one in verdicts if one.goes]
    weights = dict(models.Run.objects.filter(pk__in=[one.run.id for one in going]).values_list("pk", "event_number"))
    by_text = {str(pk): weight for pk, weight in weights.items()}
    chunk: list[Verdict] = []
    weight = 0
    for one in going:
        its = by_text.get(one.run.id, 0)
        if chunk and (len(chunk) >= _MOST_RUNS or weight + its > _MOST_EVENTS):
            yield chunk
            chunk, weight = [], 0
        chunk.append(one)
        weight += its
    if chunk:
        yield chunk


def remove(
    chunk: Sequence[Verdict], what: What, rules: Sequence[Rule], boundary: Boundaries, now: datetime, *, by: int, says: Says
) -> dict[str, int]:
    """Removes one thing of runs in one transaction; `by` is the pass. What may not go any more stays. Returns figures by name."""
    with transaction.atomic():
        rows = models.Run.objects.filter(pk__in=[one.run.id for one in chunk]).order_by("pk")
        skips = connection.features.has_select_for_update_skip_locked
        ids = list(rows.select_for_update(skip_locked=skips, of=("self",) if skips else ()).values_list("pk", flat=True))
        # 1. Who was kept or retried meanwhile stays.
        runs = [run for run in runs_by_id(ids) if judge(run, what, rules, boundary, now).goes]
        # 2. No new hits: whoever is just having one holds its entry, and is waited for.
        entries = models.CacheEntry.objects.filter(run__in=[run.id for run in runs]).delete()[0] if what is not What.LOGS else 0
        # 3. Whoever had one is a user now.
        verdicts = [one for one in plan(runs, what, rules, boundary, users, now) if one.goes]
        if not verdicts:
            return {}
        filled = not_empty([one.run for one in verdicts], what)
        counts = {**measured([one.run for one in verdicts], what), "cache_entries": entries}
        stored = models.Run.objects.filter(pk__in=[one.run.id for one in verdicts])
        roots = dict(stored.values_list("pk", "pipeline_root"))
        models.Leftover.objects.bulk_create(
            models.Leftover(run_id=pk, what=what.value, pipeline_root=root, removal_id=by) for pk, root in roots.items()
        )
        if what is What.RUNS:
            _delete_runs(roots, now)
        else:
            if what is What.ARTIFACTS:
                _note_gone({pk: root for pk, root in roots.items() if str(pk) in filled}, now)
            _mark(verdicts, what, now, says, filled)
        return counts


def _delete_runs(roots: Mapping[Any, str], now: datetime) -> None:
    """Rows of runs with all that hangs on them. Artifacts that others took stay as rows, for lineage."""
    ids = list(roots)
    models.ArtifactUse.objects.filter(run__in=ids).delete()
    artifacts = models.Artifact.objects.filter(run__in=ids)
    used = Exists(models.ArtifactUse.objects.filter(artifact=OuterRef("pk")))
    artifacts.exclude(used).delete()
    _note_gone({pk: roots[pk] for pk in artifacts.values_list("run", flat=True).distinct()}, now)
    models.Run.objects.filter(pk__in=ids).delete()


def _mark(verdicts: Sequence[Verdict], what: What, now: datetime, says: Says, filled: Collection[str]) -> None:
    """The runs stay, and say what was removed of them, when and by which rule; where there was nothing, they need no more looks."""
    ids = [one.run.id for one in verdicts]
    rule_of = {one.run.id: one.rule for one in verdicts}
    rows = list(models.Run.objects.filter(pk__in=ids).only("pk", "retention"))
    for row in rows:
        rule = rule_of[str(row.pk)]
        assert rule is not None, "what goes goes by a rule"
        if str(row.pk) in filled:
            row.retention = {**(row.retention or {}), what.value: {"at": now.isoformat(), "rule": says(rule)}}
        setattr(row, f"{what.value}_removed_at", now)
    models.Run.objects.bulk_update(rows, ["retention", f"{what.value}_removed_at"])


def _note_gone(roots: Mapping[Any, str], now: datetime) -> None:
    """Artifacts below their run's own folder are gone; what was imported from elsewhere is nobody's to remove."""
    for run, root in roots.items():
        own = models.Artifact.objects.filter(run=run, gone_at=None, uri__startswith=root.partition("?")[0].rstrip("/") + "/")
        own.update(gone_at=now)


def evict(ids: Sequence[int], rule: Rule, now: datetime) -> int:
    """Takes cache entries out that were not used meanwhile; how many."""
    entries = models.CacheEntry.objects.filter(pk__in=ids)
    if rule.age is not None:
        entries = entries.exclude(last_hit_at__gt=now - timedelta(seconds=rule.age))
    return int(entries.delete()[0])
