"""Messages about pipelines: what KFP's v2beta1 API takes and gives."""

from __future__ import annotations

from kfdash.wire.messages import Int32, Labels, Message, Status, Struct, Text, Time


class PipelineMessage(Message):
    """A pipeline."""

    pipeline_id = Text()
    name = Text()
    display_name = Text()
    description = Text()
    created_at = Time(read_only=True)
    namespace = Text()
    tags = Labels()
    error = Status(read_only=True)


class PackageUrl(Message):
    """Where a package was fetched from."""

    pipeline_url = Text()


class PipelineVersionMessage(Message):
    """A version of a pipeline. `pipeline_spec` is the PipelineSpec, or both documents where there is a platform's."""

    pipeline_id = Text()
    pipeline_version_id = Text()
    name = Text()
    display_name = Text()
    description = Text()
    created_at = Time(read_only=True)
    package_url = PackageUrl(required=False)
    code_source_url = Text()
    pipeline_spec = Struct()
    tags = Labels()
    error = Status(read_only=True)


class CreatePipelineAndVersion(Message):
    """A pipeline and its first version, from a URL."""

    pipeline = PipelineMessage(required=False)
    pipeline_version = PipelineVersionMessage(required=False)


class ListPipelines(Message):
    """A page of pipelines."""

    pipelines = PipelineMessage(many=True, required=False)
    total_size = Int32()
    next_page_token = Text()


class ListPipelineVersions(Message):
    """A page of versions."""

    pipeline_versions = PipelineVersionMessage(many=True, required=False)
    total_size = Int32()
    next_page_token = Text()
