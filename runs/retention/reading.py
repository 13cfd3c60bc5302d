"""What the database has of runs that rules may mean: found by indexes, a page at a time."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Left

from runs.models import ArtifactUse, CacheEntry, Experiment, RetentionRule, Run, Task
from runs.retention.planning import Ended, Place
from runs.retention.rules import ENDED, OF_RUNS, Per, Rule, What

_ID = 36  # characters of a run's id in `Task.cached_from`, which goes on with ":root…"
_CHUNK = 50  # ranges in one statement
_COLUMNS = (
    "pk", "experiment_key", "pipeline_key", "specification__name", "state", "created_at", "finished_at", "kept_at",
    "logs_removed_at", "artifacts_removed_at",
)  # fmt: skip


def rule_value(row: RetentionRule) -> Rule:
    """A rule's row as a value."""
    return Rule(
        What(row.what),
        row.age,
        row.newest,
        Per(row.per or Per.EXPERIMENT),
        tuple(row.states),
        str(row.experiment_key or ""),
        row.pk,
    )


def rules_now() -> list[Rule]:
    """All rules that are on."""
    return [rule_value(row) for row in RetentionRule.objects.filter(enabled=True).order_by("pk")]


def experiment_names(rules: Iterable[Rule]) -> dict[str, str]:
    """Experiment's id → its name, of those that rules are about; deleted ones are missing."""
    keys = {rule.experiment for rule in rules if rule.experiment}
    return {str(pk): name for pk, name in Experiment.objects.filter(pk__in=keys).values_list("pk", "name")}


# --- candidates -----------------------------------------------------------------------------------------------------


def sources(rules: Sequence[Rule], what: What) -> list[tuple[str, Rule, str]]:
    """Where to look for runs: (name, rule, state or empty). Rules that count come first: others would move what they count.

    An experiment's runs are read by its own index; those of the site by that of the state, as far as something is left of them.
    """
    mine = [rule for rule in rules if rule.what is what and not rule.keeps_all]
    found = []
    for rule in sorted(mine, key=lambda rule: (rule.newest is None, rule.id)):
        for state in ("",) if rule.experiment or what not in OF_RUNS else rule.states:
            found.append((f"{what}/{rule.id}/{state}", rule, state))
    return found


def candidates(rule: Rule, state: str, now: datetime, after: Place | None, most: int) -> list[Ended]:
    """The next runs, by their making, that are old enough for a rule and have something left of what it removes."""
    runs = Run.objects.filter(finished_at__isnull=False)
    if rule.what is What.LOGS:
        runs = runs.filter(logs_removed_at__isnull=True)
    elif rule.what is What.ARTIFACTS:
        runs = runs.filter(artifacts_removed_at__isnull=True)
    runs = runs.filter(state=state) if state else runs.filter(experiment_key=rule.experiment)
    if rule.age is not None:
        before = now - timedelta(seconds=rule.age)
        runs = runs.filter(created_at__lte=before, finished_at__lte=before)
    if after is not None:
        at, pk = after
        runs = runs.filter(Q(created_at__gte=at) & (Q(created_at__gt=at) | Q(pk__gt=uuid.UUID(pk))))
    return list(_values(runs.order_by("created_at", "id")[:most]))


def runs_by_id(ids: Iterable[Any]) -> list[Ended]:
    """Runs with these ids, as many as there are."""
    return list(_values(Run.objects.filter(pk__in=list(ids))))


def _values(runs: QuerySet[Run]) -> Iterator[Ended]:
    for pk, experiment, pipeline, name, state, created, finished, kept, logs, artifacts in runs.values_list(*_COLUMNS):
        yield Ended(
            str(pk),
            str(experiment),
            str(pipeline or name),
            state,
            created,
            finished,
            kept=kept is not None,
            logs_gone=logs is not None,
            artifacts_gone=artifacts is not None,
        )


# --- the newest -----------------------------------------------------------------------------------------------------


