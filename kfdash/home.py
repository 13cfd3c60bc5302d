"""What every page knows: the installation's name for itself, its executor, its version."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from kfdash import __version__


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Context of every template: `executor` (`local` or `kubernetes`) and `kfdash_version`."""
    return {"executor": settings.EXECUTOR, "kfdash_version": __version__}
