"""The whole stack, as `kfdash up` runs it, through its own API."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from kfdash import doctor
from tests.bench.figures import Figure, measure
from tests.bench.pipelines import layered, lightweight, uncached
from tests.running import Installation, wait_for

LINES = 200_000
MINUTES = 5


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
        yield Figure("kfdash up: all processes idle", sum(map(_share, everything)) / 1024, "MiB", 300, _redis_by_hand())


def _share(pid: int) -> int:
    """The proportional share of memory (PSS) of a process, KiB."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])  # type: ignore[index]


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
    share = (_share(redis.pid) + _share(python.pid)) / 1024
    for process in (redis, python):
        process.terminate()
        process.wait()
    return share


@measure("steps")
def steps() -> Iterator[Figure]:
    """Tiny lightweight components: one after the other, all at once, in a loop; the first line of a single one."""
    with installation() as running:
        _run(running, lightweight()["one"])  # makes the environment
        launched, run_id = time.time(), _launch(running, lightweight()["one"])
        _wait(running, run_id)
        first = _log(running, run_id, "say")[0]
        yield Figure("submit until first user code", (_time(first["at"]) - launched) * 1000, "ms", 100, _fork_by_hand(1, 1) * 1000)
        yield Figure("chain of 50", _run(running, lightweight()["chain"]) / 50 * 1000, "ms/step", 20, _fork_by_hand(50, 1) * 20)
        by_hand = 500 / _fork_by_hand(500, 2)
        yield Figure("fan-out of 500", 500 / _run(running, lightweight()["fan-out"]), "steps/s", 120, by_hand)
        yield Figure("loop of 1,000", 1000 / _run(running, lightweight()["loop"]), "steps/s", 100, by_hand)


def _fork_by_hand(count: int, parallel: int) -> float:
    command = [sys.executable, "-m", "tests.bench.by_hand", str(count), str(parallel)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@measure("log")
def log() -> Iterator[Figure]:
    """One step prints 200,000 lines; all of them are stored."""
    with installation() as running:
        _run(running, lightweight()["one"])
        run_id = _launch(running, lightweight()["lines"])
        _wait(running, run_id)
        [attempt] = _tasks(running, run_id)["root/say"]["attempts"]
        seconds = _time(attempt["finished_at"]) - _time(attempt["running_at"])
        size = int(_call(running, f"/apis/kfdash/v1/runs/{run_id}/log?node=root/say&limit=1")["total_size"])
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
        began = time.perf_counter()
        _send(running, "/apis/v2beta1/pipelines/upload?name=large", form, f"multipart/form-data; boundary={boundary}")
        upload = time.perf_counter() - began
        began = time.perf_counter()
        json.loads(package)
        yield Figure("upload of 1 MB", upload, "s", 0.5, time.perf_counter() - began)
        run_id = _launch(running, layered(10, 100))
        _wait(running, run_id)
        seconds = [_load(f"{running.address}/runs/{run_id}/") for _ in range(6)]
        static = _load(f"{running.address}/static/css/base.css")
        yield Figure("page of a run with 1,000 steps, from the server", statistics.median(seconds[1:]), "s", 0.5, static)


def _load(address: str) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(address) as answer:
        answer.read()
    return time.perf_counter() - began


# --- the API ---


def _send(running: Installation, path: str, data: bytes | None, kind: str = "application/json") -> Any:
    request = urllib.request.Request(running.address + path, data, {"Content-Type": kind})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def _call(running: Installation, path: str, body: Any = None) -> Any:
    return _send(running, path, None if body is None else json.dumps(body).encode())


def _launch(running: Installation, document: dict[str, Any]) -> str:
    body = {"display_name": "bench", "pipeline_spec": uncached(document)}
    return str(_call(running, "/apis/v2beta1/runs", body)["run_id"])


def _wait(running: Installation, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = {}

    def ended() -> bool:
        run.update(_call(running, f"/apis/v2beta1/runs/{run_id}"))
        time.sleep(0.05)
        return run["state"] in ("SUCCEEDED", "FAILED")

    assert wait_for(ended, MINUTES * 60), f"The run is still {run['state']}."
    assert run["state"] == "SUCCEEDED", str(run.get("error"))[:1000]
    return run


def _run(running: Installation, document: dict[str, Any]) -> float:
    """Seconds from the launch of a run to its end, as its rows have them."""
    run = _wait(running, _launch(running, document))
    root = _tasks(running, run["run_id"])["root"]
    return _time(root["finished_at"]) - _time(root["started_at"])


def _tasks(running: Installation, run_id: str) -> dict[str, Any]:
    found = _call(running, f"/apis/kfdash/v1/runs/{run_id}/tasks")["tasks"]
    return {task["path"]: task for task in found}


def _log(running: Installation, run_id: str, task: str) -> list[dict[str, Any]]:
    lines = _call(running, f"/apis/kfdash/v1/runs/{run_id}/log?node=root/{task}")["lines"]
    return [line for line in lines if line["stream"] == "stdout"]


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
