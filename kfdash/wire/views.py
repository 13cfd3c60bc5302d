"""The base of all API views, and the views that belong to no app: health, unknown paths, the list of operations."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework import exceptions, serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from kfdash import __version__, outage, trouble
from kfdash.rights import public
from kfdash.wire.describing import OperationSchema
from kfdash.wire.errors import HTTP_STATUS, Code, Malformed, NoSuchMethod, WireError

log = logging.getLogger(__name__)


class _OneRenderer(BaseContentNegotiation):
    """JSON, whatever a client says it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


def answer_error(error: Exception, context: dict[str, Any]) -> Response:
    """The answer to a request that failed: every error becomes google.rpc.Status, one that nobody foresaw too."""
    known = _as_wire_error(error)
    if known is None:
        log.error("%s failed", context["request"].path, exc_info=error)
        body = {"code": int(Code.INTERNAL), "message": "Internal error: see the server's log.", "details": []}
        return Response(body, status=500)
    return Response(known.body(), status=HTTP_STATUS[known.code])


def _as_wire_error(error: Exception) -> WireError | None:
    match error:
        case WireError():
            return error
        case exceptions.MethodNotAllowed():
            return NoSuchMethod()
        case RequestDataTooBig():
            return Malformed("The request's body is too large: at most 32 MiB are taken.")
        case exceptions.APIException():
            return Malformed(str(error.detail))
    if sentence := outage.sentence(error):
        trouble.met(error)
        log.warning("%s (%s)", sentence, error)
        outage.let_go()
        return WireError(Code.UNAVAILABLE, f"Service unavailable: {sentence}")
    return None


class WireView(APIView):
    """A view of the API: no login of its own, no CSRF token (`kfdash.access` checks where writes come from), JSON only."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (JSONParser,)  # for the OpenAPI document; bodies are read by `kfdash.wire.reading`
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = _OneRenderer
    schema = OperationSchema()
    http_method_names = ["get", "post", "patch", "delete", "head"]

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        """Every error as google.rpc.Status."""
        return answer_error

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Heeds `X-HTTP-Method-Override` on POST."""
        override = request.META.get("HTTP_X_HTTP_METHOD_OVERRIDE", "")
        if request.method == "POST" and override:
            request.method = override.upper()
        return super().initialize_request(request, *args, **kwargs)


class Health(serializers.Serializer[Any]):
    """What the server says of itself."""

    commit_sha = serializers.CharField()
    tag_name = serializers.CharField()
    multi_user = serializers.BooleanField()
    pipeline_store = serializers.CharField()


@public
class HealthView(WireView):
    """Whether the server answers, and which it is."""

    with_store = True

    @extend_schema(responses=Health, tags=["Health"])
    def get(self, request: Request) -> Response:
        """The server's version, and that it has one user."""
        answer = {"commit_sha": "unknown", "tag_name": __version__, "multi_user": False}
        return Response(answer | ({"pipeline_store": "database"} if self.with_store else {}))


@extend_schema(exclude=True)
class UnknownPathView(WireView):
    """A path under `/apis/` that is none of the API's."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """404 for any method; a path with `//` or `..` leads to the cleaned one."""
        cleaned = _clean(request.path)
        if cleaned != request.path:
            query = request.META.get("QUERY_STRING", "")
            return HttpResponseRedirect(cleaned + (f"?{query}" if query else ""), status=301)
        return HttpResponse('{"code":5,"message":"Not Found"}', status=404, content_type="application/json")


def _clean(path: str) -> str:
    kept: list[str] = []
    for part in re.split("/+", path):
        if part == "..":
            kept = kept[:-1] or [""]
        elif part != ".":
            kept.append(part)
    return "/".join(kept) or "/"


class OpenApiView(SpectacularJSONAPIView):
    """The OpenAPI document of both APIs."""

    authentication_classes = ()
    permission_classes = ()


def operations(request: HttpRequest) -> HttpResponse:
    """The page `/apis/`: every operation with its parameters and what it takes and gives."""
    return render(request, "apis/operations.html", {"groups": _operations()})


@cache
def _operations() -> list[tuple[str, list[dict[str, Any]]]]:
    """Operations by group, from the OpenAPI document."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in SchemaGenerator().get_schema(request=None, public=True)["paths"].items():
        for method, operation in methods.items():
            entry = {
                "method": method.upper(),
                "path": path,
                "summary": operation["summary"],
                "query": [parameter for parameter in operation.get("parameters", []) if parameter["in"] == "query"],
                "takes": _shape(operation.get("requestBody", {})),
                "gives": _shape(operation["responses"].get("200", {})),
            }
            groups.setdefault(operation["tags"][0], []).append(entry)
    return sorted(groups.items())


def _shape(content: dict[str, Any]) -> str:
    """The name of the message in a request's or a response's content, empty where there is none."""
    for kind in content.get("content", {}).values():
        reference: str = kind.get("schema", {}).get("$ref", "")
        return reference.rpartition("/")[2]
    return ""
