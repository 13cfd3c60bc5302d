"""What of a log the server prints into a page itself: the lines as their template takes them; and that there is none any more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from runs import logs, logstore, models


def gone(request: HttpRequest, sentence: str) -> HttpResponse:
    """410, with when and by which rule of retention it was removed."""
    return render(request, "410.html", {"sentence": sentence}, status=410)


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
