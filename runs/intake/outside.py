"""Buckets: which options reach them for an attempt, and addresses that are good for one file and some hours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

import obstore
from obstore import exceptions

from runs import models
from runs.intake.rights import Reach
from runs.intake.threads import with_rows
from runs.store import NotReadable, may_sign, open_store
from runs.stores import store_options

GOOD_FOR = timedelta(hours=12)  # an address


def root_of(uri: str, reach: Reach) -> str:
    """The pipeline root, with its options, of the run that made an input, or of this one. Looks at rows."""
    pk = reach.inputs.get(uri.rstrip("/"), 0)
    if not pk or f"{uri}/".startswith(f"{reach.run_root}/"):
        return reach.pipeline_root
    root = models.Artifact.objects.filter(pk=pk, run__isnull=False).values_list("run__pipeline_root", flat=True).first()
    return root if root and uri.startswith(f"{root.partition('?')[0]}/") else reach.pipeline_root


async def root_by_rows(uri: str, reach: Reach) -> str:
    """The same, from the event loop."""
    return await with_rows(root_of, uri, reach)


def signed(uri: str, pipeline_root: str, method: Literal["GET", "PUT"], keys: Sequence[str]) -> list[str]:
    """A signed address for each key in the bucket of `uri`; none at all where the store cannot sign, or pods cannot reach it."""
    options = store_options(pipeline_root)
    if not keys or not may_sign(uri, options):
        return []
    try:
        return [str(url) for url in obstore.sign(open_store(uri, options).store, method, list(keys), GOOD_FOR)]
    except (exceptions.BaseError, NotReadable, ValueError, TypeError):
        return []
