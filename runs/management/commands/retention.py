"""`kfdash manage retention`: carries the rules of retention out, or with `--dry-run` says what they would remove."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from kfdash.words import counted, size
from runs.retention import passes
from runs.services import retention as service

_SLICE = 30.0  # seconds between two lines of progress


class Command(BaseCommand):
    """Needs no other part of the installation but the database, the disks and the buckets."""

    help = "Carries the rules of retention out now, until all is done."

    def add_arguments(self, parser: CommandParser) -> None:
        """Takes `--dry-run`."""
        parser.add_argument("--dry-run", action="store_true", help="remove nothing, and say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the rules and figures. Raises CommandError where another is at it, or files could not be removed."""
        rules = service.retention_rules()
        if not any(row.enabled for row, _, _ in rules):
            self.stdout.write("There is no rule that is on: everything is kept.")
            return
        for row, _, said in rules:
            self.stdout.write(f"{'' if row.enabled else '(off) '}{said}")
        if options["dry_run"]:
            row = service.try_rules_out(by="command line", wait=float("inf"))
            self.stdout.write(f"Would be removed: {self._figures(row.counts) or 'nothing'}.")
            for one in row.shown:
                if one["goes"] and "run" in one:
                    self.stdout.write(f"  {one['what']} of #{one['number']} {one['name']}, ended {one['ended'][:10]}")
            return
        row = service.carry_rules_out(by="command line")
        if row is None:
            raise CommandError("The rules are being carried out already.")
        while row.finished_at is None:
            passes.go_on(_SLICE)
            row.refresh_from_db()
            self.stdout.write(f"{'Removed' if row.finished_at else 'So far'}: {self._figures(row.counts) or 'nothing'}.")
        if row.problem:
            raise CommandError(row.problem)
        for trouble in service.troubles():
            self.stderr.write(f"{counted(int(str(trouble['count'])), 'thing')} could not be removed yet: {trouble['problem']}")

    @staticmethod
    def _figures(counts: dict[str, int]) -> str:
        words = {
            "runs": "run",
            "artifacts": "output",
            "logs": "log",
            "evicted": "cache entry,cache entries",
            "entries": "entry of the activity log,entries of the activity log",
            "orphans": "leftover without a run,leftovers without a run",
        }
        found = []
        for name, noun in words.items():
            one, _, many = noun.partition(",")
            found += [counted(counts[name], one, many)] if counts.get(name) else []
        freed = counts.get("freed") or counts.get("bytes", 0)
        return ", ".join([*found, size(freed)] if freed else found)
