"""`/apis/kfdash/v1`: what KFP's API does not tell of a run: its task tree, logs, events and artifacts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kfdash.wire.describing import LISTING, error_responses
from kfdash.wire.errors import invalid, not_found
from kfdash.wire.filters import Column, Kind
from kfdash.wire.listing import Listing
from kfdash.wire.messages import compact
from kfdash.wire.reading import Query, read_id
from kfdash.wire.views import WireView
from pipelines.spec.constants import task_uuid
from runs import logs, models, tallying
from runs.api.answers import display_name
from runs.api.nodes import attempt_of, refuse_removed, text_log
from runs.api.requests import run_of
from runs.api.serializers import ArtifactMessage, ListArtifacts, ListEvents, ListTasks, LogPage
from runs.engine.model import Phase

_TAG = "kfdash"
_MOST_TASKS, _MOST_EVENTS, _MOST_LINES = 10_000, 1_000, 10_000
_SAME_IN_TASKS = (
    "path", "parent", "kind", "state", "reason", "cause", "culprit", "attention", "inputs", "outputs", "attempt",
    "children", "ended", "succeeded", "failed",
)  # fmt: skip
_SAME_IN_ATTEMPTS = ("name", "number", "state", "phase", "reason", "cause", "exit_code", "peak_memory")
_ATTEMPT_TIMES = ("queued_at", "starting_at", "running_at", "collecting_at", "finished_at")

ARTIFACTS = Listing(
    "Artifact",
    {
        "artifact_id": Column("id", Kind.NUMBER),
        "run_id": Column("run_id", Kind.ID, nullable=True),
        "name": Column("name", long=True),
        "type": Column("type"),
        "uri": Column("uri", long=True),
        "path": Column("path", long=True),
        "created_at": Column("created_at", Kind.TIME),
    },
)


class TasksView(WireView):
    """`/runs/{run_id}/tasks`."""

    @extend_schema(
        parameters=[OpenApiParameter("parent", str, description="Only the tasks right below the group at this path.")],
        responses={200: ListTasks} | error_responses(),
        tags=[_TAG],
    )
    def get(self, request: Request, run_id: str) -> Response:
        """The task tree of a run with every attempt, at most 10,000 tasks."""
        run, parent = run_of(run_id), Query(request.GET).text("parent")
        tasks = models.Task.objects.filter(run=run).order_by("id")
        attempts = models.Attempt.objects.filter(run=run).order_by("number")
        if parent:
            tasks = tasks.filter(parent=parent)
            attempts = attempts.filter(path__in=tasks.values("path"))
        by_path: dict[str, list[models.Attempt]] = {}
        for attempt in attempts:
            by_path.setdefault(attempt.path, []).append(attempt)
        found = [_task(task, by_path.get(task.path, [])) for task in tasks[:_MOST_TASKS]]
        return Response(compact({"tasks": found, "total_size": tasks.count()}))


def _task(task: models.Task, attempts: Iterable[models.Attempt]) -> dict[str, Any]:
    run_id, _, path = task.cached_from.partition(":")
    return compact(
        {name: getattr(task, name) for name in _SAME_IN_TASKS}
        | {
            "id": task_uuid(str(task.run_id), task.path),
            "name": display_name(task.path),
            "cached_from": {"run_id": run_id, "path": path} if run_id else None,
            "ready_at": precise(task.ready_at),
            "started_at": precise(task.started_at),
            "finished_at": precise(task.finished_at),
            "attempts": [_attempt(attempt) for attempt in attempts],
        }
    )


def _attempt(attempt: models.Attempt) -> dict[str, Any]:
    fields = {name: getattr(attempt, name) for name in _SAME_IN_ATTEMPTS}
    times = {name: precise(getattr(attempt, name)) for name in _ATTEMPT_TIMES}
    return {name: value for name, value in (fields | times).items() if value not in (None, "")}


def precise(at: datetime | None) -> str | None:
    """A time with microseconds, None where it has not come."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


class LogView(WireView):
    """`/runs/{run_id}/log`."""

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "node", str, required=True, description="An attempt's name, or a task's path or id: its last attempt."
            ),
            OpenApiParameter("first", int, description="The number of the first line, from 1."),
            OpenApiParameter("limit", int, description="How many lines: 1,000 unless said, at most 10,000."),
            OpenApiParameter("search", str, description="Only lines that contain this; `first` is then the line to begin at."),
        ],
        responses={200: LogPage} | error_responses(),
        tags=[_TAG],
    )
    def get(self, request: Request, run_id: str) -> Response:
        """Lines of an attempt's log, with number, time and stream."""
        query = Query(request.GET)
        attempt = _attempt_in(run_id, query)
        refuse_removed(attempt)
        first, limit = query.integer("first") or 1, query.integer("limit") or 1000
        if first < 1 or limit < 1:
            raise invalid("`first` and `limit` must be at least 1.")
        key, limit = f"{attempt.run_id}/{attempt.name}", min(limit, _MOST_LINES)
        if needle := query.text("search"):
            lines = logs.search(key, needle, after=first - 1, limit=limit)
        else:
            lines = logs.read(key, first=first, limit=limit)
        streams = {"o": "stdout", "e": "stderr", "k": "system"}
        found = [
            {
                "number": line.number,
                "at": precise(datetime.fromtimestamp(line.at / 1_000_000, UTC)),
                "stream": streams.get(line.stream, line.stream),
                "text": line.text,
            }
            for line in lines
        ]
        return Response(compact({"lines": found, "total_size": logs.count(key), "ended": attempt.phase == Phase.ENDED}))


