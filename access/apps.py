"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig

from access import configuration


class AccessConfig(AppConfig):
    """Accounts, rights, tokens and the activity log."""

    name = "access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Django's hook: nothing is served with settings that cannot be. Raises ImproperlyConfigured."""
        configuration.check()
