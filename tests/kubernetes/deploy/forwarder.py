"""Services without kube-proxy: takes connections at their ports and passes them on to a pod that is ready, as kube-proxy would.

For clusters that have none (a node alone, for tests). Runs as a pod; its address stands for every Service of its namespace.
python forwarder.py SERVICE:PORT:TARGET …
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import random
import socket
import ssl
import sys
import urllib.request

_ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
_UNANSWERED = (  # behind kube-proxy both ends ask each other whether they are there; here this program has to ask them
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
)
_ready: dict[str, list[str]] = {}
_open: set[asyncio.Task[None] | None] = set()  # the loop itself would let go of tasks that wait for a stream


def look() -> None:
    """Which pods are ready behind each Service, asked of the API server."""
    namespace = (_ACCOUNT / "namespace").read_text()
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"https://{host}:{port}/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {(_ACCOUNT / 'token').read_text()}"})
    trust = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, context=trust, timeout=5) as answer:
        slices = json.load(answer)["items"]
    found: dict[str, list[str]] = {}
    for one in slices:
        name = one["metadata"]["labels"]["kubernetes.io/service-name"]
        ready = [end["addresses"][0] for end in one.get("endpoints") or () if end["conditions"].get("ready")]
        found.setdefault(name, []).extend(ready)
    _ready.clear()
    _ready.update(found)


async def look_for_ever() -> None:
    """Looks every half second."""
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError):
            await asyncio.to_thread(look)
        await asyncio.sleep(0.5)


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Bytes of one direction, until its end."""
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    with contextlib.suppress(OSError, RuntimeError):
        target.write_eof()


async def serve(service: str, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    ends = list(_ready.get(service, ()))
    random.shuffle(ends)
    for end in ends:
        try:
            answers, asks = await asyncio.wait_for(asyncio.open_connection(end, target), 2)
        except (OSError, TimeoutError):
            continue
        for one in (asks, writer):
            for option in _UNANSWERED:
                one.get_extra_info("socket").setsockopt(*option)
        await asyncio.gather(pass_on(reader, asks), pass_on(answers, writer))
        asks.close()
        break
    writer.close()


async def main(services: list[str]) -> None:
    """Serves all of them."""
    for text in services:
        service, port, target = text.split(":")

        async def one(reader, writer, service=service, target=int(target)):  # noqa: ANN001, ANN202  # asyncio's own types
            task = asyncio.current_task()
            _open.add(task)
            try:
                await serve(service, target, reader, writer)
            finally:
                _open.discard(task)

        await asyncio.start_server(one, "0.0.0.0", int(port))
    await look_for_ever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
