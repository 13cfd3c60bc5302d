"""Many browsers at once: 500 sockets on two webs, and when each is told of a change that a worker made.

The sockets are bare connections that ask for compression as browsers do, and note when something came; what it was is read
afterwards, so that the load generator takes little of the machine.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.bench.figures import Figure, measure
from tests.bench.pipelines import scripts, uncached
from tests.bench.separate import Client, Stack, separate
from tests.bench.shared_fake import STEP_SECONDS
from tests.bench.stack import moment
from tests.bench.throughput import PARTS, shares

SOCKETS, AT_ONCE = 500, 50
RUNS = 10  # that are watched, by as many sockets each
STEPS, SECONDS = 12, 1.0  # of each run, one after the other
IDLE_SECONDS = 10
BUDGET = 300  # ms
_TEXT, _CLOSE, _PING = 1, 8, 9


class Watcher(asyncio.Protocol):
    """A socket of a run's page: what came and when."""

    def __init__(self, address: str, path: str) -> None:
        self.address, self.path = address, path
        self.came: list[tuple[float, bool, bytes]] = []  # Unix time, whether compressed, payload
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        """Asks to be a WebSocket."""
        self._transport = transport
        host, key = urlsplit(self.address).netloc, base64.b64encode(os.urandom(16)).decode()
        lines = (
            *(f"GET {self.path} HTTP/1.1", f"Host: {host}", f"Origin: {self.address}", "Upgrade: websocket"),
            *("Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"),
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        )
        transport.write("\r\n".join((*lines, "", "")).encode())

    def data_received(self, data: bytes) -> None:
        """Notes whole messages; answers pings."""
        now = time.time()
        self._buffer += data
        if not self.opened.done():
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._buffer = rest
            self.opened.set_result(None)
        while (frame := _frame(self._buffer)) is not None:
            kind, compressed, payload, size = frame
            self._buffer = self._buffer[size:]
            if kind == _TEXT:
                self.came.append((now, compressed, payload))
            elif kind == _PING:
                self._transport.write(bytes((0x8A, 0x80 | len(payload), 0, 0, 0, 0)) + payload)

    def connection_lost(self, error: Exception | None) -> None:
        """One that is refused fails whoever waits for it."""
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("The socket was refused."))

    def messages(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """When each message came, and what it said."""
        inflate = zlib.decompressobj(-15)
        for at, compressed, payload in self.came:
            yield at, json.loads(inflate.decompress(payload + b"\0\0\xff\xff") if compressed else payload)

    def close(self) -> None:
        self._transport.close()


def _frame(data: bytes) -> tuple[int, bool, bytes, int] | None:
    """Kind, whether compressed, payload and size of a server's first frame; None where it is not whole."""
    if len(data) < 2:
        return None
    length, at = data[1] & 0x7F, 2
    if length >= 126:
        at = 4 if length == 126 else 10
        length = int.from_bytes(data[2:at], "big")
    if len(data) < at + length:
        return None
    return data[0] & 0x0F, bool(data[0] & 0x40), data[at : at + length], at + length


@measure("crowd")
def crowd() -> Iterator[Figure]:
    """From a change that a worker wrote until it is at 500 sockets of two webs; processor and memory that they cost."""
    with separate(*PARTS, **{STEP_SECONDS: str(SECONDS)}) as stack:
        before = stack.memory()
        watchers, figures = asyncio.run(_watch(stack))
        told = list(_late(watchers))
        late, sent = (sorted(seconds) for seconds in zip(*told, strict=True))
        assert len(late) > SOCKETS * STEPS * 0.9, f"{len(late)} changes were seen."
        yield Figure(f"state change until at {SOCKETS} sockets: p50", late[len(late) // 2] * 1000, "ms", BUDGET)
        yield Figure(f"state change until at {SOCKETS} sockets: p95", late[int(len(late) * 0.95)] * 1000, "ms", BUDGET)
        yield Figure(f"state change until at {SOCKETS} sockets: the last", late[-1] * 1000, "ms")
        name = f"of that, from when a web begins to tell {SOCKETS} sockets"
        yield Figure(f"{name}: p50", sent[len(sent) // 2] * 1000, "ms")
        yield Figure(f"{name}: p95", sent[int(len(sent) * 0.95)] * 1000, "ms")
        yield Figure(f"{SOCKETS} sockets: messages to all", sum(len(watcher.came) for watcher in watchers) - SOCKETS, "")
        yield from figures
        for name in stack.addresses:
            held = (stack.memory()[name] - before[name]) / SOCKETS * len(stack.addresses) * 1024
            yield Figure(f"{SOCKETS} sockets: memory of {name} for each", held, "KiB")
        assert not stack.said(), stack.said()


async def _watch(stack: Stack) -> tuple[list[Watcher], list[Figure]]:
    """Sockets that saw runs to their ends, and what each process took while they changed."""
    addresses = list(stack.addresses.values())
    names = [f"step-{number}" for number in range(STEPS)]
    document = uncached(scripts(dict.fromkeys(names, "true"), dict(zip(names[1:], names, strict=False))))
    body = json.dumps({"display_name": "bench", "pipeline_spec": document}).encode()
    stack.pause("orders")  # until all sockets are open
    runs = [Client(addresses[0]).send("POST", "/apis/v2beta1/runs", body)["run_id"] for _ in range(RUNS)]
    watchers: list[Watcher] = []
    for start in range(0, SOCKETS, AT_ONCE):
        watchers += await asyncio.gather(
            *(
                open_socket(addresses[number % len(addresses)], runs[number // len(addresses) % RUNS])
                for number in range(start, start + AT_ONCE)
            )
        )
    with shares(stack, f"{SOCKETS} sockets where nothing happens") as idle:
        await asyncio.sleep(IDLE_SECONDS)
    stack.go_on("orders")
    with shares(stack, f"{SOCKETS} sockets") as used:
        while any(_goes_on(addresses[0], run) for run in runs):
            await asyncio.sleep(0.5)
        await asyncio.sleep(1)
    for watcher in watchers:
        watcher.close()
    return watchers, [*idle(), *used()]


async def open_socket(address: str, run: str) -> Watcher:
    """A socket of a run's page, open."""
    host, _, port = urlsplit(address).netloc.partition(":")
    loop = asyncio.get_running_loop()
    _, watcher = await loop.create_connection(lambda: Watcher(address, f"/ws/runs/{run}/"), host, int(port))
    await watcher.opened
    return watcher


def _goes_on(address: str, run: str) -> bool:
    state = Client(address).send("GET", f"/apis/v2beta1/runs/{run}")["state"]
    assert state != "FAILED", run
    return bool(state != "SUCCEEDED")


def _late(watchers: list[Watcher]) -> Iterator[tuple[float, float]]:
    """For each socket and each step that ended while it was open: seconds from its end, and from when the web told of it."""
    for watcher in watchers:
        known: set[str] = set()
        for at, message in watcher.messages():
            ended = {task["path"]: task["finished"] for task in message["tasks"] if task.get("finished")}
            if message["type"] == "changed":
                for path in ended.keys() - known - {"root"}:
                    yield at - moment(ended[path]), at - moment(message["now"])
            known |= ended.keys()
