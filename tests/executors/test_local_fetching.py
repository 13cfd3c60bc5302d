"""Inputs of other stores on the local executor: fetched when a step uses them, or the step says why not."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.spec.model import ParameterType
from runs.engine.model import ArtifactValue, AttemptFailed, AttemptSucceeded, Fact, Values
from runs.executors.local.executor import LocalExecutor
from tests.executors.hosting import RunningHost, running_host
from tests.executors.watching import Watcher, order


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/data/table.csv" else 404)
        self.end_headers()
        self.wfile.write(b"a,b\n1,2\n")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    environment = {"KFDASH_STORE_OPTIONS": json.dumps({"allow_private": True}), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with running_host(environment=environment) as host:
        yield host


def end_of(host: RunningHost, uri: str, script: str, **fields: Any) -> Fact:
    """The end of a step with an imported input."""
    executor = LocalExecutor(host.socket)
    watcher = Watcher(executor, 20)
    watcher.ready()
    value = ArtifactValue(
        id=7, name="artifact", uri=uri, type="system.Dataset", schema_version="0.0.1", metadata={}, custom_path=""
    )
    step = order(script=script, inputs=Values(artifacts={"data": [value]}), outputs={"text": ParameterType.STRING}, **fields)
    executor.start([step])
    end = watcher.end_of(step)
    watcher.close()
    executor.close()
    return end


def test_an_imported_web_address_is_a_file_for_the_step(host: RunningHost, site: str) -> None:
    shown = "cat {{$.inputs.artifacts['data'].path}}; echo {{$.inputs.artifacts['data'].uri}}"
    script = f"({shown}) > {{{{$.outputs.parameters['text'].output_file}}}}"
    end = end_of(host, f"{site}/data/table.csv", script)
    assert isinstance(end, AttemptSucceeded), end
    assert end.outputs.parameters == {"text": f"a,b\n1,2\n{site}/data/table.csv\n"}


def test_a_fetched_file_keeps_its_ending(host: RunningHost, site: str) -> None:
    end = end_of(
        host,
        f"{site}/data/table.csv",
        "printf %s {{$.inputs.artifacts['data'].path}} > {{$.outputs.parameters['text'].output_file}}",
    )
    assert isinstance(end, AttemptSucceeded), end
    assert end.outputs.parameters["text"].endswith("/table.csv")


@pytest.mark.parametrize(("path", "words"), [("/missing", "404"), ("", "404")])
def test_what_cannot_be_read_fails_its_reader_with_the_reason(host: RunningHost, site: str, path: str, words: str) -> None:
    end = end_of(host, site + path, "echo not reached")
    assert isinstance(end, AttemptFailed)
    assert site in end.reason and words in end.reason
