"""Running again: the same at once, or from chosen steps, with a form and a plan that says what each step will do."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST

from kfdash.rights import by
from kfdash.words import counted
from pipelines import specifications
from pipelines.models import PipelineVersion, Specification
from pipelines.spec import paths
from pipelines.spec.model import PipelineSpec
from pipelines.spec.problems import Refused
from pipelines.views import graph_context
from runs import forms, services
from runs.engine.model import CacheUse, State
from runs.models import Experiment, Run, StorageState
from runs.tree import Tree, step_name
from runs.views.control import same_page
from runs.views.planned import PlanLooks, sentence

CACHE_CHOICES = [(CacheUse.USE, "Use"), (CacheUse.REFRESH, "Refresh"), (CacheUse.OFF, "Off")]
_MOST_CHOSEN = 50  # failed steps that an address names; more of them are not needed: a failed step is never taken over


# --- the ways to it -------------------------------------------------------------------------------------------------


def again_href(run: Run, *chosen: str) -> str:
    """The address of the page that runs it again from these steps."""
    return reverse("run-again", args=[run.pk]) + "?" + urlencode([("from", path) for path in chosen])


def launch_href(run: Run) -> str:
    """The launch form with the run's values, empty where its package was never uploaded."""
    if run.version is None:
        return ""
    return reverse("launch", args=[run.version.pipeline_id, run.version_id]) + f"?run={run.pk}"


def failed_paths(tree: Tree) -> list[str]:
    """The steps that failed by themselves, not the groups around them."""
    return [step.path for step in tree.leaves() if step.state == "FAILED"][:_MOST_CHOSEN]


# --- pages ----------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def run_again(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """A GET is the form with the plan, from the steps `from=PATH`, with `version=newest` of the newest version.

    Posted from there it launches; posted with `cache` alone it launches the same at once.
    """
    run = _run(run_id)
    if request.method == "POST" and "again" not in request.POST:
        return _the_same(request, run)
    version = _version(run, request.GET.get("version", ""))
    spec, old_spec = _specs(run, version)
    if request.method == "POST":
        form = forms.read(spec, request.POST)
        problem = ""
        if not form.faulty:
            try:
                return redirect("run-detail", _launch(request, run, version, form, spec, old_spec).pk)
            except services.ArgumentsRefused as refused:
                for one in form.fields:
                    one.error = refused.errors.get(one.name, "")
            except Refused as refused:
                form.refuse_template(refused)
            except services.ExperimentExists as error:
                form.errors["new_experiment"] = str(error)
            except (services.NotAgain, services.NotLaunchable) as error:
                problem = str(error)
        return _page(request, run, version, form, problem)
    form = forms.carried(spec, old_spec, run.parameters)
    form.cache, form.name = run.cache, run.name
    form.experiment = str(run.experiment_id or "")
    form.tags = ", ".join(f"{key}={value}" for key, value in run.tags.items())
    form.pod_template = services.pod_template_text(run.pod_template)
    return _page(request, run, version, form, "")


@require_POST
def run_again_plan(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """The plan for what stands in the form."""
    run = _run(run_id)
    version = _version(run, request.GET.get("version", ""))
    spec, old_spec = _specs(run, version)
    form = forms.read(spec, request.POST)
    return render(request, "runs/_plan.html", _plan(request, run, version, form, spec, old_spec))


def _page(request: HttpRequest, run: Run, version: PipelineVersion | None, form: forms.LaunchForm, problem: str) -> HttpResponse:
    spec, old_spec = _specs(run, version)
    forms.compare(form, spec, run.parameters)
    chosen = request.GET.getlist("from")
    newest = _newest(run)
    context: dict[str, Any] = {
        "run": run,
        "earlier": run,
        "version": version or run.version,
        "pipeline": run.version.pipeline if run.version else None,
        "newest": newest if newest and newest.pk != run.version_id else None,
        "on_newest": version is not None,
        "form": form,
        "chosen": [_name(spec, path) for path in chosen],
        "chosen_paths": chosen,
        "experiments": forms.experiments(form.experiment),
        "takes_pod_templates": services.takes_pod_templates(),
        "problem": problem,
        "faulty": form.faulty,
        "changed": sum(one.changed for one in form.fields),
        "cache_choices": CACHE_CHOICES,
        "query": "?" + request.GET.urlencode(),
        "is_final": State(run.state).is_final,
        **_plan(request, run, version, form, spec, old_spec, read=request.method == "POST"),
    }
    return render(request, "runs/again.html", context)


def _plan(
    request: HttpRequest,
    run: Run,
    version: PipelineVersion | None,
    form: forms.LaunchForm,
    spec: PipelineSpec,
    old_spec: PipelineSpec,
    *,
    read: bool = True,
) -> dict[str, Any]:
    """The context of `runs/_plan.html`; without a plan the graph has no marks, and `no_plan` says why."""
    found: dict[str, Any] = {}
    looks = None
    try:
        if form.faulty and read:
            count = len(form.faulty)
            found["no_plan"] = f"{counted(count, 'input needs', 'inputs need')} a change before this can be planned."
        else:
            arguments = _arguments(run, form, spec, old_spec) if read else None
            plan = services.plan_again(
                run, from_paths=request.GET.getlist("from"), arguments=arguments, version=version, cache=CacheUse(form.cache)
            )
            looks = PlanLooks(spec, run, plan.what, request.GET.getlist("from"))
            gone = [_name(old_spec, path) for path in _gone(plan)]
            found |= {
                "plan": plan.what,
                "plan_sentence": sentence(plan.what),
                "gone": gone,
            }
    except services.NotAgain as error:
        found["no_plan"] = str(error)
    except services.ArgumentsRefused as refused:
        found["no_plan"] = " ".join(dict.fromkeys(refused.errors.values()))
    specification = version.specification if version else run.specification
    return found | _graph(request, specification, looks)


def _graph(request: HttpRequest, specification: Specification, looks: PlanLooks | None) -> dict[str, Any]:
    """The graph; each of its boxes leads to the same page, with that step chosen."""
    kept = [(name, value) for name in ("version", "open", "art") if (value := request.GET.get(name))]
    chosen = request.GET.getlist("from")

    def href(path: str) -> str:
        others = [one for one in chosen if paths.template(one) != path]
        wanted = others if len(others) < len(chosen) else [path]
        return "?" + urlencode([*(("from", one) for one in wanted), *kept])

    return graph_context(request, specification, look=looks.of if looks is not None else None, href=href)


def _gone(plan: services.Plan) -> list[str]:
    """The steps that this version has no more, groups and iterations of loops counted once."""
    return list(dict.fromkeys(path.partition("[")[0] for path in plan.what.gone))


def _name(spec: PipelineSpec, path: str) -> str:
    try:
        return step_name(spec, path)
    except (KeyError, AssertionError):
        return path.rpartition("/")[2]


# --- launching ------------------------------------------------------------------------------------------------------


def _launch(
    request: HttpRequest,
    run: Run,
    version: PipelineVersion | None,
    form: forms.LaunchForm,
    spec: PipelineSpec,
    old_spec: PipelineSpec,
) -> Run:
    arguments = _arguments(run, form, spec, old_spec)
    chosen = request.GET.getlist("from")
    services.plan_again(run, from_paths=chosen, arguments=arguments, version=version)  # refuses before anything is made
    experiment = None
    if form.experiment == "new":
        experiment = services.create_experiment(name=form.new_experiment)
    elif form.experiment:
        experiment = Experiment.objects.filter(pk=form.experiment).first()
    return services.run_again(
        run,
        from_paths=chosen,
        arguments=arguments,
        version=version,
        cache=CacheUse(form.cache),
        name=form.name,
        experiment=experiment or services.default_experiment(namespace=run.namespace),
        tags=form.tag_values,
        pod_template=form.template,
        by=by(request),
    )


def _arguments(run: Run, form: forms.LaunchForm, spec: PipelineSpec, old_spec: PipelineSpec) -> dict[str, Any]:
    """The form's arguments, without the defaults that the run left unsaid too: said now, they would count as changed."""
    old_inputs, inputs = old_spec.root.input_parameters, spec.root.input_parameters

    def unsaid(name: str, value: Any) -> bool:
        old, new = old_inputs.get(name), inputs[name]
        if name in run.parameters or old is None or not (old.has_default and new.has_default):
            return False
        return bool(value == old.default == new.default)

    return {name: value for name, value in form.arguments.items() if not unsaid(name, value)}


