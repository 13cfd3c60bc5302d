"""KFP's v2beta1 API about runs: create, list, get, delete, archive, stop, retry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import Q
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kfdash.rights import by
from kfdash.wire.describing import LISTING, error_responses
from kfdash.wire.errors import Code, WireError, conflict, exists, invalid
from kfdash.wire.filters import Column, Kind
from kfdash.wire.listing import Listing
from kfdash.wire.messages import Empty, read_message
from kfdash.wire.reading import Query, read_id
from kfdash.wire.views import WireView
from pipelines import specifications
from pipelines.models import PipelineVersion
from pipelines.spec.parse import Document, parse_json
from pipelines.spec.problems import Refused
from runs import models, services, tallying
from runs.api.answers import new_run_answer, run_answer, run_answers
from runs.api.experiments import STORAGE_WORDS
from runs.api.requests import experiment_of, refused_arguments, run_of, version_of
from runs.api.serializers import ListRuns, RunMessage
from runs.engine.model import State

_TAG = "Runs"
_LONGEST_NAME = 255
_STATES = {state.value: (state.value,) for state in State} | {"FAILED": ("FAILED", "CANCELED"), "CANCELED": ()}
_OLD_WORDS = {
    "Pending": "PENDING",
    "Running": "RUNNING",
    "Succeeded": "SUCCEEDED",
    "Skipped": "SKIPPED",
    "Terminating": "CANCELING",
}

RUNS = Listing(
    "Run",
    {
        "id": Column("id", Kind.ID),
        "run_id": Column("id", Kind.ID),
        "name": Column("name"),
        "display_name": Column("name"),
        "created_at": Column("created_at", Kind.TIME),
        "finished_at": Column("finished_at", Kind.TIME, nullable=True),
        "description": Column("description", long=True),
        "scheduled_at": Column("scheduled_at", Kind.TIME, nullable=True),
        "storage_state": Column("storage_state", Kind.WORD, words=STORAGE_WORDS),
        "status": Column(
            "state", Kind.WORD, words={old: (new,) for old, new in _OLD_WORDS.items()} | {"Failed": _STATES["FAILED"]}
        ),
        "state": Column("state", Kind.WORD, words=_STATES),
        "namespace": Column("", Kind.FIXED),
        "experiment_id": Column("experiment_key", Kind.ID),
        "recurring_run_id": Column("", Kind.FIXED),
    },
)


class RunsView(WireView):
    """`/runs`."""

    @extend_schema(
        parameters=[
            OpenApiParameter("namespace", str, description="Ignored: there is one user."),
            OpenApiParameter("experiment_id", str, description="Only runs of this experiment."),
            *LISTING,
        ],
        responses={200: ListRuns} | error_responses(),
        tags=[_TAG],
    )
    def get(self, request: Request) -> Response:
        """List runs, archived ones too unless a filter leaves them out."""
        query = Query(request.GET)
        rows, of = models.Run.objects.defer("arguments").filter(namespace=""), Q()
        if experiment := query.text("experiment_id"):
            key = read_id(experiment)
            of = Q(experiment_key=key) if key else Q(pk__in=[])
        page = RUNS.page(rows, query, where=of, count=tallying.count_of(models.RunTally))
        return Response(page.answer("runs", run_answers(page.rows)))

    @extend_schema(request=RunMessage, responses={200: RunMessage} | error_responses(), tags=[_TAG])
    def post(self, request: Request) -> Response:
        """Launch a run of a version, or of the pipeline that comes along."""
        sent = read_message(request, RunMessage)
        return Response(new_run_answer(_launch(sent, by(request))))


class RunView(WireView):
    """`/runs/{run_id}`."""

    @extend_schema(responses={200: RunMessage} | error_responses(), tags=[_TAG])
    def get(self, request: Request, run_id: str) -> Response:
        """Get a run."""
        return Response(run_answer(run_of(run_id)))

    @extend_schema(responses={200: Empty} | error_responses(), tags=[_TAG])
    def delete(self, request: Request, run_id: str) -> Response:
        """Delete a run with its artifacts and logs; what still runs is ended."""
        services.delete_run(run_of(run_id))
        return Response({})


class _RunVerbView(WireView):
    """A verb on a run: POST without a body."""

    carry_out: Callable[[models.Run, str], None]
    http_method_names = ["post"]

    def post(self, request: Request, run_id: str) -> Response:
        type(self).carry_out(run_of(run_id), by(request))
        return Response({})


def _archive(run: models.Run, by: str) -> None:
    services.archive_run(run)


def _restore(run: models.Run, by: str) -> None:
    try:
        services.restore_run(run)
    except services.ExperimentArchived as error:
        raise WireError(Code.FAILED_PRECONDITION, str(error)) from None


def _stop(run: models.Run, by: str) -> None:
    try:
        services.stop_run(run, by=by)
    except services.NotStoppable as error:
        raise invalid(f"Failed to terminate a run: {error}") from None


def _retry(run: models.Run, by: str) -> None:
    try:
        services.retry_run(run, by=by)
    except services.NotRetriable as error:
        raise conflict(f"Failed to retry run {run.pk}: {error}") from None


def _verb(name: str, summary: str, carry_out: Callable[[models.Run, str], None]) -> type[WireView]:
    view = type(name, (_RunVerbView,), {"carry_out": staticmethod(carry_out), "__doc__": summary})
    return extend_schema(request=None, responses={200: Empty} | error_responses(), tags=[_TAG], description=summary)(view)


ArchiveRunView = _verb("ArchiveRunView", "Put a run into the archive.", _archive)
UnarchiveRunView = _verb("UnarchiveRunView", "Take a run out of the archive.", _restore)
TerminateRunView = _verb("TerminateRunView", "Stop a run: exit tasks still run.", _stop)
RetryRunView = _verb("RetryRunView", "Let a failed run go on.", _retry)


# --- launching ------------------------------------------------------------------------------------------------------


def _launch(sent: dict[str, Any], by: str) -> models.Run:
    name = sent.get("display_name", "")
    if not name:
        raise invalid("The run needs a display_name.")
    if len(name) > _LONGEST_NAME or len(sent.get("service_account", "")) > _LONGEST_NAME:
        raise invalid(f"The run's display_name and service_account may have at most {_LONGEST_NAME} characters.")
    if sent.get("plugins_output"):
        raise conflict("plugins_output belongs to the server; it cannot be sent.")
    if recurring := sent.get("recurring_run_id"):
        raise invalid(f"Recurring run {recurring[:80]} not found.")
    experiment = experiment_of(sent["experiment_id"]) if sent.get("experiment_id") else None
    config = sent.get("runtime_config", {})
    try:
        source = _source(sent)
        with transaction.atomic():  # a specification that came along is not kept when its arguments are refused
            version = None if isinstance(source, Document) else source
            specification = specifications.store(source) if isinstance(source, Document) else source.specification
            return services.launch_run(
                specification=specification,
                version=version,
                arguments=config.get("parameters", {}),
                name=name,
                description=sent.get("description", ""),
                experiment=experiment,
                pipeline_root=config.get("pipeline_root", ""),
                service_account=sent.get("service_account", ""),
                by=by,
                run_id=_own_id(sent.get("run_id", "")),
                scheduled_at=sent.get("scheduled_at"),
            )
    except Refused as error:
        raise invalid("\n".join(str(problem) for problem in error.problems)) from None
    except services.ArgumentsRefused as error:
        raise refused_arguments(error) from None
    except services.NotLaunchable as error:
        raise WireError(Code.FAILED_PRECONDITION, str(error)) from None


def _own_id(text: str) -> Any:
    """An id that the client chose for its run."""
    if not text:
        return None
    key = read_id(text)
    if key is None:
        raise invalid(f"The run_id {text[:80]!r} is no UUID.")
    if models.Run.objects.filter(pk=key).exists():
        raise exists(f"There is a run with the id {key} already.")
    return key


def _source(sent: dict[str, Any]) -> PipelineVersion | Document:
    """What is to run: a version, or the pipeline that is in the request."""
    if reference := sent.get("pipeline_version_reference"):
        return version_of(reference.get("pipeline_id", ""), reference.get("pipeline_version_id", ""))
    inline = sent.get("pipeline_spec")
    if not inline:
        raise invalid("The run needs a pipeline: a pipeline_version_reference or a pipeline_spec.")
    platform = None
    if "pipeline_spec" in inline:
        inline, platform = inline["pipeline_spec"], inline.get("platform_spec")
    return parse_json(inline, platform)
