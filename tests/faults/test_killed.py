"""Whatever is killed or stands still in the middle of a run: the run goes on, ends rightly, and does nothing twice."""

from __future__ import annotations

import hmac
import http.client
import io
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from runs.launcher.asking import Line
from runs.launcher.tokens import Claims, issue
from tests.faults.stack import call, check_the_end, check_what_it_said, figure, kill, launch, runs, step, tasks, whole
from tests.running import Installation, born, wait_for
from tests.servers import free_port

SLOW = "root/body/slow"
ITS_TIME = 1.8  # seconds that the slow step takes
PARTS = ("web", "drive", "orders", "io", "observer", "host", "redis")


def redis_socket(installation: Installation) -> str:
    """Where the Redis of an installation listens."""
    command = pathlib.Path(f"/proc/{installation.parts()['redis']}/cmdline").read_text()
    return next(word.removeprefix("unixsocket:") for word in re.split(r"[\0 ]", command) if word.endswith("redis.sock"))


def at_the_end_of_the_slow_step(installation: Installation, marks: pathlib.Path) -> str:
    """A run in which the slow step has run for nearly its time: what happens now meets its end, and the next one's start."""
    run_id = launch(installation, whole(marks))
    assert wait_for(lambda: runs(installation, run_id, SLOW), 40), installation.said()
    assert wait_for(lambda: any(marks.glob("slow-*")))  # it runs, and its first line may still be on its way
    began = next(file.stat().st_mtime for file in marks.glob("slow-*"))
    time.sleep(max(0.0, began + ITS_TIME - 0.1 - time.time()))
    return run_id


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_killed(shared: Installation, marks: pathlib.Path, part: str) -> None:
    run_id = at_the_end_of_the_slow_step(shared, marks)
    before, began = shared.parts()[part], time.monotonic()
    kill(shared, part)
    attempts = check_the_end(shared, run_id, marks)
    figure(f"{part} killed, until the run has ended", began)
    assert part == "host" or set(attempts.values()) == {1}, attempts
    assert wait_for(lambda: shared.parts()[part] != before and born(shared.parts()[part]))


def test_redis_comes_back_without_its_data(shared: Installation, marks: pathlib.Path) -> None:
    run_id = at_the_end_of_the_slow_step(shared, marks)
    began = time.monotonic()
    kill(shared, "redis")
    for kept in (shared.folder / "redis").glob("*.rdb"):
        kept.unlink()
    attempts = check_the_end(shared, run_id, marks)
    figure("Redis without its data, until the run has ended", began)
    assert set(attempts.values()) == {1}, attempts


def test_redis_is_emptied_under_everybody_s_hands(shared: Installation, marks: pathlib.Path) -> None:
    run_id = at_the_end_of_the_slow_step(shared, marks)
    began = time.monotonic()
    with redis.Redis(unix_socket_path=redis_socket(shared)) as server:
        for _ in range(20):
            server.flushall()
            time.sleep(0.02)
    attempts = check_the_end(shared, run_id, marks)
    figure("Redis emptied twenty times, until the run has ended", began)
    assert set(attempts.values()) == {1}, attempts


@pytest.mark.parametrize("part", ["drive", "observer", "host", "redis"])
def test_a_part_stands_still_for_a_while(shared: Installation, marks: pathlib.Path, part: str) -> None:
    run_id = at_the_end_of_the_slow_step(shared, marks)
    pid, began = shared.parts()[part], time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(pid, signal.SIGCONT)
    attempts = check_the_end(shared, run_id, marks)
    figure(f"{part} stood still for 1.5 s, until the run has ended", began)
    assert set(attempts.values()) == {1}, attempts
    assert shared.parts()[part] == pid


def test_the_web_is_killed_under_an_upload_and_the_next_one_is_taken(shared: Installation) -> None:
    left = set(pathlib.Path(tempfile.gettempdir()).glob("*.upload*"))
    name = f"killed-{time.time_ns()}"
    package = json.dumps(step("echo uploaded")).encode().ljust(9_000_000)
    head = b'--b\r\nContent-Disposition: form-data; name="uploadfile"; filename="p.json"\r\n\r\n'
    body = head + package + b"\r\n--b--\r\n"
    where = urllib.parse.urlsplit(shared.address).netloc

    def begun() -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(where, timeout=20)
        connection.putrequest("POST", f"/apis/v2beta1/pipelines/upload?name={name}")
        connection.putheader("Content-Type", "multipart/form-data; boundary=b")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send(body[:6_000_000])
        return connection

    connection, before = begun(), shared.parts()["web"]
    time.sleep(0.3)  # it has taken some of it
    kill(shared, "web")
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.send(body[6_000_000:])
        connection.getresponse()
    assert wait_for(lambda: shared.parts().get("web", before) != before)
    assert not [found for found in call(shared, "/apis/v2beta1/pipelines").get("pipelines", []) if found["display_name"] == name]
    assert set(pathlib.Path(tempfile.gettempdir()).glob("*.upload*")) <= left
    connection = begun()
    connection.send(body[6_000_000:])
    assert json.load(connection.getresponse())["display_name"] == name


