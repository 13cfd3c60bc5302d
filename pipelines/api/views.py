"""KFP's v2beta1 API about pipelines and versions: lists, get, create, update, delete."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kfdash.rights import by
from kfdash.wire.describing import LISTING, error_responses
from kfdash.wire.errors import invalid, not_found
from kfdash.wire.filters import Column, Kind
from kfdash.wire.listing import Listing
from kfdash.wire.messages import Empty, read_message
from kfdash.wire.reading import Query
from kfdash.wire.views import WireView
from pipelines import services
from pipelines.api.answers import pipeline_answer, version_answer
from pipelines.api.requests import pipeline_of, refusals, version_of
from pipelines.api.serializers import (
    CreatePipelineAndVersion,
    ListPipelines,
    ListPipelineVersions,
    PipelineMessage,
    PipelineVersionMessage,
)
from pipelines.models import Pipeline, PipelineVersion

_NAMESPACE = OpenApiParameter("namespace", str, description="Ignored: there is one user.")
_TAG = "Pipelines"

PIPELINES = Listing(
    "Pipeline",
    {
        "id": Column("id", Kind.ID),
        "pipeline_id": Column("id", Kind.ID),
        "name": Column("name"),
        "display_name": Column("display_name"),
        "created_at": Column("created_at", Kind.TIME),
        "description": Column("description", long=True),
        "namespace": Column("", Kind.FIXED),
    },
    tagged=True,
)
VERSIONS = Listing(
    "PipelineVersion",
    {
        "id": Column("id", Kind.ID),
        "pipeline_version_id": Column("id", Kind.ID),
        "name": Column("name"),
        "display_name": Column("display_name"),
        "created_at": Column("created_at", Kind.TIME),
        "status": Column("READY", Kind.FIXED),
        "description": Column("description", long=True),
        "pipeline_spec": Column("specification_id"),
    },
    tagged=True,
)


class PipelinesView(WireView):
    """`/pipelines`."""

    @extend_schema(parameters=[_NAMESPACE, *LISTING], responses={200: ListPipelines} | error_responses(), tags=[_TAG])
    def get(self, request: Request) -> Response:
        """List pipelines."""
        page = PIPELINES.page(Pipeline.objects.filter(namespace=""), Query(request.GET))
        return Response(page.answer("pipelines", [pipeline_answer(row) for row in page.rows]))

    @extend_schema(request=PipelineMessage, responses={200: PipelineMessage} | error_responses(), tags=[_TAG])
    def post(self, request: Request) -> Response:
        """Create a pipeline without versions."""
        sent = read_message(request, PipelineMessage)
        with refusals():
            row = services.create_pipeline(
                name=sent.get("name", ""),
                display_name=sent.get("display_name", ""),
                description=sent.get("description", ""),
                tags=sent.get("tags"),
                by=by(request),
            )
        return Response(pipeline_answer(row))


class PipelineView(WireView):
    """`/pipelines/{pipeline_id}`."""

    @extend_schema(responses={200: PipelineMessage} | error_responses(), tags=[_TAG])
    def get(self, request: Request, pipeline_id: str) -> Response:
        """Get a pipeline."""
        return Response(pipeline_answer(pipeline_of(pipeline_id)))

    @extend_schema(request=PipelineMessage, responses={200: PipelineMessage} | error_responses(), tags=[_TAG])
    def patch(self, request: Request, pipeline_id: str) -> Response:
        """Change the display name, and replace the tags where there are any in the request."""
        sent = read_message(request, PipelineMessage)
        row = pipeline_of(pipeline_id)
        with refusals():
            services.update_pipeline(row, display_name=sent.get("display_name", ""), tags=sent.get("tags"))
        return Response(pipeline_answer(row))

    @extend_schema(
        parameters=[OpenApiParameter("cascade", bool, description="Delete its versions too.")],
        responses={200: Empty} | error_responses(),
        tags=[_TAG],
    )
    def delete(self, request: Request, pipeline_id: str) -> Response:
        """Delete a pipeline; its runs stay."""
        cascade = Query(request.GET).flag("cascade")
        row = pipeline_of(pipeline_id)
        with refusals():
            services.delete_pipeline(row, with_versions=cascade)
        return Response({})


class PipelineByNameView(WireView):
    """`/pipelines/names/{name}`."""

    @extend_schema(parameters=[_NAMESPACE], responses={200: PipelineMessage} | error_responses(), tags=[_TAG])
    def get(self, request: Request, name: str) -> Response:
        """Get a pipeline by its name (not its display name)."""
        row = Pipeline.objects.filter(namespace="", name=name).first() if "\0" not in name else None
        if row is None:
            raise not_found("Pipeline", f"/{name}")
        return Response(pipeline_answer(row))


class CreatePipelineView(WireView):
    """`/pipelines/create`."""

    @extend_schema(request=CreatePipelineAndVersion, responses={200: PipelineMessage} | error_responses(), tags=[_TAG])
    def post(self, request: Request) -> Response:
        """Create a pipeline and its first version from a package at a URL."""
        sent = read_message(request, CreatePipelineAndVersion)
        pipeline, version = sent.get("pipeline", {}), sent.get("pipeline_version", {})
        with refusals():
            row, _ = services.create_pipeline_from_url(
                url=_package_url(version),
                name=pipeline.get("name", ""),
                display_name=pipeline.get("display_name", ""),
                description=pipeline.get("description", ""),
                tags=pipeline.get("tags"),
                by=by(request),
                code_source_url=version.get("code_source_url", ""),
            )
        return Response(pipeline_answer(row))


class VersionsView(WireView):
    """`/pipelines/{pipeline_id}/versions`."""

    @extend_schema(parameters=LISTING, responses={200: ListPipelineVersions} | error_responses(), tags=[_TAG])
    def get(self, request: Request, pipeline_id: str) -> Response:
        """List a pipeline's versions."""
        pipeline = pipeline_of(pipeline_id)
        rows = PipelineVersion.objects.filter(pipeline=pipeline).select_related("specification").defer("package")
        page = VERSIONS.page(rows, Query(request.GET))
        return Response(page.answer("pipeline_versions", [version_answer(row) for row in page.rows]))

    @extend_schema(request=PipelineVersionMessage, responses={200: PipelineVersionMessage} | error_responses(), tags=[_TAG])
    def post(self, request: Request, pipeline_id: str) -> Response:
        """Create a version from a package at a URL. The pipeline is that of the path."""
        sent = read_message(request, PipelineVersionMessage)
        if not sent.get("pipeline_id"):
            raise invalid("The version needs a pipeline_id.")
        if not (sent.get("name") or sent.get("display_name")):
            raise invalid("The version needs a name.")
        url = _package_url(sent)
        with refusals():
            row = services.create_version_from_url(
                pipeline=pipeline_of(pipeline_id),
                url=url,
                name=sent.get("name", ""),
                display_name=sent.get("display_name", ""),
                description=sent.get("description", ""),
                tags=sent.get("tags"),
                by=by(request),
                code_source_url=sent.get("code_source_url", ""),
            )
        return Response(version_answer(row))


