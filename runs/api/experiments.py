"""KFP's v2beta1 API about experiments."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kfdash.rights import by
from kfdash.wire.describing import LISTING, error_responses
from kfdash.wire.errors import conflict, exists, invalid
from kfdash.wire.filters import Column, Kind, read_filter
from kfdash.wire.listing import Listing
from kfdash.wire.messages import Empty, read_message
from kfdash.wire.reading import Query, read_id
from kfdash.wire.views import WireView
from runs import models, services
from runs.api import lookups
from runs.api.answers import experiment_answer
from runs.api.requests import experiment_of
from runs.api.serializers import ExperimentMessage, ListExperiments

_TAG = "Experiments"
_LONGEST_NAME = 128
STORAGE_WORDS = {"AVAILABLE": ("AVAILABLE",), "ARCHIVED": ("ARCHIVED",)}

EXPERIMENTS = Listing(
    "Experiment",
    {
        "id": Column("id", Kind.ID),
        "experiment_id": Column("id", Kind.ID),
        "name": Column("name"),
        "display_name": Column("name"),
        "created_at": Column("created_at", Kind.TIME),
        "last_run_created_at": Column("last_run_created_at", Kind.TIME, nullable=True),
        "description": Column("description", long=True),
        "namespace": Column("", Kind.FIXED),
        "storage_state": Column("storage_state", Kind.WORD, words=STORAGE_WORDS),
    },
)


class ExperimentsView(WireView):
    """`/experiments`."""

    @extend_schema(
        parameters=[OpenApiParameter("namespace", str, description="Ignored: there is one user."), *LISTING],
        responses={200: ListExperiments} | error_responses(),
        tags=[_TAG],
    )
    def get(self, request: Request) -> Response:
        """List experiments. There is always one called Default."""
        query = Query(request.GET)
        services.default_experiment()
        page = EXPERIMENTS.page(models.Experiment.objects.filter(namespace=""), query)
        if not page.rows and (name := lookups.asked_name(read_filter(query.text("filter")))):
            lookups.found_nothing(name)
        return Response(page.answer("experiments", [experiment_answer(row) for row in page.rows]))

    @extend_schema(request=ExperimentMessage, responses={200: ExperimentMessage} | error_responses(), tags=[_TAG])
    def post(self, request: Request) -> Response:
        """Create an experiment."""
        sent = read_message(request, ExperimentMessage)
        name = sent.get("display_name", "")
        if not name.strip():
            raise invalid("The experiment needs a display_name.")
        if len(name) > _LONGEST_NAME:
            raise invalid(f"The experiment's name has {len(name)} characters; at most {_LONGEST_NAME} are allowed.")
        description = sent.get("description", "")
        told = lookups.was_told(name)
        try:
            row = services.create_experiment(name=name, description=description, by=by(request))
        except services.ExperimentExists as error:
            found = models.Experiment.objects.filter(namespace="", name=name, description=description).first()
            if not told or found is None:
                raise exists(str(error)) from None
            row = found
        return Response(experiment_answer(row))


class ExperimentView(WireView):
    """`/experiments/{experiment_id}`."""

    @extend_schema(responses={200: ExperimentMessage} | error_responses(), tags=[_TAG])
    def get(self, request: Request, experiment_id: str) -> Response:
        """Get an experiment."""
        return Response(experiment_answer(experiment_of(experiment_id)))

    @extend_schema(responses={200: Empty} | error_responses(), tags=[_TAG])
    def delete(self, request: Request, experiment_id: str) -> Response:
        """Delete an experiment; its runs stay."""
        try:
            services.delete_experiment(experiment_of(experiment_id))
        except services.DefaultExperimentStays as error:
            raise conflict(str(error)) from None
        return Response({})


class ExperimentArchiveView(WireView):
    """`/experiments/{experiment_id}:archive`."""

    @extend_schema(request=None, responses={200: Empty} | error_responses(), tags=[_TAG])
    def post(self, request: Request, experiment_id: str) -> Response:
        """Archive an experiment and all its runs. An unknown id is fine, as in KFP."""
        for row in _known(experiment_id):
            services.archive_experiment(row)
        return Response({})


class ExperimentUnarchiveView(WireView):
    """`/experiments/{experiment_id}:unarchive`."""

    @extend_schema(request=None, responses={200: Empty} | error_responses(), tags=[_TAG])
    def post(self, request: Request, experiment_id: str) -> Response:
        """Take an experiment out of the archive; its runs stay there. An unknown id is fine, as in KFP."""
        for row in _known(experiment_id):
            services.restore_experiment(row)
        return Response({})


def _known(text: str) -> list[models.Experiment]:
    key = read_id(text)
    return list(models.Experiment.objects.filter(pk=key)) if key else []
