"""What changes rows about people, and the activity log."""

from __future__ import annotations

from django.conf import settings

from access.models import Entry


def record(*, by: str, verb: str, what: str, name: str, detail: str = "") -> None:
    """Adds a row to the activity log: `alice` `deleted` the `run` `training #12`. Where nobody logs in there is no log."""
    if settings.AUTH:
        Entry.objects.create(by=by[:254], verb=verb[:40], what=what[:40], name=name[:300], detail=detail[:500])
