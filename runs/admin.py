"""Runs in Django's admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from kfdash.readonly import ReadOnlyAdmin
from runs import models


@admin.register(models.Run)
class RunAdmin(ReadOnlyAdmin):
    """Runs, newest first."""

    list_display = ("number", "name", "state", "created_at", "created_by")
    list_filter = ("state", "storage_state")
    ordering = ("-created_at",)
    show_full_result_count = False


@admin.register(models.Task)
class TaskAdmin(ReadOnlyAdmin):
    """Tasks of all runs."""

    list_display = ("path", "run", "kind", "state", "attempt")
    list_filter = ("state", "kind")
    list_select_related = ("run",)
    show_full_result_count = False


@admin.register(models.Order)
class OrderAdmin(ReadOnlyAdmin):
    """What is to be done, and what was."""

    list_display = ("kind", "path", "attempt", "due", "tries", "carried_out_at", "answer")
    list_filter = ("kind",)
    show_full_result_count = False


admin.site.register([models.Experiment, models.Attempt, models.RunEvent, models.Artifact, models.CacheEntry], ReadOnlyAdmin)
