"""`/apis/kfdash/v1/runs`: what can be done with a run: stop, pause, retry, run again from a step, tags; and with many at once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db.models import Q
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kfdash.rights import by
from kfdash.tagged import tagged
from kfdash.wire.describing import LISTING, error_responses
from kfdash.wire.errors import Code, WireError, conflict, invalid, not_found
from kfdash.wire.filters import Column, Kind
from kfdash.wire.listing import Listing
from kfdash.wire.messages import Empty, compact, read_message
from kfdash.wire.reading import Query, read_id
from kfdash.wire.views import WireView
from pipelines.labels import tag_problems
from pipelines.models import PipelineVersion
from pipelines.spec.problems import Refused
from runs import models, services, tallying
from runs.api.experiments import STORAGE_WORDS
from runs.api.inside import precise
from runs.api.messages import (
    AgainRequest,
    BulkMessage,
    BulkRequest,
    LaunchRequest,
    ListOwnRuns,
    ListUses,
    MissMessage,
    OwnRun,
    PlanMessage,
    RunChanges,
    StopRequest,
)
from runs.api.requests import experiment_of, refused_arguments, run_of, version_of
from runs.engine.model import CacheUse, State
from runs.removed import removed_sentence

_TAG = "kfdash"
_LONGEST_NAME, _MOST_PATHS, _MOST_USES = 255, 1000, 200
_SAME = (
    "number", "description", "parameters", "cache", "tags", "pod_template", "storage_state", "state", "reason",
    "stop", "stopped_by", "paused", "created_by",
)  # fmt: skip

OWN_RUNS = Listing(
    "OwnRun",
    {
        "run_id": Column("id", Kind.ID),
        "number": Column("number", Kind.NUMBER),
        "display_name": Column("name"),
        "created_at": Column("created_at", Kind.TIME),
        "finished_at": Column("finished_at", Kind.TIME, nullable=True),
        "state": Column("state", Kind.WORD, words={state.value: (state.value,) for state in State}),
        "storage_state": Column("storage_state", Kind.WORD, words=STORAGE_WORDS),
        "experiment_id": Column("experiment_key", Kind.ID),
        "pipeline_id": Column("pipeline_key", Kind.ID, nullable=True),
        "origin_id": Column("origin_id", Kind.ID, nullable=True),
    },
    tagged=True,
)


def own_run(row: models.Run) -> dict[str, Any]:
    """A run's message."""
    again = None
    if row.again_from:
        again = {"run_id": str(row.origin_id or ""), "number": row.again_from["number"], "paths": row.again_from["paths"]}
    return compact(
        {name: getattr(row, name) for name in _SAME}
        | {
            "run_id": str(row.pk),
            "display_name": row.name,
            "experiment_id": str(row.experiment_key),
            "pipeline_id": str(row.pipeline_key or ""),
            "pipeline_version_id": str(row.version_key or ""),
            "again_from": again and compact(again),
            "kept": row.kept_at is not None,
            "removed": [said for what in ("logs", "artifacts") if (said := removed_sentence(row, what))],  # type: ignore[arg-type]
            "created_at": precise(row.created_at),
            "started_at": precise(row.started_at),
            "finished_at": precise(row.finished_at),
        }
    )


@contextmanager
def _refusals() -> Iterator[None]:
    """What services raise, as errors of the wire."""
    try:
        yield
    except services.ArgumentsRefused as error:
        raise refused_arguments(error) from None
    except Refused as error:
        raise invalid("\n".join(str(problem) for problem in error.problems)) from None
    except services.TooMany as error:
        raise invalid(str(error)) from None
    except (services.NotLaunchable, services.ExperimentArchived) as error:
        raise WireError(Code.FAILED_PRECONDITION, str(error)) from None
    except (services.NotStoppable, services.NotPausable, services.NotRetriable, services.NotAgain) as error:
        raise conflict(str(error)) from None


class OwnRunsView(WireView):
    """`/runs`."""

    @extend_schema(
        parameters=[
            *LISTING,
            OpenApiParameter("tag", str, description="Only runs with this tag: `key` or `key=value`."),
        ],
        responses={200: ListOwnRuns} | error_responses(),
        tags=[_TAG],
    )
    def get(self, request: Request) -> Response:
        """List runs; a filter may name a tag as `tags.<key>`."""
        query = Query(request.GET)
        rows = models.Run.objects.defer("arguments").filter(namespace="")
        of = tagged(tag) if (tag := query.text("tag")) else Q()
        page = OWN_RUNS.page(rows, query, where=of, count=tallying.count_of(models.RunTally))
        return Response(page.answer("runs", [own_run(row) for row in page.rows]))

    @extend_schema(request=LaunchRequest, responses={200: OwnRun} | error_responses(), tags=[_TAG])
    def post(self, request: Request) -> Response:
        """Launch a run of a version, with tags, a choice about the cache, and a pod template where steps are pods."""
        sent = read_message(request, LaunchRequest)
        with _refusals():
            run = _launched(sent, by(request))
        return Response(own_run(run))


