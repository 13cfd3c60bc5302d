"""Complete orders out of rows: what an executor, or a pod that asks for it, needs for one attempt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django.conf import settings
from django.utils import timezone

from pipelines import specifications
from pipelines.spec.model import PipelineSpec
from runs import models
from runs.engine.inputs import value_in_scope
from runs.engine.model import AttemptFailed, AttemptStopped, Fact, Run, Snapshot, Values
from runs.execution.attempt import AttemptOrder
from runs.execution.order import complete
from runs.rows import RowTasks, run_value
from runs.vanished import makers, missing_inputs, missing_sentence

_USUAL_ACCOUNT = "pipeline-runner"  # what a run has whose user named none


def complete_orders(run: models.Run, wanted: Sequence[tuple[str, int]]) -> list[AttemptOrder | Fact]:
    """For each attempt, by path and number: its complete order, or the fact that there can be none.

    An attempt that is not the task's newest, or not under way, was stopped meanwhile.
    """
    spec = specifications.load(run.specification_id)
    value = run_value(run, most_iterations=settings.MOST_ITERATIONS)
    tasks = RowTasks(str(run.id))
    tasks.prefetch(path for path, _ in wanted)
    account = run.service_account if run.service_account != _USUAL_ACCOUNT else ""
    return [_complete(spec, value, tasks, path, number, run.namespace, account) for path, number in wanted]


def _complete(
    spec: PipelineSpec, run: Run, tasks: RowTasks, path: str, number: int, namespace: str, account: str
) -> AttemptOrder | Fact:
    task = tasks.get(path)
    if task is None or task.attempt != number or not task.under_way:
        return AttemptStopped(path, number, timezone.now())
    if missing := missing_inputs(task.inputs or Values()):
        why = missing_sentence(missing, makers(missing))
        return AttemptFailed(path, number, timezone.now(), why, "input-gone", retryable=False)
    task_spec, component = spec.at(path)
    try:
        return complete(
            spec=spec,
            component=component,
            task_spec=task_spec,
            run=run,
            task=task,
            number=number,
            namespace=namespace,
            resolve=partial(value_in_scope, Snapshot(run, spec, tasks), path),
            service_account=account,
        )
    except ValueError as error:
        return AttemptFailed(path, number, timezone.now(), str(error), "invalid-order", retryable=False)
