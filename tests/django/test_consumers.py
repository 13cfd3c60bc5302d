"""The sockets of live pages, without a browser: snapshot first, changes merged, logs without a gap or a doubled line."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from channels.routing import URLRouter

from kfdash import live
from pipelines.models import Specification
from runs import consumers, logs, logstore, models
from runs.routing import websocket_urlpatterns

pytestmark = pytest.mark.django_db(transaction=True)
APPLICATION = URLRouter(websocket_urlpatterns)
RUN = uuid.UUID("7f3a9c2e-1b4d-4f0e-9c55-0d2b8e6a1f37")
KEY = f"{RUN}/train-1"


@pytest.fixture(autouse=True)
def layer(settings, tmp_path):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    settings.LOGS_DIR = tmp_path


@pytest.fixture
def run():
    specification = Specification.objects.create(id="s", pipeline={}, name="sample")
    row = models.Run.objects.create(
        id=RUN, number=1, name="sample", resource_name="x", experiment_key=uuid.uuid4(), specification=specification, event_number=7
    )
    models.Task.objects.create(run=row, path="root", parent="", kind="dag", state="RUNNING")
    models.Task.objects.create(run=row, path="root/train", parent="root", kind="container", waiting_on=2)
    return row


def message(path, number, previous, state="RUNNING", **more):
    task = {"path": path, "kind": "container", "state": state, "attention": False, "cached": False, "reason": "", "cause": ""}
    task |= {"attempt": 1, "ready": None, "started": None, "finished": None, "children": 0, "ended": 0, "succeeded": 0, "failed": 0}
    task |= {"running": 0, "waiting_on": 0, "retry_at": None}
    return {"type": "run.changed", "number": number, "previous": previous, "run": {"state": "RUNNING"}, "tasks": [{**task, **more}]}


class Socket(ApplicationCommunicator):
    """A connected socket, in JSON."""

    async def receive_json_from(self, timeout=5):
        return json.loads((await self.receive_output(timeout))["text"])

    async def send_json_to(self, content):
        await self.send_input({"type": "websocket.receive", "text": json.dumps(content)})


def on_socket(scenario, path=f"/ws/runs/{RUN}/"):
    """Runs a scenario with a connected socket and the layer."""

    async_to_sync(connected)(scenario, path)


async def connected(scenario, path=f"/ws/runs/{RUN}/"):
    socket = Socket(APPLICATION, {"type": "websocket", "path": path, "query_string": b"", "headers": [], "subprotocols": []})
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(5))["type"] == "websocket.accept"
    try:
        await scenario(socket, get_channel_layer())
    finally:
        await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await socket.wait()


def lines(*numbers):
    return {
        "type": "log.lines",
        "log": KEY,
        "lines": [[number, number * 1000, "o", f"line {number}"] for number in numbers],
        "ended": False,
    }


def write_log(count):
    writer = logstore.LogWriter(logs.folder(KEY))
    for number in range(1, count + 1):
        writer.append(number * 1000, "o", f"line {number}")


def test_a_page_first_gets_the_run_and_all_its_tasks_worded(run):
    async def scenario(socket, layer):
        first = await socket.receive_json_from()
        assert (first["type"], first["number"], first["run"]["state"]) == ("snapshot", 7, "PENDING")
        tasks = {task["path"]: task for task in first["tasks"]}
        assert tasks["root/train"]["line"] == "after 2 steps"

    on_socket(scenario)


def test_a_burst_of_changes_becomes_few_messages_and_the_newest_state_of_a_task_wins(run):
    async def scenario(socket, layer):
        await socket.receive_json_from()
        for number in range(8, 108):
            await layer.group_send(live.run_group(str(RUN)), message(f"root/step-{number % 10}", number, number - 1))
        await layer.group_send(live.run_group(str(RUN)), message("root/step-1", 108, 107, state="SUCCEEDED"))
        await asyncio.sleep(0.6)
        got = []
        while not await socket.receive_nothing(timeout=0.1):
            got.append(await socket.receive_json_from())
        assert len(got) <= 4
        assert [one["previous"] for one in got] == [7, *[one["number"] for one in got[:-1]]], "each follows the one before"
        assert got[-1]["number"] == 108
        newest = {task["path"]: task["state"] for one in got for task in one["tasks"]}
        assert newest["root/step-1"] == "SUCCEEDED" and len(newest) == 10

    on_socket(scenario)


def test_a_page_that_missed_something_asks_for_a_snapshot(run):
    async def scenario(socket, layer):
        await socket.receive_json_from()
        await socket.send_json_to({"type": "sync"})
        assert (await socket.receive_json_from())["type"] == "snapshot"

    on_socket(scenario)


def test_pages_whose_messages_are_lost_look_together_and_are_told(run, monkeypatch):
    asked = []
    read = consumers._read_numbers

    async def counted(run_ids):
        asked.append(set(run_ids))
        return await read(run_ids)

    monkeypatch.setattr(consumers, "_LOOK_AFTER", 0.1)
    monkeypatch.setattr(consumers, "_read_numbers", counted)
    write = sync_to_async(models.Run.objects.filter(pk=RUN).update)

    async def scenario(socket, layer):
        async def other(other, layer):
            for one in (socket, other):
                await one.receive_json_from()
            asked.clear()
            await write(event_number=9)
            assert [(await one.receive_json_from())["number"] for one in (socket, other)] == [9, 9]
            assert asked and set(map(frozenset, asked)) == {frozenset({str(RUN)})}

        await connected(other)

    on_socket(scenario)


def test_a_run_that_is_gone_is_said_to_be_gone(db):
    async def scenario(socket, layer):
        assert (await socket.receive_json_from())["type"] == "gone"

    on_socket(scenario)


def test_a_log_is_read_from_where_the_page_stands_and_then_followed(run):
    write_log(10)

    async def scenario(socket, layer):
        await socket.receive_json_from()
        await socket.send_json_to({"type": "log.follow", "log": KEY, "from": 8})
        first = await socket.receive_json_from()
        assert [line[0] for line in first["lines"]] == [8, 9, 10] and first["count"] == 10
        await layer.group_send(live.log_group(KEY), lines(9, 10, 11, 12))
        more = await socket.receive_json_from()
        assert [line[0] for line in more["lines"]] == [11, 12], "what was sent is not sent again"

    on_socket(scenario)


def test_lines_that_a_message_lost_are_read_from_the_store(run):
    write_log(20)

    async def scenario(socket, layer):
        await socket.receive_json_from()
        await socket.send_json_to({"type": "log.follow", "log": KEY, "from": 21})
        await asyncio.sleep(0.1)
        write_more = logstore.LogWriter(logs.folder(KEY))
        for number in range(21, 31):
            write_more.append(number, "o", f"line {number}")
        await layer.group_send(live.log_group(KEY), lines(30))
        got = []
        while not await socket.receive_nothing(timeout=0.3):
            got += (await socket.receive_json_from())["lines"]
        assert [line[0] for line in got] == list(range(21, 31))

    on_socket(scenario)


def test_a_flood_of_lines_sends_the_last_and_says_how_many_there_are(run):
    async def scenario(socket, layer):
        await socket.receive_json_from()
        await socket.send_json_to({"type": "log.follow", "log": KEY, "from": 1})
        write_log(20_000)
        await layer.group_send(live.log_group(KEY), lines(*range(19_001, 20_001)))
        got = []
        while not await socket.receive_nothing(timeout=0.4):
            got.append(await socket.receive_json_from())
        assert got[-1]["count"] == 20_000
        assert sum(len(one["lines"]) for one in got) <= 2000

    on_socket(scenario)


def test_the_log_of_another_run_is_refused(run):
    async def scenario(socket, layer):
        await socket.receive_json_from()
        await socket.send_json_to({"type": "log.follow", "log": f"{uuid.uuid4()}/other", "from": 1})
        assert (await socket.receive_json_from())["type"] == "log.refused"

    on_socket(scenario)


def test_nonsense_from_a_page_ends_nothing(run):
    async def scenario(socket, layer):
        await socket.receive_json_from()
        for nonsense in ([], {"type": 3}, {"type": "log.follow", "log": 5, "from": "x"}):
            await socket.send_json_to(nonsense)
        await socket.receive_json_from()
        await socket.send_json_to({"type": "ping"})
        assert (await socket.receive_json_from())["type"] == "pong"

    on_socket(scenario)


def test_a_list_is_told_which_runs_changed_each_once(run):
    async def scenario(socket, layer):
        await socket.receive_json_from()
        for name in ("a", "b", "a", "a"):
            await layer.group_send(live.RUNS, {"type": "runs.changed", "runs": [name]})
        got = [(await socket.receive_json_from())["runs"], (await socket.receive_json_from(timeout=2))["runs"]]
        assert sorted({name for runs in got for name in runs}) == ["a", "b"]

    on_socket(scenario, path="/ws/runs/")


@pytest.mark.parametrize(
    "frame", [{"text": ""}, {"text": "{"}, {"text": "[" * 100_000}, {"bytes": b"\xff"}], ids=["empty", "broken", "deep", "bytes"]
)
def test_what_is_no_json_closes_the_socket(run, frame):
    async def scenario(socket, layer):
        await socket.receive_json_from()
        await socket.send_input({"type": "websocket.receive", **frame})
        assert await socket.receive_output(5) == {"type": "websocket.close", "code": 1007}

    on_socket(scenario)


@pytest.mark.parametrize("name", ["", "..", "../x", "a b", "\u00e9", "x" * 200, "a/b"])
def test_a_log_that_no_attempt_has_is_refused(run, name):
    async def scenario(socket, layer):
        await socket.receive_json_from()
        await socket.send_json_to({"type": "log.follow", "log": f"{RUN}/{name}"})
        assert await socket.receive_json_from() == {"type": "log.refused", "log": f"{RUN}/{name}"}

    on_socket(scenario)
