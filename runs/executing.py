"""The installation's executor, opened once in each process."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from runs.executors.base import Executor
from runs.executors.fake import FakeExecutor
from runs.executors.local.executor import LocalExecutor


@cache
def executor() -> Executor:
    """The executor that KFDASH_EXECUTOR names."""
    if settings.EXECUTOR == "local":
        return LocalExecutor(str(settings.RUNTIME_DIR / "host.sock"))
    if settings.EXECUTOR == "fake":
        return FakeExecutor()
    raise ImproperlyConfigured(f"KFDASH_EXECUTOR is {settings.EXECUTOR!r}; it must be 'local'.")
