"""A request as it comes in pieces, and its answer: limits on size and patience, and sentences for what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

PATIENCE = 60.0  # seconds that a client may be silent, or not read, in the middle of a request
_DRAINED = 256 * 1024 * 1024  # bytes of a refused body that are read, so that its sender comes to read the sentence
_DRAINED_OF_STRANGERS = 64 * 1024
_DRAIN_FOR = 10.0  # seconds

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Refused(Exception):
    """A request that is not carried out: the status, a sentence for people, and further members of the answer."""

    def __init__(self, status: int, sentence: str, **more: Any) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.more = status, sentence, more


class Gone(Exception):
    """The client is there no more: nobody reads an answer."""


class Request:
    """One request."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._receive, self._send = receive, send
        self._read_all = self.headers.get("content-length", "0") == "0" and "transfer-encoding" not in self.headers
        self.answered = False
        self.status, self.received = 0, 0  # what was answered, and how many bytes came

    @property
    def length(self) -> int | None:
        """The announced bytes of the body; None where it comes in chunks. Raises Refused where it is no number."""
        text = self.headers.get("content-length")
        if text is None:
            return None
        if not text.isdigit():
            raise Refused(400, "The Content-Length is no number.")
        return int(text)

    async def chunks(self, limit: int, too_large: str) -> AsyncIterator[bytes]:
        """The body in pieces of some 64 KiB. Raises Refused beyond `limit` bytes, and Gone."""
        if (self.length or 0) > limit:
            raise Refused(413, too_large)
        size = 0
        while not self._read_all:
            piece = await self._next(PATIENCE)
            size += len(piece)
            if size > limit:
                raise Refused(413, too_large)
            if piece:
                yield piece

    async def body(self, limit: int, too_large: str) -> bytes:
        """The whole body. Raises Refused and Gone."""
        return b"".join([piece async for piece in self.chunks(limit, too_large)])

    async def _next(self, patience: float) -> bytes:
        try:
            message = await asyncio.wait_for(self._receive(), patience)
        except TimeoutError:
            raise Refused(408, f"Nothing came for {patience:g} s in the middle of the request.") from None
        if message["type"] != "http.request":
            raise Gone
        self._read_all = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        self.received += len(piece)
        return piece

    async def drain(self, *, stranger: bool) -> None:
        """Reads what is left of a body that was refused, as far as that is worth it."""
        size, most = 0, _DRAINED_OF_STRANGERS if stranger else _DRAINED
        deadline = asyncio.get_running_loop().time() + _DRAIN_FOR
        while not self._read_all and size < most and asyncio.get_running_loop().time() < deadline:
            try:
                size += len(await self._next(1.0))
            except (Refused, Gone):
                return

    # --- answers ---

    async def answer(self, status: int, data: Any = None) -> None:
        """A JSON answer; without `data` an empty one."""
        body = b"" if data is None else json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        if data is not None:
            headers.append((b"content-type", b"application/json"))
        if not self._read_all:
            headers.append((b"connection", b"close"))
        await self._begin(status, headers)
        await self._put(body, more=False)

    async def stream(self, pieces: AsyncIterator[bytes], size: int | None) -> None:
        """Bytes as they come. Raises Gone for a client that went away, or does not read for a while."""
        headers = [(b"content-type", b"application/octet-stream")]
        if size is not None:
            headers.append((b"content-length", str(size).encode()))
        await self._begin(200, headers)
        async for piece in pieces:
            await self._put(piece, more=True)
        await self._put(b"", more=False)

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.answered, self.status = True, status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _put(self, piece: bytes, *, more: bool) -> None:
        try:
            await asyncio.wait_for(self._send({"type": "http.response.body", "body": piece, "more_body": more}), PATIENCE)
        except (TimeoutError, OSError):
            raise Gone from None
