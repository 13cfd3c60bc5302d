"""The whole stack, as `kfdash up` runs it, through its own API."""

from __future__ import annotations

import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from kfdash import doctor
from tests.bench.figures import Figure, measure
from tests.bench.pipelines import layered, lightweight, uncached
from tests.bench.processes import processor_time, share
from tests.running import Installation, wait_for

LINES = 200_000
MINUTES = 5
IDLE_SECONDS = 20
TIMES = 3


@contextlib.contextmanager
def installation() -> Iterator[Installation]:
    """A stack of its own; `kfp` as step environments need it is installed by the first run."""
    with tempfile.TemporaryDirectory(prefix="kfdash-bench-") as folder, Installation(pathlib.Path(folder) / "data") as running:
        yield running


@measure("start")
def start_and_idle() -> Iterator[Figure]:
    """From the command to `ready` with the database there, and what all processes hold when nothing runs."""
    with installation() as running:
        seconds = []
        for _ in range(3):
            running.stop()
            began = time.perf_counter()
            running.start()
            seconds.append(time.perf_counter() - began)
        yield Figure("kfdash up: until ready", statistics.median(seconds), "s", 2.0, _django_by_hand())
        with urllib.request.urlopen(running.address) as page:
            page.read()
        time.sleep(5)
        everything = {running.process.pid, *running.processes()}  # type: ignore[union-attr]
        before = sum(map(processor_time, everything))
        time.sleep(IDLE_SECONDS)
        percent = (sum(map(processor_time, everything)) - before) / IDLE_SECONDS * 100
        yield Figure("kfdash up: all processes idle, of a core", percent, "%", 3.0)
        yield Figure("kfdash up: all processes idle", sum(map(share, everything)) / 1024, "MiB", 300, _redis_by_hand())


def _django_by_hand() -> float:
    """Seconds for a bare interpreter to set Django up and load the addresses."""
    code = "import django; django.setup(); from django.urls import get_resolver; get_resolver().url_patterns"
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def _redis_by_hand() -> float:
    """MiB of a bare Valkey and a bare interpreter with Django."""
    listen = ["--unixsocket", f"{tempfile.gettempdir()}/bench-{uuid.uuid4().hex[:8]}.sock"]
    redis = subprocess.Popen([doctor.redis_program(), "--port", "0", "--save", "", *listen], stdout=subprocess.DEVNULL)
    code = "import django, time; django.setup(); print('ready', flush=True); time.sleep(60)"
    python = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert python.stdout is not None
    python.stdout.readline()
    held = (share(redis.pid) + share(python.pid)) / 1024
    for process in (redis, python):
        process.terminate()
        process.wait()
    return held


@measure("steps")
def steps() -> Iterator[Figure]:
    """Tiny lightweight components: one after the other, all at once, in a loop; the first line of a single one."""
    with installation() as running:
        run_document(running, lightweight()["one"])  # makes the environment
        seconds, by_hand = _beside(lambda: _until_first_code(running), 1, 1)
        yield Figure("submit until first user code", seconds * 1000, "ms", 100, by_hand * 1000)
        seconds, by_hand = _beside(lambda: run_document(running, lightweight()["chain"]), 50, 1)
        yield Figure("chain of 50", seconds / 50 * 1000, "ms/step", 20, by_hand / 50 * 1000)
        seconds, by_hand = _beside(lambda: run_document(running, lightweight()["fan-out"]), 500, 2)
        yield Figure("fan-out of 500", 500 / seconds, "steps/s", 120, 500 / by_hand)
        seconds, by_hand = _beside(lambda: run_document(running, lightweight()["loop"]), 1000, 2)
        yield Figure("loop of 1,000", 1000 / seconds, "steps/s", 100, 1000 / by_hand)


def _beside(work: Callable[[], float], count: int, parallel: int) -> tuple[float, float]:
    """Median seconds of work and of so many steps by hand, in turns: both see the machine as it is then."""
    pairs = [(work(), _fork_by_hand(count, parallel)) for _ in range(TIMES)]
    seconds, by_hand = zip(*pairs, strict=True)
    return statistics.median(seconds), statistics.median(by_hand)


def _until_first_code(running: Installation) -> float:
    launched, run_id = time.time(), launch(running, lightweight()["one"])
    wait_for_run(running, run_id)
    return moment(_log(running, run_id, "say")[0]["at"]) - launched


