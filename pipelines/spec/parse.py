"""From text to a checked PipelineSpec: what a document is, strict reading, all problems at once with their lines."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipelines.spec import check, loopitems, older, strict
from pipelines.spec.build import Builder
from pipelines.spec.documents import SourceDocument, camel, read_documents
from pipelines.spec.model import PipelineSpec
from pipelines.spec.problems import MAX_PROBLEMS, Finding, Place, Problem, Refused, dotted
from pipelines.spec.storable import unstorable

Json = Any
LineOf = Callable[[Place], int | None]

MAX_MESSAGE = 600  # characters: names and expressions in a message may be of any length

_PIPELINE_FIELDS = frozenset({"pipelineInfo", "root", "schemaVersion", "deploymentSpec", "components", "sdkVersion"})
_NO_PIPELINE = (
    "This is no compiled pipeline: there are no pipelineInfo and root in it. Compile one with `kfp dsl compile` or"
    " `kfp.compiler.Compiler().compile(…)`."
)


@dataclass(frozen=True)
class Document:
    """A package's text as parsed: both documents as canonical JSON (the platform's empty where there is none), and the value."""

    pipeline: dict[str, Json]
    platform: dict[str, Json]
    spec: PipelineSpec


@dataclass(frozen=True)
class _Part:
    """One of the documents found: its value, and how to find a line in it."""

    value: Json
    line_of: LineOf
    first_line: int | None = None


def parse_text(text: str) -> Document:
    """The pipeline (and platform) document in a text: YAML or JSON, KFP v2 or an older component. Raises Refused."""
    with _garbage_left_alone():
        return _parse_text(text)


def _parse_text(text: str) -> Document:
    documents = read_documents(text)
    if not documents:
        raise Refused([Problem("The file is empty: there is no pipeline in it.")])
    pipelines: list[_Part] = []
    platforms: list[_Part] = []
    strays: list[Problem] = []
    for document in documents:
        _sort_in(document, pipelines, platforms, strays)
    if not pipelines:
        raise Refused(strays or [Problem(_NO_PIPELINE, line=documents[0].first_line)])
    for kind, parts in (("pipeline", pipelines), ("platform", platforms)):
        strays += [
            Problem(f"There is more than one {kind} document; a package has one pipeline.", line=part.first_line)
            for part in parts[1:]
        ]
    return _parse(pipelines[0], platforms[0] if platforms else None, strays)


def parse_json(pipeline: Json, platform: Json = None) -> Document:
    """The same for documents that are JSON values already, as the API gets them. Raises Refused (without lines)."""

    def no_line(place: Place) -> None:
        return None

    if not isinstance(pipeline, dict):
        raise Refused([Problem(_NO_PIPELINE)])
    if problem := unstorable([pipeline, platform]):
        raise Refused([Problem(problem)])
    with _garbage_left_alone():
        return _parse(_Part(pipeline, no_line), _Part(platform, no_line) if platform else None, [])


def build(pipeline: dict[str, Json], platform: dict[str, Json] | None = None) -> PipelineSpec:
    """The typed value of documents that were parsed and checked before (canonical JSON, as stored)."""
    with _garbage_left_alone():
        return Builder().pipeline(pipeline, platform or {})


@contextmanager
def _garbage_left_alone() -> Iterator[None]:
    """Without the cyclic collector: it would walk a large document's objects, all of them in use, again and again.

    A package of 1 MB takes a third of the time so. Where two threads parse, one may go on with the collector: only slower.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _parse(pipeline: _Part, platform: _Part | None, strays: Sequence[Problem]) -> Document:
    pipeline_json, findings = strict.canonical(pipeline.value, strict.PIPELINE_SPEC)
    platform_json: dict[str, Json] = {}
    platform_findings: list[Finding] = []
    if platform is not None:
        platform_json, platform_findings = strict.canonical(platform.value, strict.PLATFORM_SPEC)
    builder, spec, found = _built(pipeline_json, platform_json)
    if found and (mended := loopitems.mended(pipeline_json)) is not None:
        pipeline_json = mended
        builder, spec, found = _built(pipeline_json, platform_json)
    findings += found
    platform_findings += builder.platform_findings
    platform_findings += check.check_platform(spec)
    problems = [*strays, *_located(findings, pipeline.line_of)]
    if platform is not None:
        problems += _located(platform_findings, platform.line_of)
    if problems:
        raise Refused(problems)
    return Document(pipeline_json, platform_json, spec)