class TextLogView(WireView):
    """`/runs/{run_id}/log.txt`."""

    @extend_schema(
        parameters=[OpenApiParameter("node", str, required=True)], responses={(200, "text/plain"): OpenApiTypes.STR}, tags=[_TAG]
    )
    def get(self, request: Request, run_id: str) -> StreamingHttpResponse:
        """An attempt's whole log as text."""
        return text_log(request, _attempt_in(run_id, Query(request.GET)))


def _attempt_in(run_id: str, query: Query) -> models.Attempt:
    node = query.text("node")
    if not node:
        raise invalid("The query parameter `node` is required: an attempt's name, or a task's path or id.")
    return attempt_of(run_of(run_id), node)


class EventsView(WireView):
    """`/runs/{run_id}/events`."""

    @extend_schema(
        parameters=[
            OpenApiParameter("after", int, description="Only events with a greater number."),
            OpenApiParameter("limit", int, description="200 unless said, at most 1,000."),
            OpenApiParameter("path", str, description="Only events of the task at this path."),
        ],
        responses={200: ListEvents} | error_responses(),
        tags=[_TAG],
    )
    def get(self, request: Request, run_id: str) -> Response:
        """What happened in a run, in order."""
        run, query = run_of(run_id), Query(request.GET)
        limit = query.integer("limit") or 200
        if limit < 1:
            raise invalid("`limit` must be at least 1.")
        rows = models.RunEvent.objects.filter(run=run, number__gt=query.integer("after")).order_by("number")
        if path := query.text("path"):
            rows = rows.filter(path=path)
        events = [
            compact(
                {
                    "number": row.number,
                    "at": precise(row.at),
                    "kind": row.kind,
                    "path": row.path,
                    "attempt": row.attempt,
                    "data": row.data,
                }
            )
            for row in rows[: min(limit, _MOST_EVENTS)]
        ]
        return Response(compact({"events": events, "last_number": run.event_number}))


class ArtifactsView(WireView):
    """`/artifacts`."""

    @extend_schema(
        parameters=[OpenApiParameter("run_id", str, description="Only those that this run made."), *LISTING],
        responses={200: ListArtifacts} | error_responses(),
        tags=[_TAG],
    )
    def get(self, request: Request) -> Response:
        """List artifacts."""
        query = Query(request.GET)
        rows, of = models.Artifact.objects.filter(namespace=""), of_run(query.text("run_id"))
        page = ARTIFACTS.page(rows, query, where=of, count=tallying.count_of(models.ArtifactTally))
        return Response(page.answer("artifacts", [_artifact(row) for row in page.rows]))


class RunArtifactsView(WireView):
    """`/runs/{run_id}/artifacts`."""

    @extend_schema(parameters=LISTING, responses={200: ListArtifacts} | error_responses(), tags=[_TAG])
    def get(self, request: Request, run_id: str) -> Response:
        """List the artifacts that a run made."""
        run = run_of(run_id)
        page = ARTIFACTS.page(models.Artifact.objects.filter(run=run), Query(request.GET))
        return Response(page.answer("artifacts", [_artifact(row) for row in page.rows]))


class ArtifactView(WireView):
    """`/artifacts/{artifact_id}`."""

    @extend_schema(responses={200: ArtifactMessage} | error_responses(), tags=[_TAG])
    def get(self, request: Request, artifact_id: str) -> Response:
        """Get an artifact."""
        known = artifact_id.isascii() and artifact_id.isdigit() and len(artifact_id) < 19
        row = models.Artifact.objects.filter(pk=int(artifact_id)).first() if known else None
        if row is None:
            raise not_found("Artifact", artifact_id)
        return Response(_artifact(row))


def _artifact(row: models.Artifact) -> dict[str, Any]:
    return compact(
        {
            "artifact_id": str(row.pk),
            "run_id": str(row.run_id or ""),
            "path": row.path,
            "name": row.name,
            "type": row.type,
            "schema_version": row.schema_version,
            "uri": row.uri,
            "metadata": row.metadata,
            "size": str(row.size) if row.size else "",
            "created_at": precise(row.created_at),
        }
    )


def of_run(run_id: str) -> Q:
    """The condition that a row is of this run; none where none is named."""
    if not run_id:
        return Q()
    key = read_id(run_id)
    return Q(run_id=key) if key else Q(pk__in=[])
