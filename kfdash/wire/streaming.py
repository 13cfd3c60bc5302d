"""Answers that are made piece by piece. Under ASGI a plain iterator would be read to its end first, into memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

Piece = TypeVar("Piece", str, bytes)
_PIECE = 64 * 1024


def stream_text(request: HttpRequest, lines: Iterator[str]) -> StreamingHttpResponse:
    """A plain text, sent while it is read."""
    return stream(request, _gather(lines), "text/plain; charset=utf-8")


def stream(request: HttpRequest, pieces: Iterator[Piece], content_type: str) -> StreamingHttpResponse:
    """Pieces of a file, each sent before the next one is made."""
    content = _in_turn(pieces) if isinstance(request, ASGIRequest) else pieces
    response = StreamingHttpResponse(content, content_type=content_type)
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _gather(lines: Iterator[str]) -> Iterator[str]:
    """The lines in few large pieces."""
    waiting: list[str] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= _PIECE:
            yield "".join(waiting)
            waiting, size = [], 0
    yield "".join(waiting)


async def _in_turn(pieces: Iterator[Piece]) -> AsyncIterator[Piece]:
    """Each piece is read in a thread when the one before has been sent."""
    while (piece := await sync_to_async(next, thread_sensitive=False)(pieces, None)) is not None:
        yield piece
