"""An artifact as something to look at. `preview` chooses by type first (metrics, HTML, …), then by what the bytes are."""

from __future__ import annotations

import contextlib
import json
import pathlib
from dataclasses import dataclass, field
from typing import Any

import nh3
from markdown_it import MarkdownIt

from runs.artifacts import content
from runs.artifacts.charts import Confusion, RocChart, confusion, roc_chart
from runs.artifacts.tables import Table, read_table
from runs.models import Artifact

_MOST_TEXT = 256 * 1024  # bytes of a text that is shown
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


@dataclass(frozen=True)
class Preview:
    """What a page shows of an artifact. `kind` names the partial: metrics, classification, markdown, html, image, table,
    text, folder, binary or missing; the member for it is filled, and `note` says what was left out or is amiss."""

    kind: str
    note: str = ""
    size: int | None = None
    metrics: list[tuple[str, Any]] = field(default_factory=list)
    roc: RocChart | None = None
    confusion: Confusion | None = None
    markup: str = ""  # sanitised
    table: Table | None = None
    text: str = ""
    entries: list[content.Entry] = field(default_factory=list)
    file: str = ""  # of a folder: which file this is about


def preview(artifact: Artifact, file: str = "", *, ask: bool = True) -> Preview:
    """The preview of an artifact, or of one file of it where it is a folder. Never raises for what the bytes are.

    Without `ask` no bucket is asked for one that lies there.
    """
    if artifact.type == "system.Metrics":
        return Preview("metrics", metrics=metric_rows(artifact.metadata))
    if artifact.type in ("system.ClassificationMetrics", "system.SlicedClassificationMetrics"):
        return _classification(artifact.metadata)
    try:
        found = content.folder(artifact, ask=ask)
        if found is not None and not file:
            return Preview("folder", entries=found, size=sum(entry.size for entry in found))
        path = content.file_in(artifact, file if found is not None else "", ask=ask)
        return _of_file(path, artifact.type, file)
    except content.NotHere as error:
        return Preview("missing", note=str(error))
    except OSError as error:
        return Preview("missing", note=f"The store cannot be read: {error.strerror or error}.")


def metric_rows(metadata: dict[str, Any]) -> list[tuple[str, Any]]:
    """Name and value of each metric, numbers first; what the platform itself added is left out."""
    rows = [(name, value) for name, value in metadata.items() if name not in ("display_name", "store_session_info")]
    return sorted(rows, key=lambda row: (isinstance(row[1], str | dict | list), row[0]))


def _classification(metadata: dict[str, Any]) -> Preview:
    roc, matrix = roc_chart(metadata), confusion(metadata)
    if roc is None and matrix is None:
        return Preview("metrics", metrics=metric_rows(metadata), note="There is neither a confusion matrix nor a ROC curve in it.")
    return Preview("classification", roc=roc, confusion=matrix)


def _of_file(path: pathlib.Path, type_: str, file: str) -> Preview:
    size = path.stat().st_size
    name = path.name.lower()
    with path.open("rb") as stream:
        head = stream.read(_MOST_TEXT)
    if type_ == "system.HTML" or name.endswith((".html", ".htm")):
        return Preview("html", size=size, file=file)
    if type_ == "system.Markdown" or name.endswith(".md"):
        return Preview("markdown", size=size, markup=_markdown(_decoded(head)), note=_cut_note(size), file=file)
    if _image_type(head, name):
        return Preview("image", size=size, file=file)
    if table := read_table(path, head):
        return Preview("table", size=size, table=table, note=table.note, file=file)
    if b"\0" in head[:8192] or not _is_text(head):
        return Preview("binary", size=size, file=file)
    text = _decoded(head)
    if size <= _MOST_TEXT and head.lstrip()[:1] in (b"{", b"["):
        with contextlib.suppress(ValueError):  # it only looked like JSON: shown as it is
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return Preview("text", size=size, text=text, note=_cut_note(size), file=file)


def image_type(path: pathlib.Path) -> str:
    """The media type of an image that may be shown as one, else empty."""
    with path.open("rb") as stream:
        return _image_type(stream.read(512), path.name.lower())


def _image_type(head: bytes, name: str) -> str:
    for magic, media_type in _IMAGES.items():
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if name.endswith(".svg") or (b"<svg" in head[:512] and b"\0" not in head[:512]):
        return "image/svg+xml"
    return ""


def _markdown(text: str) -> str:
    return nh3.clean(MarkdownIt("commonmark", {"html": False}).enable("table").render(text), link_rel="noopener noreferrer")


def _is_text(head: bytes) -> bool:
    try:
        head[: len(head) - 4 if len(head) == _MOST_TEXT else None].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _cut_note(size: int) -> str:
    return f"Only the first {_MOST_TEXT // 1024} KiB are shown; download it for the rest." if size > _MOST_TEXT else ""