class Boundaries:
    """The oldest of the newest of each rule and group, asked for once. See `planning.Boundary`."""

    def __init__(self) -> None:
        self._known: dict[tuple[Rule, str], Place | None] = {}

    def __call__(self, rule: Rule, run: Ended) -> Place | None:
        """The place of the oldest run that is still among the newest; None where all are."""
        key = (rule, run.group(rule))
        if key not in self._known:
            self._known[key] = self._read(rule, run)
        return self._known[key]

    @staticmethod
    def _read(rule: Rule, run: Ended) -> Place | None:
        assert rule.newest is not None, "a rule that counts nothing has no boundary"
        if rule.what is What.CACHE:
            return Boundaries._read_cache(rule, rule.newest, run)
        runs = Run.objects.filter(state__in=rule.states, finished_at__isnull=False)
        if rule.experiment or rule.per is Per.EXPERIMENT:
            runs = runs.filter(experiment_key=run.experiment)
        if rule.per is Per.PIPELINE:
            key = _uuid(run.pipeline)
            runs = runs.filter(pipeline_key=key) if key else runs.filter(pipeline_key=None, specification__name=run.pipeline)
        found = runs.order_by("-created_at", "-id").values_list("created_at", "pk")[rule.newest - 1 : rule.newest].first()
        return (found[0], str(found[1])) if found else None

    @staticmethod
    def _read_cache(rule: Rule, newest: int, entry: Ended) -> Place | None:
        entries = CacheEntry.objects.filter(pipeline_name=entry.pipeline)
        if rule.experiment:
            entries = entries.filter(run__experiment_key=rule.experiment)
        found = entries.order_by("-created_at", "-id").values_list("created_at", "pk")[newest - 1 : newest].first()
        return (found[0], _padded(found[1])) if found else None


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


# --- who uses what --------------------------------------------------------------------------------------------------


def users(ids: Collection[str]) -> Mapping[str, Sequence[Ended]]:
    """Run → other runs that show or took its outputs (see `planning.Users`), and runs again of it that are under way."""
    pairs: set[tuple[str, str]] = set()
    wanted = sorted(ids)
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        pairs.update((origin, str(run)) for origin, run in _cached(chunk))
        taken = ArtifactUse.objects.filter(artifact__run__in=chunk).exclude(run=F("artifact__run"))
        pairs.update((str(one), str(run)) for one, run in taken.values_list("artifact__run", "run").distinct())
        again = Run.objects.filter(origin__in=chunk).exclude(state__in=ENDED)
        pairs.update((str(one), str(run)) for one, run in again.values_list("origin", "pk"))
    by_id = {run.id: run for run in _read_all({user for one, user in pairs if one != user})}
    found: dict[str, list[Ended]] = defaultdict(list)
    for one, user in sorted(pairs):
        if one != user and user in by_id:
            found[one].append(by_id[user])
    return found


def is_used(run_id: str) -> bool:
    """Whether a task of some run has the outputs of this one, which may be gone itself."""
    return next(_cached([run_id]), None) is not None


def _cached(ids: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """(run, run with a task that has that one's outputs). By ranges, for the index; paths begin with "r" in every collation."""
    ranges = Q()
    for one in ids:
        ranges |= Q(cached_from__gte=one, cached_from__lt=f"{one}s")
    tasks = Task.objects.exclude(cached_from="").filter(ranges)
    yield from tasks.annotate(origin=Left("cached_from", _ID)).values_list("origin", "run").distinct()


def _read_all(ids: Collection[str]) -> Iterator[Ended]:
    wanted = sorted(ids)
    for start in range(0, len(wanted), 400):
        yield from runs_by_id(wanted[start : start + 400])


# --- the cache ------------------------------------------------------------------------------------------------------


def cache_candidates(rule: Rule, now: datetime, after: Place | None, most: int) -> list[Ended]:
    """The next entries, by their making, that were of no use for the rule's age, told as runs that ended with their last use.

    Their ids are numbers, their pipeline is its name, and they are kept with their run.
    """
    entries = CacheEntry.objects.all()
    if rule.experiment:
        entries = entries.filter(run__experiment_key=rule.experiment)
    if rule.age is not None:
        before = now - timedelta(seconds=rule.age)
        entries = entries.filter(created_at__lte=before).exclude(last_hit_at__gt=before)
    if after is not None:
        at, pk = after
        entries = entries.filter(Q(created_at__gte=at) & (Q(created_at__gt=at) | Q(pk__gt=int(pk))))
    columns = ("pk", "run__experiment_key", "pipeline_name", "created_at", "last_hit_at", "run__kept_at")
    return [
        Ended(_padded(pk), str(experiment), pipeline, ENDED[0], made, used or made, kept=kept is not None)
        for pk, experiment, pipeline, made, used, kept in entries.order_by("created_at", "id").values_list(*columns)[:most]
    ]


def _padded(pk: int) -> str:
    """A number as text that sorts as it does."""
    return f"{pk:020d}"
