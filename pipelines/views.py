"""Pages about pipelines: the list, a version with its graph and steps, uploads, deletions."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import yaml
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from kfdash import keyset, outbox
from kfdash.rights import by
from kfdash.strips import Mark
from kfdash.tagged import tagged
from kfdash.words import counted
from pipelines import drawing, services
from pipelines.component import describe, first_step
from pipelines.drawing.picture import Look, picture
from pipelines.forms import UploadForm
from pipelines.models import Pipeline, PipelineVersion, Specification
from pipelines.packages import read_package
from pipelines.samples import SAMPLES, read_sample
from pipelines.source import marked
from pipelines.spec.model import PipelineSpec
from pipelines.spec.platform import local_notices
from pipelines.spec.problems import Problem, Refused
from pipelines.spec.storable import storable_text
from pipelines.specifications import load
from pipelines.tagging import edit_tags
from runs import services as run_services
from runs.models import Run
from runs.newest import newest_of_each
from runs.views.lists import is_partial, listing

PAGE_SIZE = 50
_VERSIONS_SHOWN = 60
_OWN_NAME = re.compile(r"^pipelineInfo:[^\n]*\n(?:[ \t]+[^\n]*\n)*?[ \t]+name:[ \t]*[\"']?([\w .:/-]+?)[\"']?[ \t]*$", re.M)
_TAG = re.compile(r"""(?<!\S)tag:(?:"([^"]+)"|(\S+))""")
_JSON_NAME = re.compile(r'"pipelineInfo"\s*:\s*\{[^{}]*?"name"\s*:\s*"([\w .:/-]+)"')

log = logging.getLogger(__name__)


# --- the list -------------------------------------------------------------------------------------------------------


@require_GET
def pipeline_list(request: HttpRequest) -> HttpResponse:
    """All pipelines, newest first; `q` looks in names and, as `tag:team=risk`, in tags; `for=launch` leads on to the form."""
    words, experiment = storable_text(request.GET.get("q", "")).strip(), request.GET.get("experiment", "")
    page = keyset.page(with_newest_version(_sought(words)), request.GET, size=PAGE_SIZE)
    context = {
        "page": page,
        "rows": pipeline_rows(page.rows),
        "words": words,
        "launching": request.GET.get("for") == "launch",
        "experiment": experiment,
        "launch_query": "?" + urlencode({"experiment": experiment}) if experiment else "",
        "empty": not page.rows and not words,
        "samples": SAMPLES,
    }
    return render(request, "pipelines/_table.html" if is_partial(request) else "pipelines/list.html", context)


def _sought(words: str) -> QuerySet[Pipeline]:
    """The pipelines with all `tag:key=value` (or `tag:key`) and with the rest of the words, as one, in a name."""
    tags = [match[1] or match[2] for match in _TAG.finditer(words)]
    name = " ".join(_TAG.sub(" ", words).split())
    found = Pipeline.objects.all()
    for tag in tags:
        found = found.filter(tagged(tag))
    return found.filter(Q(display_name__icontains=name) | Q(name__icontains=name)) if name else found


def with_newest_version(pipelines: QuerySet[Pipeline]) -> QuerySet[Pipeline]:
    """The pipelines with id, number, time and size of their newest version, and what it says of itself."""
    newest = PipelineVersion.objects.filter(pipeline=OuterRef("pk")).order_by("-number")
    return pipelines.annotate(
        version_id=Subquery(newest.values("pk")[:1]),
        version_number=Subquery(newest.values("number")[:1]),
        version_at=Subquery(newest.values("created_at")[:1]),
        step_count=Subquery(newest.values("specification__step_count")[:1]),
        own_description=Subquery(newest.values(said=F("specification__pipeline__pipelineInfo__description"))[:1]),
    )


def pipeline_rows(pipelines: Iterable[Pipeline]) -> list[dict[str, Any]]:
    """Pipelines with the marks of their last runs: one query for all."""
    pipelines = list(pipelines)
    runs = newest_of_each("pipeline_key", [pipeline.pk for pipeline in pipelines])
    return [{"pipeline": pipeline, "marks": runs.get(pipeline.pk, [])} for pipeline in pipelines]


# --- upload ---------------------------------------------------------------------------------------------------------


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Takes a package and opens what became of it, or says everything that is wrong with it."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        problems = [Problem(sentence) for sentence in form.sentences]
        return _refused(request, problems, name=getattr(request.FILES.get("file"), "name", "") or "")
    file: UploadedFile = form.cleaned_data["file"]
    return _take(request, file.read(), file.name or "pipeline.yaml", form.cleaned_data["pipeline"])


@require_POST
def upload_sample(request: HttpRequest, key: str) -> HttpResponse:
    """Uploads a sample; one that is there already is opened."""
    if key not in {sample.key for sample in SAMPLES}:
        raise Http404(f"There is no sample called {key!r}.")
    data, file_name = read_sample(key)
    existing = Pipeline.objects.filter(namespace="", name=_own_name(data, file_name)).first()
    return redirect("pipeline-detail", existing.pk) if existing else _take(request, data, file_name, None)


