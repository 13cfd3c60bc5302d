"""Running again from chosen steps of a run: the plan that is shown, and the run that does as the plan says.

Both are made by the same look of the engine at the same things: the plan in memory, the run in its first transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.utils import timezone

from pipelines import specifications
from pipelines.labels import tag_problems
from pipelines.models import PipelineVersion, Specification
from pipelines.spec import paths
from pipelines.spec.arguments import check_arguments, expand_macros
from pipelines.spec.model import PipelineSpec
from pipelines.spec.problems import Refused
from runs import caching, models
from runs.earlier import all_tasks
from runs.engine import model as engine
from runs.engine import plan as planning
from runs.execution.order import uses_workspace
from runs.services.launching import ArgumentsRefused, launch_run


class NotAgain(Exception):
    """The run cannot be run again like this. The message is for people."""


@dataclass(frozen=True)
class Plan:
    """What a run again will do, and with which arguments: `dropped` do not fit the version, `new` are its own inputs."""

    what: planning.Plan
    arguments: dict[str, Any]
    dropped: tuple[str, ...]
    new: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """`{steps: [{path, kind, do, why, sure, from}], counts: {run, reuse, skip}, gone, arguments, dropped, new}`."""
        return {
            **self.what.to_json(),
            "arguments": self.arguments,
            "dropped": list(self.dropped),
            "new": list(self.new),
        }


def carry_arguments(
    old_spec: PipelineSpec, new_spec: PipelineSpec, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """Arguments of one version for another, by name: (those that fit, names that were dropped, names of inputs that are new)."""
    errors = check_arguments(new_spec, dict(arguments))
    inputs = new_spec.root.input_parameters
    kept = {name: value for name, value in arguments.items() if name in inputs and name not in errors}
    dropped = tuple(name for name in arguments if name not in kept)
    return kept, dropped, tuple(name for name in inputs if name not in old_spec.root.input_parameters)


def plan_again(
    run: models.Run,
    *,
    from_paths: Collection[str],
    arguments: Mapping[str, Any] | None = None,
    version: PipelineVersion | None = None,
    cache: engine.CacheUse | None = None,
) -> Plan:
    """What `run_again` with the same arguments will do. Raises NotAgain and ArgumentsRefused. Nothing is written."""
    wanted = _wanted(run, from_paths, arguments, version)
    now = timezone.now()
    tasks, earlier_paths = all_tasks(run)
    value = _run_value(run, wanted, cache, now)
    bound = partial(uses_workspace, wanted.spec)
    again = engine.Again(str(run.pk), wanted.old_spec, tasks, frozenset(from_paths), frozenset(wanted.same), bound)

    def answer(task: engine.Task, order: engine.LookInCache) -> engine.CacheAnswered:
        key = caching.key_of(wanted.spec, value.resource_name, task)
        entry = caching.find(run.namespace, wanted.spec.name, key) if order.use else None
        if entry is None:
            return engine.CacheAnswered(order.path, now, key)
        outputs = engine.Values.from_json(entry.outputs)
        return engine.CacheAnswered(order.path, now, key, outputs, f"{entry.run_id}:{entry.path}")

    snapshot = engine.Snapshot(value, wanted.spec, tasks, again)
    return Plan(planning.plan(snapshot, answer, now, earlier_paths), wanted.arguments, wanted.dropped, wanted.new)


def run_again(
    run: models.Run,
    *,
    from_paths: Collection[str],
    arguments: Mapping[str, Any] | None = None,
    version: PipelineVersion | None = None,
    cache: engine.CacheUse | None = None,
    name: str = "",
    description: str = "",
    experiment: models.Experiment | None = None,
    tags: Mapping[str, str] | None = None,
    pod_template: Mapping[str, Any] | None = None,
    by: str = "",
) -> models.Run:
    """Launches a run that takes over from this one all but `from_paths` and what depends on them.

    A path without indices (`root/each/score`) stands for the step in every iteration.

    Without arguments it has those of the run, as far as they fit the version; what is not said is as in the run. Raises
    NotAgain, ArgumentsRefused, NotLaunchable, and Refused for tags or a pod template that no run can have; then nothing was
    written.
    """
    wanted = _wanted(run, from_paths, arguments, version)
    if problems := tag_problems(tags or {}):
        raise Refused(tuple(problems))
    return launch_run(
        specification=wanted.specification,
        version=wanted.version,
        arguments=wanted.arguments,
        name=name or run.name,
        description=description or run.description,
        experiment=experiment or run.experiment,
        cache=cache or engine.CacheUse(run.cache),
        pipeline_root=run.requested_root,
        service_account=run.service_account,
        namespace=run.namespace,
        by=by,
        tags=run.tags if tags is None else tags,
        pod_template=run.pod_template if pod_template is None else pod_template,
        origin=run,
        again_from={
            "number": run.number,
            "specification": run.specification_id,
            "paths": sorted(set(from_paths)),
            "same": sorted(wanted.same),
        },
    )


# --- inside ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wanted:
    """What is asked for, checked."""

    specification: Specification
    version: PipelineVersion | None
    spec: PipelineSpec
    old_spec: PipelineSpec
    arguments: dict[str, Any]
    dropped: tuple[str, ...]
    new: tuple[str, ...]

    same: tuple[str, ...]


def _wanted(
    run: models.Run, from_paths: Collection[str], arguments: Mapping[str, Any] | None, version: PipelineVersion | None
) -> _Wanted:
    if not engine.State(run.state).is_final:
        raise NotAgain(f"Run #{run.number} goes on: wait for its end, or stop it first.")
    specification = version.specification if version else run.specification
    spec, old_spec = specifications.load(specification.pk), specifications.load(run.specification_id)
    _check_paths(run, spec, from_paths)
    carried, dropped, new = carry_arguments(old_spec, spec, run.parameters)
    given = carried if arguments is None else dict(arguments)
    if errors := check_arguments(spec, given):
        raise ArgumentsRefused(errors)
    same = tuple(name for name, value in given.items() if name in run.parameters and run.parameters[name] == value)
    return _Wanted(specification, version or run.version, spec, old_spec, given, dropped, new, same)


def _check_paths(run: models.Run, spec: PipelineSpec, from_paths: Collection[str]) -> None:
    wanted = set(from_paths)
    known = set(models.Task.objects.filter(run=run, path__in=wanted).values_list("path", flat=True))
    if missing := wanted - known:
        inside = models.Task.objects.filter(run=run, path__contains="[").values_list("path", flat=True)
        known |= missing & {paths.template(path) for path in inside}
    if missing := sorted(wanted - known):
        raise NotAgain(f"Run #{run.number} has no step at {missing[0]}. Choose a step of the run.")
    for path in sorted(known):
        try:
            spec.at(path)
        except (KeyError, AssertionError):
            raise NotAgain(f"The pipeline's other version has no step at {path}. Choose another step to begin with.") from None


def _run_value(run: models.Run, wanted: _Wanted, cache: engine.CacheUse | None, now: Any) -> engine.Run:
    """A run that will never be, for the engine to look at."""
    id = str(uuid.uuid4())
    return engine.Run(
        id=id,
        name=run.name,
        resource_name=f"{wanted.spec.name.rpartition('/')[2]}-{id[:5]}",
        arguments=expand_macros(wanted.arguments, run_id=id, created_at=now, scheduled_at=now),
        created_at=now,
        scheduled_at=now,
        pipeline_root=f"{run.pipeline_root.rpartition('/')[0]}/{id}",
        cache=cache or engine.CacheUse(run.cache),
        most_iterations=settings.MOST_ITERATIONS,
    )
