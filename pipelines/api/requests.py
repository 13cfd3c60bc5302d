"""What requests about pipelines have in common: rows by id, and refusals as errors of the wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kfdash.wire.errors import Code, WireError, exists, invalid, not_found
from kfdash.wire.reading import read_id
from pipelines.fetching import NotFetched
from pipelines.models import Pipeline, PipelineVersion
from pipelines.services import HasVersions, NameTaken
from pipelines.spec.problems import Refused


@contextmanager
def refusals() -> Iterator[None]:
    """What services raise, as errors of the wire."""
    try:
        yield
    except Refused as error:
        raise invalid("\n".join(str(problem) for problem in error.problems)) from None
    except NameTaken as error:
        raise exists(str(error)) from None
    except HasVersions as error:
        raise invalid(str(error)) from None
    except NotFetched as error:
        raise (WireError(Code.INTERNAL, str(error)) if error.unreachable else invalid(str(error))) from None


def pipeline_of(text: str) -> Pipeline:
    """The pipeline with this id. Raises WireError: 404."""
    key = read_id(text)
    row = Pipeline.objects.filter(pk=key).first() if key else None
    if row is None:
        raise not_found("Pipeline", text)
    return row


def version_of(text: str) -> PipelineVersion:
    """The version with this id, whatever its pipeline: KFP does not look at the pipeline in the path. Raises WireError: 404."""
    key = read_id(text)
    row = PipelineVersion.objects.select_related("specification").defer("package").filter(pk=key).first() if key else None
    if row is None:
        raise not_found("PipelineVersion", text)
    return row
