"""Uploads: a package as the part `uploadfile` of a form, everything else in the query."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kfdash.rights import by
from kfdash.wire.describing import error_responses
from kfdash.wire.errors import HTTP_STATUS, Code, Malformed, WireError, invalid
from kfdash.wire.reading import Query, read_id, read_json
from kfdash.wire.views import WireView, answer_error
from pipelines import services
from pipelines.api.answers import pipeline_answer, version_answer
from pipelines.api.serializers import PipelineMessage, PipelineVersionMessage
from pipelines.models import Pipeline
from pipelines.services import NameTaken
from pipelines.spec.problems import Problem, Refused

_FORM = {"multipart/form-data": {"type": "object", "properties": {"uploadfile": {"type": "string", "format": "binary"}}}}
_NAMES = [
    OpenApiParameter("name", str, description="Defaults to the display name, then to the file's name."),
    OpenApiParameter("display_name", str),
    OpenApiParameter("description", str),
    OpenApiParameter("tags", str, description="A JSON object of texts."),
    OpenApiParameter("code_source_url", str),
]


class UploadView(WireView):
    """What both uploads share: errors in the uploads' own shape, and reading the form."""

    def get_exception_handler(self) -> Any:
        """Errors as `error_message` and `error_details`, and every problem of a package by itself."""
        return _answer_error

    def read_package(self, request: Request) -> tuple[bytes, str]:
        """The bytes and the file name of the part `uploadfile`. Raises WireError."""
        try:
            file = request._request.FILES.get("uploadfile")
        except (MultiPartParserError, SuspiciousOperation, UnreadablePostError) as error:
            raise invalid(f"The form cannot be read: {error}.") from None
        if file is None:
            raise invalid("There is no package: send it as the part `uploadfile` of a form, with a file name.")
        if (file.size or 0) > settings.UPLOAD_LIMIT:
            raise invalid(f"The package is larger than {settings.UPLOAD_LIMIT // (1024 * 1024)} MiB, the most that is taken.")
        return file.read(), file.name or ""

    def read_labels(self, request: Request) -> dict[str, Any]:
        """Names, description, tags and what else both uploads take from the query. Raises WireError."""
        query = Query(request.GET)
        names = ("name", "display_name", "description", "code_source_url")
        return {name: query.text(name) for name in names} | {"tags": _read_tags(query.text("tags")), "by": by(request)}


class UploadPipelineView(UploadView):
    """`/pipelines/upload`."""

    @extend_schema(
        parameters=[*_NAMES, OpenApiParameter("namespace", str, description="Ignored: there is one user.")],
        request=_FORM,
        responses={200: PipelineMessage} | error_responses(),
        tags=["Pipelines"],
    )
    def post(self, request: Request) -> Response:
        """Upload a package as a new pipeline and its first version; the answer is the pipeline."""
        labels = self.read_labels(request)
        data, file_name = self.read_package(request)
        pipeline, _ = services.upload_pipeline(data=data, file_name=file_name, **labels)
        return Response(pipeline_answer(pipeline))


class UploadVersionView(UploadView):
    """`/pipelines/upload_version`."""

    @extend_schema(
        parameters=[OpenApiParameter("pipelineid", str, required=True), *_NAMES],
        request=_FORM,
        responses={200: PipelineVersionMessage} | error_responses(),
        tags=["Pipelines"],
    )
    def post(self, request: Request) -> Response:
        """Upload a package as a new version of a pipeline; the answer is the version."""
        labels = self.read_labels(request)
        pipeline = _pipeline(Query(request.GET).text("pipelineid"))
        data, file_name = self.read_package(request)
        return Response(version_answer(services.upload_version(pipeline=pipeline, data=data, file_name=file_name, **labels)))


def _pipeline(text: str) -> Pipeline:
    """The pipeline that a version is uploaded to; unlike elsewhere, an unknown one is 400."""
    if not text:
        raise invalid("The query parameter pipelineid is required: the id of the pipeline that the version is for.")
    key = read_id(text)
    row = Pipeline.objects.filter(pk=key).first() if key else None
    if row is None:
        raise invalid(f"Pipeline {text} not found")
    return row


def _read_tags(text: str) -> Mapping[str, str] | None:
    if not text:
        return None
    try:
        tags = read_json(text)
    except Malformed as error:
        raise invalid(f"The tags must be a JSON object of texts. {error.sentence}") from None
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise invalid(f"The tags must be a JSON object of texts, not {json.dumps(tags)[:80]}.")
    return tags


def _answer_error(error: Exception, context: dict[str, Any]) -> Response:
    problems: tuple[Problem, ...] = ()
    match error:
        case Refused():
            status, problems = 400, error.problems
            sentence = "\n".join(str(problem) for problem in problems)
        case NameTaken():
            status, sentence = HTTP_STATUS[Code.ALREADY_EXISTS], str(error)
        case WireError():
            status, sentence = HTTP_STATUS[error.code], error.sentence
        case RequestDataTooBig():
            status, sentence = 400, "The upload is too large."
        case _:
            return answer_error(error, context)
    body: dict[str, Any] = {"error_message": sentence, "error_details": sentence}
    if problems:
        body["problems"] = [{"message": p.message, "place": p.place, "line": p.line} for p in problems]
    return Response(body, status=status)
