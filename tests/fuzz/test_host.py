"""What comes to the host's socket, whatever it is: an answer or the end of the connection, and the host goes on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import io
import json
import pathlib
import tempfile
from collections import Counter
from typing import Any

from hypothesis import strategies as st

from runs.executors.local.host.config import Config
from runs.executors.local.host.server import Host
from tests.fuzz.mutations import CUTS, SCALARS, VALUES, cut
from tests.fuzz.trying import attempt

Json = Any
NAMES = st.sampled_from(("a", "a-1", "", "..", "../x", "a/b", "x" * 300, "\0", "\ud800", "é")) | SCALARS
KEYS = st.fixed_dictionaries({"name": NAMES, "run_id": NAMES, "path": NAMES, "number": SCALARS}) | VALUES
REQUESTS = st.one_of(
    st.builds(
        lambda do, keys, grace: {"id": 1, "do": do, "attempts": keys, "grace": grace},
        st.sampled_from(("stop", "look", "forget")),
        st.lists(KEYS, max_size=3) | VALUES,
        SCALARS,
    ),
    st.builds(lambda orders: {"id": 1, "do": "start", "orders": orders}, st.lists(VALUES | KEYS, max_size=2) | VALUES),
    st.fixed_dictionaries({"do": st.sampled_from(("state", "observe", "x", "close")) | VALUES}, optional={"id": VALUES}),
    VALUES,
)
LINES = st.one_of(
    REQUESTS.map(lambda value: json.dumps(value).encode()),
    REQUESTS.map(lambda value: json.dumps(value).encode()),
    st.builds(lambda value, cuts: cut(json.dumps(value).encode(), cuts), REQUESTS, CUTS),
    st.binary(max_size=20),
    st.sampled_from((b"", b"[" * 100_000, b"9" * 10_000, b"null", b"[]", b"\xff", b'{"do": "state"')),
)
STATE = b'{"id": 7, "do": "state"}'


def the_host_goes_on(lines: list[bytes]) -> str:
    """Whatever comes on one connection, another is served as before, and nothing escapes."""
    failures: list[Any] = []
    with (
        tempfile.TemporaryDirectory(prefix="kfdash-") as name,
        contextlib.redirect_stderr(io.StringIO()),
        # In a thread of its own: a browser's tests may have left a loop running in this one.
        concurrent.futures.ThreadPoolExecutor(1) as thread,
    ):
        return thread.submit(asyncio.run, talk(pathlib.Path(name), lines, failures)).result()


async def talk(folder: pathlib.Path, lines: list[bytes], failures: list[Any]) -> str:
    """A host without a process of its own, one connection with these lines, and one that asks for its state."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    host = Host(config_in(folder))
    server = await host.serve(folder / "s")
    said = b""  # where the host ends a connection with lines unread, it is reset
    try:
        reader, writer = await asyncio.open_unix_connection(folder / "s")
        with contextlib.suppress(ConnectionError):
            writer.write(b"\n".join(lines) + b"\n")
            await writer.drain()
            writer.write_eof()
            async with asyncio.timeout(5):
                said = await reader.read()
            for line in said.splitlines():
                json.loads(line)
        writer.close()
        reader, writer = await asyncio.open_unix_connection(folder / "s")
        writer.write(STATE + b"\n")
        async with asyncio.timeout(5):
            answer = json.loads(await reader.readline())
        assert answer["id"] == 7 and answer["answer"]["running"] == 0, answer
        writer.close()
    finally:
        server.close()
        await host.close()
    assert not failures, failures
    return f"{said.count(b'answer')} answers" if said.count(b"answer") < 3 else "more"


def config_in(folder: pathlib.Path) -> Config:
    """A host's settings with everything in one folder."""
    return Config(folder / "host", folder / "s", folder / "artifacts", folder / "logs", places=1, grace=0.1)


def test_whatever_comes_to_its_socket_the_host_goes_on() -> None:
    fuzz(60, start=1)


def fuzz(count: int, start: int) -> Counter[str]:
    """Many cases; how they ended."""
    return attempt(st.lists(LINES, min_size=1, max_size=6), the_host_goes_on, count=count, start=start)
