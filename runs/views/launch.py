"""The launch form of a pipeline version, and the launch."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from kfdash.rights import by
from kfdash.words import counted
from pipelines.models import PipelineVersion
from pipelines.spec.problems import Refused
from pipelines.specifications import load
from pipelines.views import graph_context
from runs import forms, services
from runs.engine.model import CacheUse
from runs.models import Experiment, Run

_VERSIONS_SHOWN = 200


@require_http_methods(["GET", "POST"])
def launch(request: HttpRequest, pipeline_id: uuid.UUID, version_id: uuid.UUID) -> HttpResponse:
    """The form, filled with defaults or with the values of `?run=<id>`; posted, it launches or says what has to change."""
    versions = PipelineVersion.objects.select_related("pipeline", "specification").defer("package")
    version = get_object_or_404(versions, pk=version_id, pipeline_id=pipeline_id)
    earlier = _earlier(request.GET.get("run", ""))
    spec = load(version.specification_id)
    if request.method == "POST":
        form = forms.read(spec, request.POST)
        problem = ""
        if not form.faulty:
            try:
                return redirect("run-detail", _launch(form, version, by(request)).pk)
            except services.ArgumentsRefused as refused:
                _put_errors(form, refused.errors)
            except Refused as refused:
                form.refuse_template(refused)
            except services.ExperimentExists as error:
                form.errors["new_experiment"] = str(error)
            except services.NotLaunchable as error:
                problem = str(error)
        return _page(request, version, form, earlier, problem=problem)
    form = forms.carried(spec, load(earlier.specification_id), earlier.parameters) if earlier else forms.blank(spec)
    if earlier:
        form.cache = earlier.cache
        form.experiment = str(earlier.experiment_id or "")
        form.tags = ", ".join(f"{key}={value}" for key, value in earlier.tags.items())
        form.pod_template = services.pod_template_text(earlier.pod_template)
    elif wanted := request.GET.get("experiment"):
        form.experiment = wanted if _exists(wanted) else ""
    return _page(request, version, form, earlier)


def _page(
    request: HttpRequest,
    version: PipelineVersion,
    form: forms.LaunchForm,
    earlier: Run | None,
    *,
    problem: str = "",
) -> HttpResponse:
    if earlier:
        forms.compare(form, load(version.specification_id), earlier.parameters)
    siblings = version.pipeline.versions.order_by("-number").values("pk", "number", "display_name")[:_VERSIONS_SHOWN]
    changed = sum(one.changed for one in form.fields)
    context: dict[str, Any] = {
        "version": version,
        "pipeline": version.pipeline,
        "form": form,
        "earlier": earlier,
        "last_run": _last_run(version),
        "versions": siblings,
        "experiments": forms.experiments(form.experiment),
        "takes_pod_templates": services.takes_pod_templates(),
        "problem": problem,
        "faulty": form.faulty,
        "changed": changed,
        "steps": counted(version.specification.step_count, "step"),
        "cache_choices": [(CacheUse.USE, "Use"), (CacheUse.REFRESH, "Refresh"), (CacheUse.OFF, "Off")],
        **graph_context(request, version.specification),
    }
    return render(request, "runs/launch.html", context)


def _launch(form: forms.LaunchForm, version: PipelineVersion, by: str) -> Run:
    """Launches what the form says. Raises what `services` raise; then nothing was written."""
    experiment = None
    if form.experiment == "new":
        experiment = services.create_experiment(name=form.new_experiment, by=by)
    elif form.experiment:
        experiment = Experiment.objects.filter(pk=form.experiment).first()
    return services.launch_run(
        specification=version.specification,
        version=version,
        arguments=form.arguments,
        name=form.name or version.pipeline.display_name,
        experiment=experiment,
        cache=CacheUse(form.cache),
        tags=form.tag_values,
        pod_template=form.template,
        by=by,
    )


def _put_errors(form: forms.LaunchForm, errors: dict[str, str]) -> None:
    for one in form.fields:
        one.error = errors.get(one.name, "")


def _earlier(text: str) -> Run | None:
    """The run with this id, None where there is none."""
    try:
        return Run.objects.filter(pk=uuid.UUID(text)).first()
    except ValueError:
        return None


def _exists(text: str) -> bool:
    try:
        return Experiment.objects.filter(pk=uuid.UUID(text)).exists()
    except ValueError:
        return False


def _last_run(version: PipelineVersion) -> Run | None:
    runs = Run.objects.filter(pipeline_key=version.pipeline_id).order_by("-created_at", "-id")
    return runs.only("pk", "number", "name").first()
