"""What the OpenAPI document says of every list and every error."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from kfdash.wire.messages import Status

LISTING = [
    OpenApiParameter("page_size", int, description="Rows on a page: 20 unless said, at most 200."),
    OpenApiParameter("page_token", str, description="The `next_page_token` of the page before."),
    OpenApiParameter("sort_by", str, description="A field, followed by `asc` or `desc`; `created_at asc` unless said."),
    OpenApiParameter("filter", str, description='JSON: `{"predicates": [{"operation": "EQUALS", "key": …, "string_value": …}]}`.'),
]


def error_responses() -> dict[str, OpenApiResponse]:
    """Any error: google.rpc.Status."""
    return {"default": OpenApiResponse(Status, description="An error: a gRPC code and a sentence.")}
