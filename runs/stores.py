"""The installation's stores, by its settings and by what a run's pipeline root says of its own."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from runs.store import StoreOptions


@lru_cache(256)
def store_options(pipeline_root: str = "") -> StoreOptions:
    """Options for all stores, with those in the query of a run's pipeline root. Raises NotReadable for wrong ones."""
    if "?" in pipeline_root:
        return store_options().for_root(pipeline_root)
    if pipeline_root:
        return store_options()
    return StoreOptions.from_environment(str(settings.ARTIFACTS_DIR))
