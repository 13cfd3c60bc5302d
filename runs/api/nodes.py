"""KFP's addresses of what one step of a run left: its log as text, an output artifact in base64.

A node is named by its attempt (KFP's pod name, which `run_details` has), by the task's id or by its path.
"""

from __future__ import annotations

import base64
import json

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kfdash.wire.describing import error_responses
from kfdash.wire.errors import Code, WireError, invalid, not_found
from kfdash.wire.streaming import stream_text
from kfdash.wire.views import WireView
from pipelines.spec.constants import task_uuid
from runs import logs, models
from runs.api.requests import run_of
from runs.api.serializers import ReadArtifact
from runs.artifacts import content
from runs.removed import removed_sentence

_LARGEST = 64 * 1024 * 1024  # bytes of an artifact that is answered as JSON


def attempt_of(run: models.Run, node: str) -> models.Attempt:
    """The attempt with this name, else the last one of the task with this id or path. Raises WireError: 404."""
    attempts = models.Attempt.objects.filter(run=run)
    found = attempts.filter(name=node).first()
    if found is None:
        path = _path_of(run, node)
        found = attempts.filter(path=path).order_by("-number").first()
    if found is None:
        raise not_found("Node", node)
    return found


def _path_of(run: models.Run, node: str) -> str:
    """The path of a task that is named by its path or its id; the name itself where there is no such task."""
    if "-" in node and len(node) == 36:
        for path in models.Task.objects.filter(run=run).values_list("path", flat=True):
            if task_uuid(str(run.pk), path) == node:
                return path
    return node


class ReadArtifactView(WireView):
    """`/runs/{run_id}/nodes/{node_id}/artifacts/{artifact_name}:read`."""

    @extend_schema(responses={200: ReadArtifact} | error_responses(), tags=["Runs"])
    def get(self, request: Request, run_id: str, node_id: str, artifact_name: str) -> Response:
        """Read an output artifact of a step."""
        run = run_of(run_id)
        path = attempt_of(run, node_id).path
        artifact = models.Artifact.objects.filter(run=run, path=path, name=artifact_name).order_by("-id").first()
        if artifact is None:
            raise not_found("Artifact", artifact_name)
        try:
            file = content.file_in(artifact)
        except content.NotHere as error:
            raise invalid(f"The artifact {artifact_name!r} cannot be read. {error}") from None
        if file.stat().st_size > _LARGEST:
            raise invalid(f"The artifact {artifact_name!r} is too large to be read in one piece; download it from its page.")
        data = base64.b64encode(file.read_bytes()).decode()
        return Response({"data": data} if data else {}, headers={"Cache-Control": "no-cache, private"})


class NodeLogView(WireView):
    """`/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log`."""

    @extend_schema(
        parameters=[OpenApiParameter("follow", bool, description="Ignored: the answer is what there is by now.")],
        responses={(200, "text/plain"): OpenApiTypes.STR},
        tags=["Runs"],
    )
    def get(self, request: Request, run_id: str, node_id: str) -> StreamingHttpResponse | HttpResponse:
        """The log of a step as text. The status is 200 also where there is none; the text says so then."""
        try:
            attempt = attempt_of(run_of(run_id), node_id)
            refuse_removed(attempt)
        except WireError as error:
            text = json.dumps({"error_message": error.sentence, "error_details": error.sentence})
            return HttpResponse(text, content_type="text/plain; charset=utf-8")
        return text_log(request, attempt)


def refuse_removed(attempt: models.Attempt) -> None:
    """Raises WireError, 404, with when and by which rule of retention the log of an attempt was removed."""
    if not logs.count(f"{attempt.run_id}/{attempt.name}") and (said := removed_sentence(attempt.run, "logs")):
        raise WireError(Code.NOT_FOUND, said)


def text_log(request: Request, attempt: models.Attempt) -> StreamingHttpResponse:
    """An attempt's whole log as plain text. Raises WireError, 404, where a rule removed it."""
    refuse_removed(attempt)
    return stream_text(request._request, logs.stream_text(f"{attempt.run_id}/{attempt.name}"))
