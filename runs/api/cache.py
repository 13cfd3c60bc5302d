"""`/apis/kfdash/v1/cache`: what the cache holds, what it is worth, and taking entries out."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kfdash.wire.describing import LISTING, error_responses
from kfdash.wire.errors import invalid, not_found
from kfdash.wire.filters import Column, Kind
from kfdash.wire.listing import Listing
from kfdash.wire.messages import Empty, compact, read_message
from kfdash.wire.reading import Query
from kfdash.wire.views import WireView
from runs import models, services, tallying
from runs.api.inside import of_run, precise
from runs.api.messages import CacheSummary, Evicted, EvictRequest
from runs.api.serializers import ListCacheEntries

_TAG = "kfdash"
_MOST_IDS = 1000

CACHE = Listing(
    "CacheEntry",
    {
        "entry_id": Column("id", Kind.NUMBER),
        "pipeline_name": Column("pipeline_name"),
        "fingerprint": Column("fingerprint"),
        "run_id": Column("run_id", Kind.ID),
        "path": Column("path", long=True),
        "hits": Column("hits", Kind.NUMBER),
        "created_at": Column("created_at", Kind.TIME),
        "last_hit_at": Column("last_hit_at", Kind.TIME, nullable=True),
    },
)


class CacheView(WireView):
    """`/cache`."""

    @extend_schema(
        parameters=[OpenApiParameter("run_id", str, description="Only those that this run made."), *LISTING],
        responses={200: ListCacheEntries} | error_responses(),
        tags=[_TAG],
    )
    def get(self, request: Request) -> Response:
        """List what the cache holds."""
        query = Query(request.GET)
        rows, of = services.cache_entries().order_by(), of_run(query.text("run_id"))
        page = CACHE.page(rows, query, where=of, count=tallying.count_of(models.CacheTally))
        sizes = services.entry_sizes(page.rows)
        return Response(page.answer("entries", [_entry(row, sizes[row.pk]) for row in page.rows]))


class CacheEntryView(WireView):
    """`/cache/{entry_id}`."""

    @extend_schema(responses={200: Empty} | error_responses(), tags=[_TAG])
    def delete(self, request: Request, entry_id: str) -> Response:
        """Take one entry out; its artifacts stay with its run."""
        if not services.evict_entries(_ids([entry_id])):
            raise not_found("CacheEntry", entry_id[:80])
        return Response({})


class EvictView(WireView):
    """`/cache:evict`."""

    @extend_schema(request=EvictRequest, responses={200: Evicted} | error_responses(), tags=[_TAG])
    def post(self, request: Request) -> Response:
        """Take entries out: by id, all of a pipeline, or all that were of no use since a time."""
        sent = read_message(request, EvictRequest)
        if "entry_ids" in sent:
            count = services.evict_entries(_ids(sent["entry_ids"]))
        elif sent.get("pipeline_name"):
            count = services.evict_pipeline(sent["pipeline_name"])
        elif "unused_since" in sent:
            count = services.evict_before(sent["unused_since"])
        else:
            raise invalid("Say which entries: entry_ids, pipeline_name or unused_since.")
        return Response(compact({"evicted": count}))


class CacheSummaryView(WireView):
    """`/cache:summary`."""

    @extend_schema(responses={200: CacheSummary} | error_responses(), tags=[_TAG])
    def get(self, request: Request) -> Response:
        """How many entries there are, how often they were used, how many seconds that saved."""
        return Response(compact(services.cache_summary()))


def _ids(texts: list[str]) -> list[int]:
    if len(texts) > _MOST_IDS:
        raise invalid(f"These are {len(texts):,} entries; at most {_MOST_IDS:,} are taken at once.")
    if bad := [text for text in texts if not (text.isascii() and text.isdigit() and len(text) < 19)]:
        raise not_found("CacheEntry", bad[0][:80])
    return [int(text) for text in texts]


def _entry(row: Any, size: int) -> dict[str, Any]:
    entry: models.CacheEntry = row
    return compact(
        {
            "entry_id": str(entry.pk),
            "pipeline_name": entry.pipeline_name,
            "fingerprint": entry.fingerprint,
            "run_id": str(entry.run_id),
            "run_number": entry.run.number,
            "path": entry.path,
            "outputs": entry.outputs,
            "seconds": entry.seconds,
            "hits": entry.hits,
            "saved": row.saved,
            "size": str(size) if size else "",
            "created_at": precise(entry.created_at),
            "last_hit_at": precise(entry.last_hit_at),
        }
    )