def _take(request: HttpRequest, data: bytes, file_name: str, pipeline: Pipeline | None) -> HttpResponse:
    """Stores a package: as a new version of `pipeline`, else of the pipeline with the package's own name, else as a new one."""
    try:
        name = _own_name(data, file_name)
        pipeline = pipeline or Pipeline.objects.filter(namespace="", name=name).first()
        if pipeline is None:
            pipeline, version = services.upload_pipeline(data=data, file_name=file_name, name=name, by=by(request))
            messages.success(request, f"{pipeline.display_name} is uploaded.")
        else:
            last = pipeline.versions.order_by("-number").values_list("number", flat=True).first() or 0
            version_name = f"v{last + 1}" if last else name
            version = services.upload_version(pipeline=pipeline, data=data, file_name=file_name, name=version_name, by=by(request))
            messages.success(request, f"Uploaded as v{version.number} of {pipeline.display_name}.")
    except Refused as refused:
        return _refused(request, refused.problems, name=file_name, pipeline=pipeline)
    except services.NameTaken as error:
        return _refused(request, [Problem(str(error))], name=file_name, pipeline=pipeline)
    return redirect("version-detail", pipeline.pk, version.pk)


def _own_name(data: bytes, file_name: str) -> str:
    """The name that a package gives its pipeline; where it gives none that can be seen at once, the file's name."""
    text = read_package(data, file_name)
    found = _OWN_NAME.search(text) or _JSON_NAME.search(text)
    return found[1].rpartition("/")[2] if found else re.sub(r"(\.(ya?ml|json|zip|tgz|tar|gz))+$", "", file_name, flags=re.I)


def _refused(request: HttpRequest, problems: Iterable[Problem], *, name: str, pipeline: Pipeline | None = None) -> HttpResponse:
    context = {"problems": list(problems), "file_name": name, "pipeline": pipeline}
    return render(request, "pipelines/refused.html", context)


# --- a pipeline and its versions ------------------------------------------------------------------------------------


@require_GET
def pipeline_detail(request: HttpRequest, pipeline_id: uuid.UUID) -> HttpResponse:
    """Opens the newest version; a pipeline without one gets a page that says so."""
    pipeline = get_object_or_404(Pipeline, pk=pipeline_id)
    newest = pipeline.versions.order_by("-number").values_list("pk", flat=True).first()
    if newest is None:
        return render(request, "pipelines/no_versions.html", {"pipeline": pipeline})
    return redirect("version-detail", pipeline.pk, newest)


@require_GET
def version_detail(request: HttpRequest, pipeline_id: uuid.UUID, version_id: uuid.UUID) -> HttpResponse:
    """A version: its graph (`open`, `art`, `task`), its document (`view=spec`), its runs (`view=runs`)."""
    version = _version(pipeline_id, version_id)
    view = request.GET.get("view", "graph")
    if view == "runs":
        context = listing(request, Run.objects.filter(version=version))
        if is_partial(request):
            return render(request, "runs/_table.html", context)
    else:
        context = {}
    spec = load(version.specification_id)
    selected = request.GET.get("task") or first_step(spec)
    component = describe(spec, selected)
    if component is None:
        raise Http404(f"This version has no step at {selected!r}.")
    notices = [] if settings.EXECUTOR == "kubernetes" else list(local_notices(spec))
    context |= {
        "pipeline": version.pipeline,
        "version": version,
        "spec": spec,
        "view": view,
        "component": component,
        "component_source": marked(component.source, "python") if component.source else "",
        "component_platform": marked(component.platform, "json") if component.platform else "",
        **_pod_context(spec, selected),
        "component_notices": [notice for notice in notices if notice.executor == component.executor],
        "notices": notices,
    }
    if request.headers.get("HX-Target") == "panel":
        return render(request, "pipelines/_component.html", context)
    context |= _versions_context(version)
    if view == "spec":
        context["document"] = marked(_document(version.specification), "yaml")
    if view == "graph":
        context |= graph_context(request, version.specification, selected)
    return render(request, "pipelines/version.html", context)


def _pod_context(spec: PipelineSpec, path: str) -> dict[str, Any]:
    """The pod that a step of this version will have, where steps are pods."""
    if not run_services.has_pods():
        return {}
    try:
        pod = run_services.planned_pod(spec, path)
    except run_services.PodUnknown as error:
        return {"pod_problem": str(error)}
    return {"pod": pod, "pod_text": marked(pod.text, "yaml")} if pod is not None else {}


