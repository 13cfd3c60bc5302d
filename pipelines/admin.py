"""Pipelines in Django's admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from kfdash.readonly import ReadOnlyAdmin
from pipelines import models


@admin.register(models.Pipeline)
class PipelineAdmin(ReadOnlyAdmin):
    """Pipelines, newest first."""

    list_display = ("name", "display_name", "created_at", "created_by")
    ordering = ("-created_at",)


@admin.register(models.PipelineVersion)
class PipelineVersionAdmin(ReadOnlyAdmin):
    """Versions without their packages' bytes."""

    list_display = ("name", "pipeline", "number", "created_at")
    exclude = ("package",)
    list_select_related = ("pipeline",)


admin.site.register([models.Specification, models.Drawing], ReadOnlyAdmin)