def test_the_intake_is_killed_under_an_artifact_which_arrives_whole_and_nothing_half_is_kept(shared: Installation) -> None:
    run_id = launch(shared, with_an_output())
    assert wait_for(lambda: runs(shared, run_id, "root/only"), 40), shared.said()
    key = hmac.digest((shared.folder / "secret-key").read_bytes(), b"kfdash.launcher", "sha256")
    [attempt] = tasks(shared, run_id)["root/only"]["attempts"]
    token = issue(key, Claims(attempt["name"], run_id, "root/only", 1, int(time.time()) + 600))
    bind = f"127.0.0.1:{free_port()}"
    environment = {
        **shared.environment,
        "KFDASH_DATA_DIR": str(shared.folder),
        "KFDASH_REDIS_URL": f"unix://{redis_socket(shared)}",
    }
    environment |= {"KFDASH_EXECUTOR": "kubernetes", "KFDASH_LAUNCHER_BIND": bind, "KFDASH_LAUNCHER_URL": f"http://{bind}"}

    def intake() -> subprocess.Popen[bytes]:
        return subprocess.Popen([*shared.program, "intake"], env=environment, stdout=subprocess.DEVNULL)

    first = intake()
    line, staging = Line(f"http://{bind}", token), shared.folder / "artifacts" / "kfdash" / ".uploads"
    outputs = line.call("GET", "/v1/order")["order"]["executor_input"]["outputs"]["artifacts"]
    uri = outputs["data"]["artifacts"][0]["uri"]
    content = random.Random(1).randbytes(12_000_000)
    address = f"/v1/artifact?{urllib.parse.urlencode({'uri': uri, 'name': 'big'})}"
    sending = threading.Thread(target=line.send, args=(address, lambda: Slow(content), len(content)))
    sending.start()
    assert wait_for(lambda: staging.exists() and any(part.stat().st_size > 100_000 for part in staging.iterdir()), 20)
    first.kill()
    first.wait()
    began = time.monotonic()
    second = intake()
    try:
        sending.join(60)
        figure("the intake is killed, until the artifact has arrived", began)
        stored = shared.folder / "artifacts" / "kfdash" / uri.removeprefix("minio://kfdash/") / "big"
        assert stored.read_bytes() == content and not list(staging.iterdir())
    finally:
        second.terminate()
        second.wait()
        call(shared, f"/apis/v2beta1/runs/{run_id}:terminate", {})


class Slow(io.BytesIO):
    """A file that takes its time."""

    def read(self, size: int | None = -1) -> bytes:
        time.sleep(0.02)
        return super().read(size)


def with_an_output() -> dict[str, Any]:
    """A pipeline of one step that has an output artifact, and lasts."""
    spec = step("sleep 60")
    kind = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
    spec["components"]["comp-step"]["outputDefinitions"] = {"artifacts": {"data": kind}}
    return spec


def all_but_the_supervisor(installation: Installation) -> None:
    """It starts them again by itself."""
    kill(installation, *PARTS)


def all_of_it(installation: Installation) -> None:
    """`kfdash up` is killed with its parts, and started again by hand."""
    kill(installation)
    assert installation.process
    installation.process.wait()
    installation.start()


def the_supervisor_without_redis_s_data(installation: Installation) -> None:
    """Its parts end by themselves then; what Redis kept is gone, too."""
    assert installation.process
    installation.process.kill()
    installation.process.wait()
    assert wait_for(lambda: not installation.processes()), installation.processes()
    for kept in (installation.folder / "redis").glob("*"):
        kept.unlink()
    installation.start()


def a_good_end(installation: Installation) -> None:
    """It is stopped as a person would, and started again."""
    assert installation.stop() == 0
    assert not installation.processes()
    installation.start()


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One for the tests that end it and start it again."""
    with Installation(tmp_path_factory.mktemp("restarted") / "data") as installation:
        yield installation
    check_what_it_said(installation)


@pytest.mark.parametrize("fault", [a_good_end, all_of_it, the_supervisor_without_redis_s_data, all_but_the_supervisor])
def test_everything_ends(restarted: Installation, marks: pathlib.Path, fault: Callable[[Installation], None]) -> None:
    run_id = launch(restarted, whole(marks))
    assert wait_for(lambda: runs(restarted, run_id, SLOW), 40), restarted.said()
    began = time.monotonic()
    fault(restarted)
    figure(f"{fault.__name__}: until ready again", began)
    attempts = check_the_end(restarted, run_id, marks)
    figure(f"{fault.__name__}: until the run has ended", began)
    assert attempts[SLOW] == 2  # it was running, and began anew
