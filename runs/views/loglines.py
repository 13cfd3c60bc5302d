"""What of a log the server prints into a page itself: the lines as their template takes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from runs import logs, logstore, models


def log_key(run: models.Run, attempt: models.Attempt | None) -> str:
    """The key of an attempt's log; empty where there is no attempt."""
    return f"{run.pk}/{attempt.name}" if attempt is not None else ""


def printed(line: logs.LogLine) -> dict[str, Any]:
    """A line for the template: number, time, level and text."""
    at = datetime.fromtimestamp(line.at / 1_000_000, tz=timezone.get_default_timezone())
    return {
        "number": line.number,
        "at": line.at,
        "time": f"{at:%H:%M:%S}",
        "level": "sys" if line.stream == "k" else logstore.level_of(line),
        "text": line.text,
        "stream": line.stream,
    }