def _fork_by_hand(count: int, parallel: int) -> float:
    command = [sys.executable, "-m", "tests.bench.by_hand", str(count), str(parallel)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@measure("log")
def log() -> Iterator[Figure]:
    """One step prints 200,000 lines; all of them are stored."""
    with installation() as running:
        run_document(running, lightweight()["one"])
        run_id = launch(running, lightweight()["lines"])
        wait_for_run(running, run_id)
        [attempt] = tasks_of(running, run_id)["root/say"]["attempts"]
        seconds = moment(attempt["finished_at"]) - moment(attempt["running_at"])
        size = int(call(running, f"/apis/kfdash/v1/runs/{run_id}/log?node=root/say&limit=1")["total_size"])
        assert size >= LINES, size
        yield Figure("log of one step", size / seconds, "lines/s", 50_000, _print_by_hand())


def _print_by_hand() -> float:
    """Lines a second from a process through a pipe into a file."""
    code = f"for n in range({LINES}): print('line', n, 'of a log that is long enough to look like one')"
    began = time.perf_counter()
    with tempfile.TemporaryFile() as file, subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
    return LINES / (time.perf_counter() - began)


@measure("pages")
def pages() -> Iterator[Figure]:
    """Uploading 1 MB; the page of a run with 1,000 steps."""
    with installation() as running:
        package = json.dumps(layered(35, 80)).encode()
        package += b" " * max(0, 1_000_000 - len(package))
        boundary = uuid.uuid4().hex
        form = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="uploadfile"; filename="large.json"\r\n\r\n'.encode()
            + package
            + f"\r\n--{boundary}--\r\n".encode()
        )
        kind = f"multipart/form-data; boundary={boundary}"
        uploads, by_hand = [], []
        for number in range(TIMES):
            began = time.perf_counter()
            send(running, f"/apis/v2beta1/pipelines/upload?name=large-{number}", form.replace(b'"t0-0"', b'"s%d-0"' % number), kind)
            uploads.append(time.perf_counter() - began)
            began = time.perf_counter()
            json.loads(package)
            by_hand.append(time.perf_counter() - began)
        yield Figure("upload of 1 MB", statistics.median(uploads), "s", 0.5, statistics.median(by_hand))
        run_id = launch(running, layered(10, 100))
        wait_for_run(running, run_id)
        seconds = [_load(f"{running.address}/runs/{run_id}/") for _ in range(6)]
        static = _load(f"{running.address}/static/css/base.css")
        yield Figure("page of a run with 1,000 steps, from the server", statistics.median(seconds[1:]), "s", 0.5, static)


def _load(address: str) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(address) as answer:
        answer.read()
    return time.perf_counter() - began


# --- the API ---


def send(running: Installation, path: str, data: bytes | None, kind: str = "application/json") -> Any:
    request = urllib.request.Request(running.address + path, data, {"Content-Type": kind})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def call(running: Installation, path: str, body: Any = None) -> Any:
    return send(running, path, None if body is None else json.dumps(body).encode())


def launch(running: Installation, document: dict[str, Any]) -> str:
    body = {"display_name": "bench", "pipeline_spec": uncached(document)}
    return str(call(running, "/apis/v2beta1/runs", body)["run_id"])


def wait_for_run(running: Installation, run_id: str, *, minutes: float = MINUTES) -> dict[str, Any]:
    run: dict[str, Any] = {}

    def ended() -> bool:
        run.update(call(running, f"/apis/v2beta1/runs/{run_id}"))
        time.sleep(0.05)
        return run["state"] in ("SUCCEEDED", "FAILED")

    assert wait_for(ended, minutes * 60), f"The run is still {run['state']}."
    assert run["state"] == "SUCCEEDED", str(run.get("error"))[:1000]
    return run


def run_document(running: Installation, document: dict[str, Any]) -> float:
    """Seconds from the launch of a run to its end, as its rows have them."""
    run = wait_for_run(running, launch(running, document))
    root = tasks_of(running, run["run_id"])["root"]
    return moment(root["finished_at"]) - moment(root["started_at"])


def tasks_of(running: Installation, run_id: str) -> dict[str, Any]:
    found = call(running, f"/apis/kfdash/v1/runs/{run_id}/tasks").get("tasks", [])
    return {task["path"]: task for task in found}


def _log(running: Installation, run_id: str, task: str) -> list[dict[str, Any]]:
    lines = call(running, f"/apis/kfdash/v1/runs/{run_id}/log?node=root/{task}")["lines"]
    return [line for line in lines if line["stream"] == "stdout"]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