def _the_same(request: HttpRequest, run: Run) -> HttpResponse:
    """Launches the same again: same pipeline, inputs and experiment; `cache` says what it does with the cache."""
    wanted = request.POST.get("cache", run.cache)
    experiment = run.experiment if run.experiment and run.experiment.storage_state == StorageState.AVAILABLE else None
    try:
        fresh = services.launch_run(
            specification=run.specification,
            arguments=run.parameters,
            name=run.name,
            description=run.description,
            experiment=experiment,
            version=run.version,
            cache=CacheUse(wanted) if wanted in set(CacheUse) else CacheUse(run.cache),
            pipeline_root=run.requested_root,
            service_account=run.service_account,
            namespace=run.namespace,
            by=by(request),
            tags=run.tags,
            pod_template=run.pod_template,
        )
    except services.ArgumentsRefused as error:
        messages.error(request, "Its inputs do not fit any more: " + " ".join(error.errors.values()))
        return redirect(launch_href(run) or same_page(request, run))
    except (services.NotLaunchable, Refused) as error:
        messages.error(request, str(error))
        return redirect(same_page(request, run))
    return redirect("run-detail", fresh.pk)


# --- inside ---------------------------------------------------------------------------------------------------------


def _run(run_id: uuid.UUID) -> Run:
    rows = Run.objects.select_related("version__pipeline", "experiment", "specification")
    return get_object_or_404(rows.defer("specification__pipeline", "specification__platform", "version__package"), pk=run_id)


def _newest(run: Run) -> PipelineVersion | None:
    """The newest version of the run's pipeline."""
    if run.version is None:
        return None
    versions = PipelineVersion.objects.filter(pipeline=run.version.pipeline_id).select_related("pipeline", "specification")
    return versions.defer("package", "specification__pipeline", "specification__platform").order_by("-number").first()


def _version(run: Run, wanted: str) -> PipelineVersion | None:
    """The newest version where that is wanted and another one than the run's; None for the run's own."""
    newest = _newest(run) if wanted == "newest" else None
    return newest if newest is not None and newest.pk != run.version_id else None


def _specs(run: Run, version: PipelineVersion | None) -> tuple[PipelineSpec, PipelineSpec]:
    """What will be run, and what was."""
    old = specifications.load(run.specification_id)
    return (specifications.load(version.specification_id) if version else old), old
