"""One job's part of a pass: goes through what the rules may mean, page by page, and removes it or only counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from access.services import count_entries, remove_entries
from runs import models
from runs.retention import orphans, removing
from runs.retention.planning import Ended, Place, Verdict, Why, judge, plan
from runs.retention.reading import Boundaries, cache_candidates, candidates, experiment_names, rules_now, sources, users
from runs.retention.rules import OF_RUNS, Rule, What, sentence

PAGE = 200  # candidates looked at in one go
SHOWN = 50  # of those that go, and as many of those that are spared
REMOVED = ("runs", "of_runs", "logs", "evicted", "entries", "orphans")  # the figures that say that something went
_LEAST_REST, _MOST_REST = 0.01, 1.0  # seconds between two transactions, else as long as the one before took
_KEPT_FOR = timedelta(days=365)
_IDLE_KEPT_FOR = timedelta(days=2)  # passes that removed nothing

Step = Callable[[], bool]  # does a part; whether it was the last


class NotMine(Exception):
    """Another job has taken the pass over."""


class Work:
    """A pass in the hands of one job, which has put its mark (`holder`) on the row."""

    def __init__(self, row: models.RetentionPass) -> None:
        self.row = row
        self.rules = [Rule.from_json(kept) for kept in row.rules]
        self.names = experiment_names(self.rules)
        self.now = row.created_at  # one moment for the whole pass: what was shown is what is done
        self.boundary = Boundaries()
        self.trouble = ""  # what could not be looked at

    def says(self, rule: Rule) -> str:
        """A rule in words."""
        return sentence(rule, self.names.get(rule.experiment, ""))

    def run(self, until: float) -> None:
        """Goes on until it is done or `until` (of the monotonic clock). Raises NotMine."""
        for name, step in self._steps():
            if name in self.row.cursor.get("done", ()):
                continue
            while True:
                if time.monotonic() >= until:
                    return
                if not self.row.dry and rules_now() != self.rules:
                    self._finish("The rules were changed meanwhile: what they say now is carried out next time.")
                    return
                if step():
                    self._save(cursor={"done": [*self.row.cursor.get("done", ()), name]})
                    break
        self._finish(self.trouble)

    def _steps(self) -> Iterator[tuple[str, Step]]:
        """What is to be done, by name."""
        for what in OF_RUNS:
            for name, rule, state in sources(self.rules, what):
                yield name, partial(self._runs, name, rule, state)
        for name, rule, _ in sources(self.rules, What.CACHE):
            yield name, partial(self._cache, name, rule)
        for name, rule, _ in sources(self.rules, What.ACTIVITY):
            yield name, partial(self._activity, rule)
        yield What.ORPHANS.value, self._orphans

    # --- runs, their outputs and logs ---

    def _runs(self, name: str, rule: Rule, state: str) -> bool:
        """Looks at the next candidates of a source. Another rule's are that one's to count and to remove."""
        page = candidates(rule, state, self.now, self._after(name), PAGE)
        verdicts = [one for one in plan(page, rule.what, self.rules, self.boundary, users, self.now) if one.rule == rule]
        going = [one for one in verdicts if one.goes]
        filled = removing.not_empty([one.run for one in verdicts], rule.what)
        verdicts = [one for one in verdicts if one.run.id in filled]
        spared = Counter(one.why.value for one in verdicts if not one.goes)
        shown = self._shown(verdicts, rule.what)
        if self.row.dry:
            self._save(removing.measured([one.run for one in going], rule.what), spared, shown)
        else:
            self._save({}, spared, shown)
            self._remove(going, rule.what)
        return self._turn(name, page)

    def _remove(self, going: Sequence[Verdict], what: What) -> None:
        for chunk in removing.chunks(going):
            began = time.monotonic()
            with transaction.atomic():
                self._save(removing.remove(chunk, what, self.rules, self.boundary, self.now, by=self.row.pk, says=self.says))
            time.sleep(min(max(time.monotonic() - began, _LEAST_REST), _MOST_REST))  # others write, too

    # --- the cache ---

    def _cache(self, name: str, rule: Rule) -> bool:
        page = cache_candidates(rule, self.now, self._after(name), PAGE)
        verdicts = [judge(entry, What.CACHE, self.rules, self.boundary, self.now) for entry in page]
        mine = [one for one in verdicts if one.rule == rule]
        going = [int(one.run.id) for one in mine if one.goes]
        spared = Counter(one.why.value for one in mine if not one.goes)
        with transaction.atomic():
            count = len(going) if self.row.dry else removing.evict(going, rule, self.now)
            self._save({"evicted": count}, spared)
        return self._turn(name, page)

    # --- the activity log ---

    def _activity(self, rule: Rule) -> bool:
        before = self.now - timedelta(seconds=rule.age or 0)
        with transaction.atomic():
            count = count_entries(before) if self.row.dry else remove_entries(before)
            self._save({"entries": count})
        return self.row.dry or not count

    # --- what belongs to no run ---

    def _orphans(self) -> bool:
        """Finds it, and removes it where a rule says so."""
        rule = next((rule for rule in self.rules if rule.what is What.ORPHANS), None)
        age = timedelta(seconds=rule.age) if rule is not None and rule.age is not None else None
        found = orphans.look(self.now, age, remove=not self.row.dry, beat=self._save)
        counts = {"orphans": found.going, "orphan_bytes": found.going_bytes, "freed": found.freed}
        self.trouble = next(iter(found.problems), "")
        if found.more:
            self._save(counts)
            return False
        self._save(counts, {"orphans": found.staying} if found.staying else {}, found.shown)
        return True

    # --- what stands in the row ---

    def _after(self, name: str) -> Place | None:
        cursor = self.row.cursor
        if cursor.get("at") != name:
            return None
        return datetime.fromisoformat(cursor["after"][0]), cursor["after"][1]

    def _turn(self, name: str, page: Sequence[Ended]) -> bool:
        """Notes how far a source was looked through; whether it was to its end."""
        if len(page) < PAGE:
            return True
        at, pk = page[-1].place
        self._save(cursor={**self.row.cursor, "at": name, "after": [at.isoformat(), pk]})
        return False

    def _save(
        self,
        counts: dict[str, int] | None = None,
        spared: dict[str, int] | None = None,
        shown: list[dict[str, Any]] | None = None,
        cursor: dict[str, Any] | None = None,
    ) -> None:
        """Adds to the row what came of a part, in the transaction at hand. Raises NotMine, which takes that back."""
        with transaction.atomic():
            row = models.RetentionPass.objects.select_for_update().get(pk=self.row.pk)
            if row.holder != self.row.holder or row.finished_at is not None:
                raise NotMine
            row.counts = dict(Counter(row.counts) + Counter(counts or {}))
            row.spared = dict(Counter(row.spared) + Counter(spared or {}))
            row.shown = [*row.shown, *(shown or [])]
            row.cursor = row.cursor if cursor is None else cursor
            row.beat_at, row.problem = timezone.now(), ""
            changed = ["counts", "spared", "cursor", "beat_at", "problem", *(["shown"] if shown else [])]
            row.save(update_fields=changed)
        self.row.counts, self.row.spared, self.row.shown, self.row.cursor = row.counts, row.spared, row.shown, row.cursor

    def _shown(self, verdicts: Sequence[Verdict], what: What) -> list[dict[str, Any]]:
        """The first verdicts of each kind, as they are shown: `{what, goes, why, rule, run, number, name, user}`."""
        found = []
        for goes in (True, False):
            room = SHOWN - sum(1 for one in self.row.shown if one.get("goes") is goes and one["what"] == what)
            found += [one for one in verdicts if one.goes is goes][: max(room, 0)]
        ids = {run.id for one in found for run in (one.run, one.user) if run is not None}
        names = {
            str(pk): (number, name)
            for pk, number, name in models.Run.objects.filter(pk__in=ids).values_list("pk", "number", "name")
        }
        return [
            {
                "what": what.value,
                "goes": one.goes,
                "why": one.why.value,
                "rule": self.says(one.rule) if one.rule is not None else "",
                "run": one.run.id,
                "number": names.get(one.run.id, (0, ""))[0],
                "name": names.get(one.run.id, (0, ""))[1],
                "ended": one.run.finished_at.isoformat() if one.run.finished_at else "",
                "user": {"run": one.user.id, "number": names.get(one.user.id, (0, ""))[0]} if one.user else None,
            }
            for one in found
            if one.why is not Why.NOT_MEANT
        ]

    def _finish(self, problem: str) -> None:
        now = timezone.now()
        mine = models.RetentionPass.objects.filter(pk=self.row.pk, holder=self.row.holder)
        mine.update(finished_at=now, beat_at=now, problem=problem, cursor={})
        old = models.RetentionPass.objects.exclude(finished_at=None)
        old.filter(created_at__lt=now - _KEPT_FOR).delete()
        idle = old.filter(created_at__lt=now - _IDLE_KEPT_FOR).values_list("pk", "dry", "counts")
        useless = [pk for pk, dry, counts in idle if dry or not any(counts.get(name) for name in REMOVED)]
        models.RetentionPass.objects.filter(pk__in=useless[:500]).delete()
