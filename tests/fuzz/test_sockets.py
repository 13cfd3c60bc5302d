"""Messages that pages send to the sockets, whatever they are: an answer, silence or the end, never a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import pathlib
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter
from django.test import override_settings
from hypothesis import strategies as st

from pipelines.models import Specification
from runs import models
from runs.routing import websocket_urlpatterns
from tests.fuzz.mutations import VALUES
from tests.fuzz.trying import attempt

Json = Any
APPLICATION = URLRouter(websocket_urlpatterns)
RUN = uuid.UUID("7f3a9c2e-1b4d-4f0e-9c55-0d2b8e6a1f37")
KEYS = st.sampled_from(
    (f"{RUN}/train-1", f"{RUN}/", f"{RUN}/..", f"{RUN}/../../x", f"{RUN}/a b", f"{RUN}/é\0", f"{RUN}/" + "x" * 5000)
)
MESSAGES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("log.follow")},
        optional={"log": KEYS | KEYS | VALUES, "from": st.sampled_from((1, 0, -5, 10**400, True)) | VALUES, "x": VALUES},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(("sync", "ping", "log.leave", "run_changed", "log.lines", "disconnect", "")) | VALUES}
    ),
    VALUES,
)
FRAMES = st.one_of(
    MESSAGES.map(lambda value: {"text": json.dumps(value)}),
    MESSAGES.map(lambda value: {"text": json.dumps(value)}),
    st.text(max_size=20).map(lambda text: {"text": text}),
    st.binary(max_size=20).map(lambda data: {"bytes": data}),
    st.sampled_from(
        ({"text": "[" * 100_000}, {"text": "9" * 5000}, {"text": '"' + "x" * 2_000_000 + '"'}, {"text": ""}, {"bytes": b""})
    ),
)
SCENARIOS = st.tuples(st.sampled_from((f"/ws/runs/{RUN}/", "/ws/runs/")), st.lists(FRAMES, min_size=1, max_size=5))


class Complaints(logging.Handler):
    """What was logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@contextlib.contextmanager
def a_run() -> Iterator[None]:
    """A run with one step in the database, an empty folder of logs, and a layer in memory."""
    specification = Specification.objects.create(id="fuzzed", pipeline={}, name="sample")
    row = models.Run.objects.create(
        id=RUN, number=1, name="sample", resource_name="x", experiment_key=uuid.uuid4(), specification=specification, event_number=7
    )
    models.Task.objects.create(run=row, path="root", parent="", kind="dag", state="RUNNING")
    with tempfile.TemporaryDirectory() as folder:
        layer = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
        with override_settings(CHANNEL_LAYERS=layer, LOGS_DIR=pathlib.Path(folder)):
            yield
    row.delete()
    specification.delete()


def a_socket_lives_or_closes(scenario: tuple[str, list[dict[str, Any]]]) -> str:
    """Whatever comes: the socket goes on and answers a ping, or it has closed; nothing escapes and nothing is logged."""
    path, frames = scenario
    complaints, failures = Complaints(), []
    logging.getLogger().addHandler(complaints)

    async def play() -> str:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
        socket = ApplicationCommunicator(
            APPLICATION, {"type": "websocket", "path": path, "query_string": b"", "headers": [], "subprotocols": []}
        )
        await socket.send_input({"type": "websocket.connect"})
        assert (await socket.receive_output(5))["type"] == "websocket.accept"
        for frame in frames:
            await socket.send_input({"type": "websocket.receive", **frame})
        await socket.send_input({"type": "websocket.receive", "text": '{"type": "ping"}'})
        ending = ""
        while not ending:
            said = await socket.receive_output(5)
            ending = (
                "closed" if said["type"] == "websocket.close" else "lives" if json.loads(said["text"])["type"] == "pong" else ""
            )
        await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await socket.wait(5)
        return ending

    try:
        ending = async_to_sync(play)()
    finally:
        logging.getLogger().removeHandler(complaints)
    assert not complaints.said and not failures, (complaints.said, failures)
    return ending


@pytest.mark.django_db(transaction=True)
def test_whatever_a_page_sends_its_socket_lives_or_closes() -> None:
    fuzz(60, start=1)


def fuzz(count: int, start: int) -> Counter[str]:
    """Many cases; how they ended."""
    with a_run():
        return attempt(SCENARIOS, a_socket_lives_or_closes, count=count, start=start)