def graph_context(
    request: HttpRequest,
    specification: Specification,
    selected: str = "",
    *,
    look: Callable[[str], Look] | None = None,
    href: Callable[[str], str] | None = None,
) -> dict[str, Any]:
    """`graph` for `pipelines/_graph.html`, as the address asks (`open`, `art`); `graph_problem` where it cannot be drawn.

    `look` and `href` are those of `picture`; without `href` a step is selected on the same page.
    """
    opened = [path for path in request.GET.get("open", "").split(",") if path]
    with_artifacts = request.GET.get("art") == "1"
    found: dict[str, Any] = {"with_artifacts": with_artifacts, "open": request.GET.get("open", "")}
    layout = drawing.find(specification.pk, opened, with_artifacts)
    if layout is None and drawing.is_large(specification):
        outbox.enqueue("pipelines.jobs.draw", specification.pk, opened, with_artifacts)
        return found | {"graph": None, "graph_awaited": True}
    try:
        layout = layout or drawing.draw(specification.pk, opened, with_artifacts)
    except drawing.GraphvizMissing as error:
        return found | {"graph": None, "graph_problem": str(error)}
    return found | {"graph": picture(layout, look=look, href=href or _step_href(request), selected=selected)}


def _step_href(request: HttpRequest) -> Any:
    """Path of a step → the address of this page with that step selected."""
    kept = {key: value for key in ("open", "art") if (value := request.GET.get(key))}
    return lambda path: "?" + urlencode({**kept, "task": path})


@require_http_methods(["GET", "POST"])
def pipeline_tags(request: HttpRequest, pipeline_id: uuid.UUID) -> HttpResponse:
    """The dialog with the pipeline's tags; posted, it saves them."""
    pipeline = get_object_or_404(Pipeline, pk=pipeline_id)
    return edit_tags(
        request,
        what=pipeline.display_name,
        tags=pipeline.tags,
        save=lambda tags: services.update_pipeline(pipeline, tags=tags),
        filtered=reverse("pipeline-list"),
    )


def _versions_context(version: PipelineVersion) -> dict[str, Any]:
    """The versions beside the graph, newest first, with their last runs."""
    versions = list(version.pipeline.versions.select_related("pipeline").defer("package").order_by("-number")[:_VERSIONS_SHOWN])
    runs = newest_of_each("version_id", [row.pk for row in versions], count=6)
    return {
        "versions": [_version_row(row, runs.get(row.pk, [])) for row in versions],
        "newest_number": versions[0].number if versions else 0,
        "package_size": len(version.package),
    }


def _version_row(version: PipelineVersion, marks: list[Mark]) -> dict[str, Any]:
    """A version in the list; its own name only where it says more than its number."""
    own = "" if version.display_name in (f"v{version.number}", version.pipeline.display_name) else version.display_name
    return {"version": version, "marks": marks, "width": 9 * len(marks), "own_name": own}


def _version(pipeline_id: uuid.UUID, version_id: uuid.UUID) -> PipelineVersion:
    versions = PipelineVersion.objects.select_related("pipeline", "specification")
    return get_object_or_404(versions, pk=version_id, pipeline_id=pipeline_id)


def _document(specification: Specification) -> str:
    documents = [specification.pipeline, *([specification.platform] if specification.platform else [])]
    return yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=120)


@require_GET
def version_package(request: HttpRequest, pipeline_id: uuid.UUID, version_id: uuid.UUID) -> HttpResponse:
    """The package as it was sent."""
    version = _version(pipeline_id, version_id)
    response = HttpResponse(bytes(version.package), content_type="application/octet-stream")
    name = re.sub(r"[^\w.-]", "_", version.package_name or f"{version.name}.yaml")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


# --- deletions ------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def pipeline_delete(request: HttpRequest, pipeline_id: uuid.UUID) -> HttpResponse:
    """Asks first; then deletes a pipeline with all its versions. Runs stay."""
    pipeline = get_object_or_404(Pipeline, pk=pipeline_id)
    if request.method == "POST":
        services.delete_pipeline(pipeline, with_versions=True)
        messages.success(request, f"{pipeline.display_name} was deleted.")
        return redirect("pipeline-list")
    versions = pipeline.versions.count()
    return _confirm(
        request, pipeline.display_name, f"{counted(versions, 'version')} will be deleted for good.", pipeline_key=pipeline.pk
    )


@require_http_methods(["GET", "POST"])
def version_delete(request: HttpRequest, pipeline_id: uuid.UUID, version_id: uuid.UUID) -> HttpResponse:
    """Asks first; then deletes a version. Runs stay."""
    version = _version(pipeline_id, version_id)
    name = f"v{version.number} of {version.pipeline.display_name}"
    if request.method == "POST":
        services.delete_version(version)
        messages.success(request, f"{name} was deleted.")
        return redirect("pipeline-detail", version.pipeline_id)
    return _confirm(request, name, "Its package will be deleted for good.", version=version)


def _confirm(request: HttpRequest, what: str, goes: str, **filters: Any) -> HttpResponse:
    count = Run.objects.filter(**filters).count()
    stays = f" Its {counted(count, 'run')} and what they made stay." if count else " It was never run."
    return render(request, "pipelines/_delete.html", {"what": what, "goes": goes + stays, "address": request.path})
