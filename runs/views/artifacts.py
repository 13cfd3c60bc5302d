"""The page of an output, its bytes for frames and images, and its download."""

from __future__ import annotations

import io
import pathlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.http import content_disposition_header
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from kfdash.wire.streaming import stream
from pipelines.spec import paths
from runs.artifacts import content
from runs.artifacts.previews import image_type, preview
from runs.models import Artifact, ArtifactUse, Task
from runs.views.loglines import gone

# A frame's document may run scripts, but has no origin, no network and no way out of its frame.
_FRAME_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob: data:; "
    "style-src 'unsafe-inline' data:; img-src data: blob:; font-src data:; media-src data: blob:; worker-src blob:"
)
_IMAGE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_MOST_USERS = 20  # steps that used it, on the page


@dataclass(frozen=True)
class StepOutputs:
    """A step of a run with what it made."""

    path: str
    name: str
    task: Task | None
    artifacts: list[Artifact]


@require_safe
def artifact_detail(request: HttpRequest, artifact_id: int) -> HttpResponse:
    """The page of one output."""
    artifact = get_object_or_404(Artifact.objects.select_related("run"), pk=artifact_id)
    file = request.GET.get("file", "")
    steps = _steps_of(artifact)
    mine = next((step for step in steps if step.path == artifact.path), None)
    others = [other for other in (mine.artifacts if mine else []) if other.pk != artifact.pk][:6]
    return render(
        request,
        "runs/artifact.html",
        {
            "artifact": artifact,
            "run": artifact.run,
            "file": file,
            "preview": preview(artifact, file),
            "steps": steps,
            "step": mine,
            "beside": [(other, preview(other, ask=False)) for other in others],
            "inputs": _inputs_of(artifact),
            "users": _users_of(artifact),
        },
    )


def _steps_of(artifact: Artifact) -> list[StepOutputs]:
    """All outputs of the artifact's run, by step in order of their making."""
    if artifact.run_id is None:
        return [StepOutputs(artifact.path, paths.key(artifact.path), None, [artifact])]
    by_path: dict[str, list[Artifact]] = {}
    for other in Artifact.objects.filter(run_id=artifact.run_id).order_by("id")[:2000]:
        by_path.setdefault(other.path, []).append(other)
    tasks = {task.path: task for task in Task.objects.filter(run_id=artifact.run_id, path__in=list(by_path)[:500])}
    first: dict[str, int] = {}  # of each step as the pipeline has it: which of its iterations ended first says nothing
    for path in by_path:
        first.setdefault(paths.template(path), len(first))
    order = sorted(by_path, key=lambda path: (first[paths.template(path)], _indices(path)))
    return [StepOutputs(path, step_name(path), tasks.get(path), by_path[path]) for path in order]


def _indices(path: str) -> list[int]:
    """The iterations that a step is in, the outermost first."""
    return [index for up in reversed([path, *paths.ancestors(path)]) if (index := paths.index(up)) is not None]


def step_name(path: str) -> str:
    """A step's short name: its key, and the iterations it is in (`train[3]`)."""
    return paths.key(path) + "".join(f"[{index}]" for index in _indices(path))


def _inputs_of(artifact: Artifact) -> list[Artifact]:
    if artifact.run_id is None:
        return []
    uses = ArtifactUse.objects.filter(run_id=artifact.run_id, path=artifact.path).select_related("artifact")
    return [use.artifact for use in uses]


def _users_of(artifact: Artifact) -> list[tuple[ArtifactUse, str]]:
    uses = artifact.uses.select_related("run").order_by("id")[:_MOST_USERS]
    return [(use, step_name(use.path)) for use in uses]


@require_safe
@xframe_options_sameorigin  # our pages show it in a sandboxed frame
def artifact_content(request: HttpRequest, artifact_id: int) -> HttpResponseBase:
    """An output's bytes for a frame (HTML) or an image; nothing else is shown as itself."""
    artifact = get_object_or_404(Artifact, pk=artifact_id)
    try:
        path = content.file_in(artifact, request.GET.get("file", ""))
    except content.Removed as error:
        return gone(request, str(error))
    except content.NotHere as error:
        raise Http404(str(error)) from None
    if media_type := image_type(path):
        response: HttpResponseBase = _sent(request, path, media_type)
        response.headers["Content-Security-Policy"] = _IMAGE_POLICY
    else:
        response = _sent(request, path, "text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _FRAME_POLICY
    return response


def _sent(request: HttpRequest, path: pathlib.Path, media_type: str) -> HttpResponseBase:
    response = stream(request, content.chunks(path), media_type)
    response.headers["Content-Length"] = str(path.stat().st_size)
    return response


@require_safe
def artifact_download(request: HttpRequest, artifact_id: int) -> HttpResponseBase:
    """An output as a file; a folder as a `.tar.gz`, made while it is sent."""
    artifact = get_object_or_404(Artifact, pk=artifact_id)
    file = request.GET.get("file", "")
    try:
        if not file and (entries := content.folder(artifact)) is not None:
            packed = stream(request, _packed(artifact, entries), "application/gzip")
            packed.headers["Content-Disposition"] = f'attachment; filename="{_plain(artifact.name)}.tar.gz"'
            return packed
        name, size, pieces = content.download(artifact, file)
    except content.Removed as error:
        return gone(request, str(error))
    except content.NotHere as error:
        raise Http404(str(error)) from None
    response = stream(request, pieces, content.media_type(name))
    response.headers["Content-Length"] = str(size)
    response.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    return response


def _plain(name: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in name)


def _packed(artifact: Artifact, entries: list[content.Entry]) -> Iterator[bytes]:
    """A folder as a gzip'd tar, in pieces: no file of it is in memory."""
    buffer = _Pieces()
    with tarfile.open(mode="w|gz", fileobj=buffer) as archive:
        for entry in entries:
            try:
                _, size, pieces = content.download(artifact, entry.path)
            except content.NotHere:
                continue  # it went meanwhile
            member = tarfile.TarInfo(f"{artifact.name}/{entry.path}")
            member.size, member.mtime = size, int(artifact.created_at.timestamp())
            head = member.tobuf(archive.format, archive.encoding, archive.errors)
            padding = b"\0" * (-size % tarfile.BLOCKSIZE)
            for piece in chain([head], pieces, [padding]):
                archive.fileobj.write(piece)  # type: ignore[union-attr]
                yield from buffer.taken()
            archive.offset += len(head) + size + len(padding)
    yield from buffer.taken()


class _Pieces(io.RawIOBase):
    """A file that keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._kept.append(bytes(data))
        return len(data)

    def taken(self) -> list[bytes]:
        """What was written since the last call."""
        kept, self._kept = self._kept, []
        return kept
