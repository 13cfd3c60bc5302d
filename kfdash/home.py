"""The first page, and what every page knows: the installation's executor and version, how many runs are under way."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from kfdash import __version__
from runs.models import Run, StorageState

ACTIVE = ("PENDING", "RUNNING", "CANCELING")
_SECTIONS = {"home": "home", "run": "runs", "artifact": "runs", "pipeline": "pipelines", "version": "pipelines"}
_SECTIONS |= {"launch": "pipelines", "upload": "pipelines", "experiment": "experiments"}


def _active_count() -> int:
    return Run.objects.filter(state__in=ACTIVE, storage_state=StorageState.AVAILABLE).count()


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Context of every template: `executor` (`local` or `kubernetes`), `kfdash_version`, `section` of the navigation, `active_runs`."""
    name = request.resolver_match.url_name if request.resolver_match else None
    return {
        "executor": settings.EXECUTOR,
        "kfdash_version": __version__,
        "section": _SECTIONS.get((name or "").partition("-")[0], ""),
        "active_runs": SimpleLazyObject(_active_count),
        "upload_limit": settings.UPLOAD_LIMIT,
    }
