"""Launching a run."""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from access.services import record
from kfdash import metrics, outbox
from pipelines import specifications
from pipelines.models import PipelineVersion, Specification
from pipelines.spec.arguments import check_arguments, expand_macros
from pipelines.spec.model import PipelineSpec
from pipelines.spec.platform import local_notices
from runs import models
from runs.engine.model import CacheUse, State
from runs.services.experiments import default_experiment
from runs.services.templating import TemplatesOff, checked_pod_template
from runs.store import NotReadable, open_store
from runs.stores import store_options

_COUNT = (  # in one statement, because from it to the commit others wait
    "INSERT INTO runs_namespacecounter (namespace, last_number) VALUES (%s, 1) "
    "ON CONFLICT (namespace) DO UPDATE SET last_number = runs_namespacecounter.last_number + 1 RETURNING last_number"
)
_SUFFIX = string.ascii_lowercase + string.digits


class ArgumentsRefused(Exception):
    """Arguments that do not fit a pipeline's inputs: `errors` has a sentence for each input."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = dict(errors)


class NotLaunchable(Exception):
    """A pipeline that cannot run here: the message names what it needs and where to get it."""


def launch_run(
    *,
    specification: Specification,
    arguments: Mapping[str, Any],
    name: str = "",
    description: str = "",
    experiment: models.Experiment | None = None,
    version: PipelineVersion | None = None,
    cache: CacheUse = CacheUse.USE,
    pipeline_root: str = "",
    service_account: str = "",
    namespace: str = "",
    by: str = "",
    run_id: uuid.UUID | None = None,
    scheduled_at: datetime | None = None,
    tags: Mapping[str, str] | None = None,
    pod_template: Mapping[str, Any] | None = None,
    origin: models.Run | None = None,
    again_from: Mapping[str, Any] | None = None,
) -> models.Run:
    """Creates a run in PENDING; its work begins once the transaction has committed. `origin` and `again_from` are `run_again`'s.

    Raises ArgumentsRefused, NotLaunchable, and Refused for a pod template that no run may have; then nothing was written.
    """
    spec = specifications.load(specification.pk)
    if errors := check_arguments(spec, dict(arguments)):
        raise ArgumentsRefused(errors)
    _refuse_what_cannot_run_here(spec)
    _check_root(pipeline_root)
    template = _checked_template(pod_template or {})
    now = timezone.now()
    run_id = run_id or uuid.uuid4()
    expanded = expand_macros(dict(arguments), run_id=str(run_id), created_at=now, scheduled_at=scheduled_at)
    base = spec.name.rpartition("/")[2]
    with transaction.atomic(savepoint=False):
        experiment = experiment or default_experiment(namespace=namespace)
        run = models.Run.objects.create(
            id=run_id,
            namespace=namespace,
            number=_next_number(namespace),
            name=name or spec.display_name or spec.name,
            resource_name=f"{base}-{''.join(secrets.choice(_SUFFIX) for _ in range(5))}",
            description=description,
            experiment=experiment,
            experiment_key=experiment.pk,
            specification=specification,
            version=version,
            version_key=version.pk if version else None,
            pipeline_key=version.pipeline_id if version else None,
            parameters=dict(arguments),
            arguments=expanded,
            requested_root=pipeline_root,
            pipeline_root=_run_root(pipeline_root or settings.PIPELINE_ROOT, spec.name, run_id),
            service_account=service_account or "pipeline-runner",
            pod_template=template,
            cache=cache.value,
            tags=dict(tags or {}),
            origin=origin,
            again_from=again_from,
            state_history=[{"update_time": now.isoformat(), "state": State.PENDING.value}],
            created_at=now,
            created_by=by,
            scheduled_at=scheduled_at or now,
        )
        models.Experiment.objects.filter(pk=experiment.pk).update(last_run_created_at=now)
        outbox.enqueue_drive(str(run.pk))
        record(verb="launched", what="run", name=f"{run.name} #{run.number}", by=by)
        transaction.on_commit(metrics.LAUNCHED.inc)
    return run


def _refuse_what_cannot_run_here(spec: PipelineSpec) -> None:
    if settings.EXECUTOR == "kubernetes":
        return
    if refusals := [notice for notice in local_notices(spec) if notice.refuses]:
        raise NotLaunchable(" ".join(dict.fromkeys(notice.sentence for notice in refusals)))


def _check_root(pipeline_root: str) -> None:
    """Steps as pods write to many stores, but not to any: it is said before a step has worked for nothing."""
    if not pipeline_root or settings.EXECUTOR != "kubernetes":
        return
    try:
        open_store(pipeline_root.partition("?")[0], store_options(pipeline_root))
    except NotReadable as error:
        raise NotLaunchable(f"The pipeline root {pipeline_root.partition('?')[0]} cannot be used. {error}") from None


def _checked_template(template: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return checked_pod_template(template)
    except TemplatesOff as error:
        raise NotLaunchable(str(error)) from None


def _next_number(namespace: str) -> int:
    """The next run number of a namespace; inside a transaction, whose lock keeps the numbers without gaps or doubles."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [namespace])
        return int(cursor.fetchone()[0])


def _run_root(root: str, pipeline_name: str, run_id: uuid.UUID) -> str:
    """`<root>/<pipeline>/<run id>`; a query string (the store's options) stays at the end."""
    base, mark, query = root.partition("?")
    return f"{base.rstrip('/')}/{pipeline_name}/{run_id}{mark}{query}"