class VersionView(WireView):
    """`/pipelines/{pipeline_id}/versions/{pipeline_version_id}`. The pipeline in the path does not matter, as in KFP."""

    @extend_schema(responses={200: PipelineVersionMessage} | error_responses(), tags=[_TAG])
    def get(self, request: Request, pipeline_id: str, pipeline_version_id: str) -> Response:
        """Get a version with its specification."""
        return Response(version_answer(version_of(pipeline_version_id)))

    @extend_schema(request=PipelineVersionMessage, responses={200: PipelineVersionMessage} | error_responses(), tags=[_TAG])
    def patch(self, request: Request, pipeline_id: str, pipeline_version_id: str) -> Response:
        """Change the display name, and replace the tags where there are any in the request."""
        sent = read_message(request, PipelineVersionMessage)
        row = version_of(pipeline_version_id)
        with refusals():
            services.update_version(row, display_name=sent.get("display_name", ""), tags=sent.get("tags"))
        return Response(version_answer(row))

    @extend_schema(responses={200: Empty} | error_responses(), tags=[_TAG])
    def delete(self, request: Request, pipeline_id: str, pipeline_version_id: str) -> Response:
        """Delete a version; its runs stay."""
        services.delete_version(version_of(pipeline_version_id))
        return Response({})


def _package_url(version: dict[str, dict[str, str]]) -> str:
    url = version.get("package_url", {}).get("pipeline_url", "")
    if not url:
        raise invalid("The version needs a package_url.pipeline_url: the URL of its package.")
    return url
