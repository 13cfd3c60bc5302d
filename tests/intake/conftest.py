"""The intake as pods see it: served over HTTP by this process, with rows of a run whose steps are ordered."""

from __future__ import annotations

import http.client
import json
import pathlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import django
import pytest
import uvicorn
from django.conf import settings as django_settings

django.setup()  # pytest reads this file before pytest-django does that, where these tests alone are asked for

from runs import models  # noqa: E402
from runs.facts import decode  # noqa: E402
from runs.intake import app  # noqa: E402
from runs.launcher.tokens import Claims, issue  # noqa: E402
from runs.stores import store_options  # noqa: E402
from tests import buckets  # noqa: E402
from tests.django.documents import chain  # noqa: E402
from tests.django.driving import artifact, launched, succeed  # noqa: E402


@dataclass
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


class Pod:
    """A launcher by hand: one attempt's token, one connection a call."""

    def __init__(self, port: int, row: models.Attempt, token: str) -> None:
        self.port, self.row, self.token = port, row, token
        self.run = models.Run.objects.get(pk=row.run_id)

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Answer:
        """One call; a body that is no bytes goes as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {self.token}"}
        if body is not None and not isinstance(body, bytes) and not hasattr(body, "read"):
            body = json.dumps(body).encode()
        try:
            connection.request(method, f"{path}?{urlencode(query)}" if query else path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.headers))
        finally:
            connection.close()

    def output(self, name: str = "data") -> str:
        """The URI of an output, from the order."""
        order = self.ask("GET", "/v1/order").json["order"]
        uri: str = order["executor_input"]["outputs"]["artifacts"][name]["artifacts"][0]["uri"]
        return uri


@pytest.fixture(scope="session")
def intake_port() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app.application, lifespan="off", access_log=False, log_config=None, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(5)
    listening.close()


@pytest.fixture
def place(settings: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """Folders of the test's own."""
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    settings.LOGS_DIR = tmp_path / "logs"
    settings.EXECUTOR = "kubernetes"
    store_options.cache_clear()
    yield tmp_path
    store_options.cache_clear()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Facts that were handed over, as (run id, fact)."""
    facts: list[tuple[str, Any]] = []
    monkeypatch.setattr("kfdash.outbox._send", lambda job, args: None)
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, new: facts.extend((run_id, decode(fact)) for fact in new))
    monkeypatch.setattr("kfdash.live.publish_run", lambda run_id, message: None)
    return facts


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[tuple[int, int, str, str]], bool]]:
    """Log lines that went to those who watch."""
    lines: list[tuple[str, list[tuple[int, int, str, str]], bool]] = []
    monkeypatch.setattr("kfdash.live.publish_log", lambda log, new, ended: lines.append((log, list(new), ended)))
    return lines


def pod_of(port: int, run: models.Run, path: str, number: int = 1) -> Pod:
    """A pod for an attempt."""
    row = models.Attempt.objects.get(run=run, path=path, number=number)
    claims = Claims(row.name, str(run.pk), path, number, int(time.time()) + 3600)
    return Pod(port, row, issue(django_settings.LAUNCHER_KEY, claims))


@pytest.fixture
def pod(transactional_db: None, intake_port: int, place: pathlib.Path, told: list, shown: list) -> Pod:
    """The second step of a run, whose first step left an artifact of two files."""
    run = launched(chain(2, artifacts=True))
    first = pod_of(intake_port, run, "root/s0")
    uri = first.output()
    for name, content in (("a.txt", b"one"), ("deep/b.txt", b"two!")):
        assert first.ask("PUT", "/v1/artifact", content, uri=uri, name=name).status == 204
    succeed(run, "root/s0", artifacts={"data": [artifact(uri)]}, Output=1)
    told.clear()
    return pod_of(intake_port, run, "root/s1")


@pytest.fixture(scope="session")
def s3_server(pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of a real S3 server."""
    assert pytestconfig.cache is not None
    with buckets.serving(pathlib.Path(pytestconfig.cache.mkdir("moto"))) as address:
        yield address


@pytest.fixture
def bucket(s3_server: str) -> str:
    """The name of an empty bucket."""
    return buckets.new_bucket(s3_server)