def _launched(sent: Mapping[str, Any], who: str) -> models.Run:
    name = _name(sent)
    if not name:
        raise invalid("The run needs a display_name.")
    if len(account := sent.get("service_account", "")) > _LONGEST_NAME:
        raise invalid(f"The service_account may have at most {_LONGEST_NAME} characters.")
    reference = sent.get("pipeline_version_reference", {})
    version = version_of(reference.get("pipeline_id", ""), reference.get("pipeline_version_id", ""))
    if problems := tag_problems(tags := sent.get("tags", {})):
        raise Refused(tuple(problems))
    return services.launch_run(
        specification=version.specification,
        version=version,
        arguments=sent.get("parameters", {}),
        name=name,
        description=sent.get("description", ""),
        experiment=experiment_of(sent["experiment_id"]) if sent.get("experiment_id") else None,
        cache=_cache(sent) or CacheUse.USE,
        pipeline_root=sent.get("pipeline_root", ""),
        service_account=account,
        tags=tags,
        pod_template=sent.get("pod_template"),
        by=who,
    )


def _name(sent: Mapping[str, Any]) -> str:
    name: str = sent.get("display_name", "")
    if len(name) > _LONGEST_NAME:
        raise invalid(f"The display_name may have at most {_LONGEST_NAME} characters.")
    return name


def _cache(sent: Mapping[str, Any]) -> CacheUse | None:
    cache: str = sent.get("cache", "")
    if cache and cache not in set(CacheUse):
        raise invalid(f"cache is {cache[:80]!r}; it must be one of {', '.join(CacheUse)}.")
    return CacheUse(cache) if cache else None


class OwnRunView(WireView):
    """`/runs/{run_id}`."""

    @extend_schema(responses={200: OwnRun} | error_responses(), tags=[_TAG])
    def get(self, request: Request, run_id: str) -> Response:
        """Get a run with its tags, and whether it is paused."""
        return Response(own_run(run_of(run_id)))

    @extend_schema(request=RunChanges, responses={200: OwnRun} | error_responses(), tags=[_TAG])
    def patch(self, request: Request, run_id: str) -> Response:
        """Replace the tags of a run."""
        sent, run = read_message(request, RunChanges), run_of(run_id)
        if "tags" in sent:
            with _refusals():
                services.set_run_tags(run, sent["tags"])
        return Response(own_run(run))

    @extend_schema(responses={200: Empty} | error_responses(), tags=[_TAG])
    def delete(self, request: Request, run_id: str) -> Response:
        """Delete a run with its artifacts, logs and cache entries; what still runs is ended."""
        services.delete_run(run_of(run_id))
        return Response({})


# --- verbs ------------------------------------------------------------------------------------------------------------


class _OwnVerbView(WireView):
    """A verb on a run: POST; answers with the run."""

    carry_out: Callable[[models.Run, Request], None]
    http_method_names = ["post"]

    def post(self, request: Request, run_id: str) -> Response:
        run = run_of(run_id)
        with _refusals():
            type(self).carry_out(run, request)
        return Response(own_run(run_of(run_id)))


def _stop(run: models.Run, request: Request) -> None:
    services.stop_run(run, by=by(request), force=read_message(request, StopRequest).get("force", False))


def _verb(name: str, summary: str, carry_out: Callable[[models.Run, Request], None], takes: Any = None) -> type[WireView]:
    view = type(name, (_OwnVerbView,), {"carry_out": staticmethod(carry_out), "__doc__": summary})
    return extend_schema(request=takes, responses={200: OwnRun} | error_responses(), tags=[_TAG], description=summary)(view)


StopOwnRunView = _verb("StopOwnRunView", "Stop a run: gracefully, or by force.", _stop, StopRequest)
PauseOwnRunView = _verb(
    "PauseOwnRunView", "Start no new steps of a run.", lambda run, request: services.pause_run(run, by=by(request))
)
ResumeOwnRunView = _verb(
    "ResumeOwnRunView", "Start what a pause held back.", lambda run, request: services.resume_run(run, by=by(request))
)
RetryOwnRunView = _verb(
    "RetryOwnRunView",
    "Let a run that failed or was stopped go on in place.",
    lambda run, request: services.retry_run(run, by=by(request)),
)
ArchiveOwnRunView = _verb("ArchiveOwnRunView", "Put a run into the archive.", lambda run, _: services.archive_run(run))
KeepOwnRunView = _verb(
    "KeepOwnRunView",
    "Keep a run: no rule of retention removes anything of it.",
    lambda run, request: services.keep_run(run, by=by(request)),
)
LetOwnRunGoView = _verb(
    "LetOwnRunGoView", "Keep a run no more: rules of retention are about it again.", lambda run, _: services.let_run_go(run)
)
RestoreOwnRunView = _verb("RestoreOwnRunView", "Take a run out of the archive.", lambda run, _: services.restore_run(run))


# --- running again ----------------------------------------------------------------------------------------------------


