"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """Accounts, rights, tokens and the activity log."""

    name = "access"
    default_auto_field = "django.db.models.BigAutoField"
