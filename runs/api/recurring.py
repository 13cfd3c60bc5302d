"""Recurring runs on KFP's API: there are none yet. Lists are empty, and creating one says so."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kfdash.wire.errors import Code, WireError, not_found
from kfdash.wire.views import WireView


@extend_schema(exclude=True)
class RecurringRunsView(WireView):
    """`/recurringruns`."""

    def get(self, request: Request) -> Response:
        """None."""
        return Response({})

    def post(self, request: Request) -> Response:
        """Refused."""
        raise WireError(Code.UNIMPLEMENTED, "This server cannot run pipelines on a schedule yet.")


@extend_schema(exclude=True)
class RecurringRunView(WireView):
    """`/recurringruns/{recurring_run_id}` and its verbs."""

    http_method_names = ["get", "delete", "post"]

    def get(self, request: Request, recurring_run_id: str) -> Response:
        """404."""
        raise not_found("Job", recurring_run_id.partition(":")[0])

    delete = post = get