def _built(pipeline: dict[str, Json], platform: dict[str, Json]) -> tuple[Builder, PipelineSpec, list[Finding]]:
    builder = Builder()
    spec = builder.pipeline(pipeline, platform)
    return builder, spec, [*builder.findings, *check.check(spec)]


def _located(findings: Sequence[Finding], line_of: LineOf) -> list[Problem]:
    """Findings as problems, each once, in the order of their lines."""
    unique = list(dict.fromkeys(findings))
    problems = [
        Problem(_shortened(finding.message), dotted(finding.place), line_of(finding.place)) for finding in unique[:MAX_PROBLEMS]
    ]
    problems.sort(key=lambda problem: problem.line or 0)
    if len(unique) > MAX_PROBLEMS:
        problems.append(Problem("There are more problems, which are not listed."))
    return problems


def _shortened(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE // 2]} … {message[-MAX_MESSAGE // 2 :]}"


# --- what a document is ---------------------------------------------------------------------------------------------


def _sort_in(document: SourceDocument, pipelines: list[_Part], platforms: list[_Part], strays: list[Problem]) -> None:
    value, line = document.value, document.first_line
    if not isinstance(value, dict):
        strays.append(Problem("This is neither a pipeline nor a platform document, but something else.", line=line))
        return
    if older.is_argo(value):
        strays.append(Problem(older.ARGO_REFUSAL, "apiVersion", document.line_of(("apiVersion",))))
        return
    if "implementation" in value:
        converted, problems = older.pipeline_from_component(value)
        if problems:
            raise Refused(_located(problems, document.line_of))
        pipelines.append(_Part(converted, _at_line(line), line))
        return
    if _manifest_kind(value) == "Pipeline":
        return  # only a name and a description
    found = False
    for place, part in _wrapped(value):
        fields = {camel(str(key)) for key in part}
        if fields & _PIPELINE_FIELDS:
            pipelines.append(_Part(part, _below(document, place), line))
            found = True
        elif "platforms" in fields:
            platforms.append(_Part(part, _below(document, place), line))
            found = True
    if not found:
        strays.append(Problem("This is neither a pipeline nor a platform document; remove it.", line=line))


def _wrapped(value: dict[str, Json]) -> list[tuple[Place, dict[str, Json]]]:
    """The documents that one document holds: itself, or those in KFP's API form or a Kubernetes PipelineVersion."""
    is_manifest = bool(_manifest_kind(value)) and isinstance(value.get("spec"), dict)
    outer: Place = ("spec",) if is_manifest else ()
    holder = value["spec"] if is_manifest else value
    parts: list[tuple[Place, dict[str, Json]]] = []
    for key, item in holder.items():
        if camel(str(key)) in ("pipelineSpec", "platformSpec") and isinstance(item, dict):
            parts.append(((*outer, key), item))
    return parts or [((), value)]


def _manifest_kind(value: dict[str, Json]) -> str:
    """The kind of a Kubernetes manifest of KFP, else empty."""
    return str(value.get("kind", "")) if str(value.get("apiVersion", "")).startswith("pipelines.kubeflow.org/") else ""


def _below(document: SourceDocument, outer: Place) -> LineOf:
    return lambda place: document.line_of((*outer, *place))


def _at_line(line: int) -> LineOf:
    return lambda place: line
