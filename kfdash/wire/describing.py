"""What the OpenAPI document says of every list and every error."""

from __future__ import annotations

from drf_spectacular.openapi import AutoSchema
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


class OperationSchema(AutoSchema):
    """Operations named by their view and method, with the first line of the method's docstring as the summary."""

    def get_operation_id(self) -> str:
        """`getRun`, `postRuns`, `postTerminateRun`."""
        return self.method.lower() + type(self.view).__name__.removesuffix("View")

    def get_summary(self) -> str:
        """The first line of what the method says of itself."""
        return str(self.get_description()).partition("\n")[0]
