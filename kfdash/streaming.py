"""Long answers in pieces. Under ASGI a synchronous iterator would be read to its end before the first byte is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

from asgiref.sync import sync_to_async

Piece = TypeVar("Piece", str, bytes)
_END = object()


async def in_pieces(pieces: Iterator[Piece]) -> AsyncIterator[Piece]:
    """The pieces of a synchronous iterator, each fetched in a thread when the client has taken the one before."""
    fetch = sync_to_async(next, thread_sensitive=False)
    while (piece := await fetch(pieces, _END)) is not _END:
        yield piece  # type: ignore[misc]


def joined(lines: Iterator[str], length: int = 1 << 16) -> Iterator[bytes]:
    """Short lines of text as pieces of about `length` bytes."""
    kept: list[bytes] = []
    size = 0
    for line in lines:
        data = line.encode()
        kept.append(data)
        size += len(data)
        if size >= length:
            yield b"".join(kept)
            kept, size = [], 0
    if kept:
        yield b"".join(kept)
