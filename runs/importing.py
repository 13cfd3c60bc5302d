"""Carries importers out: registers the artifact, or finds it again, and hands the fact to the driver."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from kfdash import logcontext
from pipelines import specifications
from pipelines.spec import paths
from pipelines.spec.constants import run_constants, task_uuid
from pipelines.spec.model import ImporterSpec
from runs import models
from runs.engine.model import ArtifactValue, AttemptFailed, AttemptStopped, AttemptSucceeded, Fact, Values
from runs.execution.importer import ImportRefused, imported
from runs.ordering import done, inputs_of, open_order, tell

_LOOKED_AT = 200  # newest artifacts of one URI that are compared for reuse


def carry_out(order_id: int) -> None:
    """Carries out the order to start an importer; one that was carried out already, or is gone, is left alone."""
    if order := open_order(order_id):
        with logcontext.about(run=order.run_id, task=order.path, attempt=order.attempt):
            tell(order, _fact(order))
            done([order])


def _fact(order: models.Order) -> Fact:
    now = timezone.now()
    inputs = inputs_of(order)
    if inputs is None:
        return AttemptStopped(order.path, order.attempt, now)
    try:
        name, value = _imported(order, inputs)
    except ImportRefused as error:
        return AttemptFailed(order.path, order.attempt, now, str(error), "import", retryable=False)
    return AttemptSucceeded(order.path, order.attempt, now, Values(artifacts={name: [value]}), running_at=now)


def _imported(order: models.Order, inputs: Values) -> tuple[str, ArtifactValue]:
    run = order.run
    spec = specifications.load(run.specification_id)
    _, component = spec.at(order.path)
    importer = spec.executor_of(component)
    assert isinstance(importer, ImporterSpec), f"{order.path} is no importer"
    constants = run_constants(
        run_id=str(run.id),
        run_name=run.name,
        resource_name=run.resource_name,
        pipeline_root=run.pipeline_root,
        task_key=paths.key(order.path),
        task_uuid=task_uuid(str(run.id), order.path),
        created_at=run.created_at,
        scheduled_at=run.scheduled_at,
    )
    name, value = imported(importer, component, inputs, constants, artifacts_dir=str(settings.ARTIFACTS_DIR))
    if not importer.reimport and (known := _known(run, value)):
        value["id"] = known
    return name, value


def _known(run: models.Run, value: ArtifactValue) -> int | None:
    """The newest artifact that is the same in type, URI and metadata, within the pipeline."""
    candidates = models.Artifact.objects.filter(
        namespace=run.namespace,
        uri=value["uri"],
        type=value["type"],
        schema_version=value["schema_version"],
        gone_at=None,
        run__specification__name=run.specification.name,
    )
    newest = candidates.order_by("-created_at", "-id").values_list("pk", "metadata")[:_LOOKED_AT]
    return next((pk for pk, metadata in newest if metadata == value["metadata"]), None)