class PlanAgainView(WireView):
    """`/runs/{run_id}:plan`."""

    @extend_schema(request=AgainRequest, responses={200: PlanMessage} | error_responses(), tags=[_TAG])
    def post(self, request: Request, run_id: str) -> Response:
        """Say what a run again from these steps would run, reuse and skip; nothing is launched."""
        run, sent = run_of(run_id), read_message(request, AgainRequest)
        with _refusals():
            plan = services.plan_again(run, **_asked(sent)).to_json()
        steps = [compact({**step, "cached_from": _cached_from(step["from"]), "from": None}) for step in plan["steps"]]
        return Response(compact({**plan, "steps": steps, "parameters": plan["arguments"], "arguments": None}))


class RunAgainView(WireView):
    """`/runs/{run_id}:again`."""

    @extend_schema(request=AgainRequest, responses={200: OwnRun} | error_responses(), tags=[_TAG])
    def post(self, request: Request, run_id: str) -> Response:
        """Launch a run that runs these steps and what depends on them again, and takes the rest over."""
        run, sent = run_of(run_id), read_message(request, AgainRequest)
        name = _name(sent)
        with _refusals():
            again = services.run_again(
                run,
                **_asked(sent),
                name=name,
                description=sent.get("description", ""),
                tags=sent.get("tags"),
                pod_template=sent.get("pod_template"),
                by=by(request),
            )
        return Response(own_run(again))


def _asked(sent: Mapping[str, Any]) -> dict[str, Any]:
    paths = sent.get("from_paths", [])
    if len(paths) > _MOST_PATHS:
        raise invalid(f"from_paths may have at most {_MOST_PATHS:,} paths; choose the groups that they are in.")
    version: PipelineVersion | None = None
    if reference := sent.get("pipeline_version_reference"):
        version = version_of(reference.get("pipeline_id", ""), reference.get("pipeline_version_id", ""))
    return {
        "from_paths": paths,
        "arguments": sent.get("parameters"),
        "version": version,
        "cache": _cache(sent),
    }


def _cached_from(text: str) -> dict[str, str] | None:
    run_id, _, path = text.partition(":")
    return {"run_id": run_id, "path": path} if run_id else None


# --- many at once -----------------------------------------------------------------------------------------------------


class BulkView(WireView):
    """`/runs:bulk`."""

    @extend_schema(request=BulkRequest, responses={200: BulkMessage} | error_responses(), tags=[_TAG])
    def post(self, request: Request) -> Response:
        """Stop, archive, restore, delete or tag many runs; says for which it was done."""
        sent = read_message(request, BulkRequest)
        ids = [_id(text) for text in sent.get("run_ids", [])]
        with _refusals():
            bulk = _in_bulk(sent, ids, by(request))
        return Response(compact(bulk.to_json()))


def _in_bulk(sent: Mapping[str, Any], ids: list[uuid.UUID], by: str) -> services.Bulk:
    match action := sent.get("action", ""):
        case "stop":
            return services.stop_runs(ids, by=by, force=sent.get("force", False))
        case "archive":
            return services.archive_runs(ids)
        case "restore":
            return services.restore_runs(ids)
        case "delete":
            return services.delete_runs(ids)
        case "tag":
            return services.tag_runs(ids, add=sent.get("add"), remove=sent.get("remove", ()))
    raise invalid(f"The action is {action[:80]!r}; it must be stop, archive, restore, delete or tag.")


def _id(text: str) -> uuid.UUID:
    key = read_id(text)
    if key is None:
        raise invalid(f"The run_id {text[:80]!r} is no UUID.")
    return key


# --- a step and the cache ---------------------------------------------------------------------------------------------

_PATH = OpenApiParameter("path", str, required=True, description="The path of a step.")


class MissView(WireView):
    """`/runs/{run_id}/miss`."""

    @extend_schema(parameters=[_PATH], responses={200: MissMessage} | error_responses(), tags=[_TAG])
    def get(self, request: Request, run_id: str) -> Response:
        """Say why a step was not answered from the cache: the nearest earlier task, and what differed."""
        run, path = run_of(run_id), _path(request)
        try:
            explained = services.explain_miss(run, path).to_json()
        except models.Task.DoesNotExist:
            raise not_found("Task", path[:200]) from None
        return Response(compact(explained))


class UsesView(WireView):
    """`/runs/{run_id}/uses`."""

    @extend_schema(parameters=[_PATH], responses={200: ListUses} | error_responses(), tags=[_TAG])
    def get(self, request: Request, run_id: str) -> Response:
        """List the tasks of other runs that were answered with this step's outputs."""
        rows = services.cached_tasks_of(run_of(run_id), _path(request))
        uses = [
            {"run_id": str(row.run_id), "number": row.run.number, "path": row.path, "finished_at": precise(row.finished_at)}
            for row in rows[:_MOST_USES]
        ]
        return Response(compact({"uses": uses, "total_size": rows.count()}))


def _path(request: Request) -> str:
    path = Query(request.GET).text("path")
    if not path:
        raise invalid("The query parameter `path` is required: the path of a step.")
    return path
