"""What users ask of pipelines and their versions: upload, create, update, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Max

from access.services import record
from pipelines import labels, specifications
from pipelines.fetching import fetch_package
from pipelines.models import Pipeline, PipelineVersion
from pipelines.packages import read_package
from pipelines.spec.parse import Document, parse_text
from pipelines.spec.problems import Problem, Refused

Labelled = TypeVar("Labelled", Pipeline, PipelineVersion)


class NameTaken(Exception):
    """The name of a new pipeline or version is in use."""


class HasVersions(Exception):
    """A pipeline with versions is deleted only when that is said."""


# --- pipelines ------------------------------------------------------------------------------------------------------


def upload_pipeline(
    *,
    data: bytes,
    file_name: str,
    name: str = "",
    display_name: str = "",
    description: str = "",
    namespace: str = "",
    tags: Mapping[str, str] | None = None,
    by: str = "",
    package_url: str = "",
    code_source_url: str = "",
) -> tuple[Pipeline, PipelineVersion]:
    """A new pipeline and its first version, which has the same names and description; tags go to the pipeline.

    The name defaults to the display name, then to the file's name. Raises Refused with every problem, and NameTaken; then
    nothing was stored.
    """
    name, display_name = labels.resolve_names(name, display_name, file_name)
    document = _read(data, file_name, _label_problems(name, display_name, tags, longest=labels.LONGEST_PIPELINE_NAME))
    with transaction.atomic():
        pipeline = _insert_pipeline(name, display_name, description, namespace, tags, by)
        version = _insert_version(
            pipeline,
            document,
            name=name,
            display_name=display_name,
            description=description,
            package=data,
            package_name=file_name,
            package_url=package_url,
            code_source_url=code_source_url,
            created_by=by,
        )
    return pipeline, version


def create_pipeline(
    *,
    name: str = "",
    display_name: str = "",
    description: str = "",
    namespace: str = "",
    tags: Mapping[str, str] | None = None,
    by: str = "",
) -> Pipeline:
    """A new pipeline without versions. Raises Refused and NameTaken."""
    name, display_name = labels.resolve_names(name, display_name)
    if problems := _label_problems(name, display_name, tags, longest=labels.LONGEST_PIPELINE_NAME):
        raise Refused(tuple(problems))
    return _insert_pipeline(name, display_name, description, namespace, tags, by)


def create_pipeline_from_url(
    *,
    url: str,
    name: str = "",
    display_name: str = "",
    description: str = "",
    namespace: str = "",
    tags: Mapping[str, str] | None = None,
    by: str = "",
    code_source_url: str = "",
) -> tuple[Pipeline, PipelineVersion]:
    """The same as `upload_pipeline` for a package at a URL. Raises NotFetched too."""
    data, file_name = fetch_package(url)
    return upload_pipeline(
        data=data,
        file_name=file_name,
        name=name,
        display_name=display_name,
        description=description,
        namespace=namespace,
        tags=tags,
        by=by,
        package_url=url,
        code_source_url=code_source_url,
    )


def update_pipeline(pipeline: Pipeline, *, display_name: str = "", tags: Mapping[str, str] | None = None) -> Pipeline:
    """Changes the display name, unless empty, and replaces all tags, unless None. Raises Refused."""
    return _update(pipeline, display_name, tags, longest=labels.LONGEST_PIPELINE_NAME)


def delete_pipeline(pipeline: Pipeline, *, with_versions: bool = False) -> None:
    """Deletes a pipeline; its runs stay. Raises HasVersions unless the versions are to go too."""
    with transaction.atomic():
        Pipeline.objects.select_for_update().filter(pk=pipeline.pk).first()
        if not with_versions and pipeline.versions.exists():
            raise HasVersions(f"Pipeline {pipeline.display_name!r} has versions: delete them first, or delete with cascade=true.")
        key = str(pipeline.pk)
        pipeline.delete()
        record(verb="deleted", what="pipeline", name=pipeline.display_name, detail=key)


# --- versions -------------------------------------------------------------------------------------------------------


def upload_version(
    *,
    pipeline: Pipeline,
    data: bytes,
    file_name: str,
    name: str = "",
    display_name: str = "",
    description: str = "",
    tags: Mapping[str, str] | None = None,
    by: str = "",
    package_url: str = "",
    code_source_url: str = "",
) -> PipelineVersion:
    """A new version of a pipeline; its names default as for `upload_pipeline`.

    Raises Refused with every problem, and NameTaken; then nothing was stored.
    """
    name, display_name = labels.resolve_names(name, display_name, file_name)
    document = _read(data, file_name, _label_problems(name, display_name, tags, longest=labels.LONGEST_VERSION_NAME))
    return _insert_version(
        pipeline,
        document,
        name=name,
        display_name=display_name,
        description=description,
        tags=dict(tags or {}),
        package=data,
        package_name=file_name,
        package_url=package_url,
        code_source_url=code_source_url,
        created_by=by,
    )


def create_version_from_url(
    *,
    pipeline: Pipeline,
    url: str,
    name: str = "",
    display_name: str = "",
    description: str = "",
    tags: Mapping[str, str] | None = None,
    by: str = "",
    code_source_url: str = "",
) -> PipelineVersion:
    """The same as `upload_version` for a package at a URL. Raises NotFetched too."""
    data, file_name = fetch_package(url)
    return upload_version(
        pipeline=pipeline,
        data=data,
        file_name=file_name,
        name=name,
        display_name=display_name,
        description=description,
        tags=tags,
        by=by,
        package_url=url,
        code_source_url=code_source_url,
    )


def update_version(version: PipelineVersion, *, display_name: str = "", tags: Mapping[str, str] | None = None) -> PipelineVersion:
    """Changes the display name, unless empty, and replaces all tags, unless None. Raises Refused."""
    return _update(version, display_name, tags, longest=labels.LONGEST_VERSION_NAME)


def delete_version(version: PipelineVersion) -> None:
    """Deletes a version; its runs and their specification stay."""
    name = f"{version.pipeline.display_name} v{version.number}"
    version.delete()
    record(verb="deleted", what="version", name=name)


# --- inside ---------------------------------------------------------------------------------------------------------


def _label_problems(name: str, display_name: str, tags: Mapping[str, str] | None, *, longest: int) -> list[Problem]:
    return labels.name_problems(name, display_name, longest=longest) + labels.tag_problems(tags or {})


def _read(data: bytes, file_name: str, problems: list[Problem]) -> Document:
    """The document in a package. Raises Refused with its problems and those found before, all at once."""
    try:
        document = parse_text(read_package(data, file_name))
    except Refused as refused:
        raise Refused((*problems, *refused.problems)) from None
    if problems:
        raise Refused(tuple(problems))
    return document


def _insert_pipeline(
    name: str, display_name: str, description: str, namespace: str, tags: Mapping[str, str] | None, by: str
) -> Pipeline:
    try:
        with transaction.atomic():
            return Pipeline.objects.create(
                name=name,
                display_name=display_name,
                description=description,
                namespace=namespace,
                tags=dict(tags or {}),
                created_by=by,
            )
    except IntegrityError:
        raise NameTaken(f"There is a pipeline called {name!r} already. Please specify a new name.") from None


def _insert_version(pipeline: Pipeline, document: Document, *, name: str, **fields: object) -> PipelineVersion:
    with transaction.atomic():
        Pipeline.objects.select_for_update().get(pk=pipeline.pk)  # numbers are counted under the pipeline's lock
        specification = specifications.store(document)
        last = pipeline.versions.aggregate(last=Max("number"))["last"] or 0
        if pipeline.versions.filter(name=name).exists():
            raise NameTaken(f"Pipeline {pipeline.display_name!r} has a version called {name!r} already. Please specify a new name.")
        version = PipelineVersion.objects.create(
            pipeline=pipeline, specification=specification, number=last + 1, name=name, **fields
        )
        record(verb="uploaded", what="version", name=f"{pipeline.display_name} v{version.number}", by=version.created_by)
        return version


def _update(row: Labelled, display_name: str, tags: Mapping[str, str] | None, *, longest: int) -> Labelled:
    problems = labels.name_problems(row.name, display_name, longest=longest) + labels.tag_problems(tags or {})
    if problems:
        raise Refused(tuple(problems))
    row.display_name = display_name or row.display_name
    if tags is not None:
        row.tags = dict(tags)
    row.save(update_fields=["display_name", "tags"])
    return row
