"""Over real connections: a page of another site, or one that reaches us by a rebound name, can start nothing."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.faults.stack import call, end, launch, step
from tests.running import Installation

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://127.0.0.1:1"},
    {"Host": "rebound.example"},
    {"Host": "rebound.example", "Origin": "http://rebound.example", "Sec-Fetch-Site": "same-origin"},
]


def answer(installation: Installation, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str]:
    """Status and text of a request with exactly these headers."""
    connection = http.client.HTTPConnection(urlsplit(installation.address).netloc, timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders(body.encode())
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    connection.close()
    return response.status, text


def runs_there(installation: Installation) -> list[str]:
    found: list[dict[str, Any]] = call(installation, "/apis/v2beta1/runs?page_size=200").get("runs", [])
    return [run["run_id"] for run in found]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("content", ["text/plain", "application/json", "multipart/form-data; boundary=b"])
def test_no_run_is_started_for_another_site(shared: Installation, headers: dict[str, str], content: str) -> None:
    before = runs_there(shared)
    body = json.dumps({"display_name": "foreign", "pipeline_spec": step("echo no")})
    for path in ("/apis/v2beta1/runs", "/apis/v2beta1/pipelines/create", "/apis/v2beta1/pipelines/upload?name=x", "/runs/new/"):
        status, text = answer(shared, "POST", path, body, **{"Content-Type": content, **headers})
        assert status == 403 and text.count("\n") == 1, (path, text)
    assert runs_there(shared) == before


def test_what_the_same_body_does_without_a_browser_as_plain_text(shared: Installation) -> None:
    body = json.dumps({"display_name": "ours", "pipeline_spec": step("echo yes")})
    status, text = answer(shared, "POST", "/apis/v2beta1/runs", body, **{"Content-Type": "text/plain"})
    assert status == 200, text
    assert end(shared, json.loads(text)["run_id"]) == "SUCCEEDED"


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_no_socket_opens_for_another_site(shared: Installation, headers: dict[str, str]) -> None:
    run_id = launch(shared, step("echo hidden"))
    for path in ("/ws/runs/", f"/ws/runs/{run_id}/"):
        address = shared.address.replace("http", "ws") + path
        with pytest.raises(InvalidStatus) as refused:
            opened(address, headers)
        assert refused.value.response.status_code == 403
    assert end(shared, run_id) == "SUCCEEDED"


def opened(address: str, headers: dict[str, str]) -> None:
    """Opens a socket with these headers in place of the client's own."""
    parts = urlsplit(address)
    assert parts.hostname and parts.port
    with connect(
        address.replace(parts.netloc, headers.get("Host", parts.netloc)),
        sock=socket.create_connection((parts.hostname, parts.port), timeout=20),
        origin=headers.get("Origin"),  # type: ignore[arg-type]
        additional_headers={name: value for name, value in headers.items() if name.startswith("Sec-")},
    ):
        pass


@pytest.mark.parametrize("path", ["/", "/runs/", "/apis/v2beta1/runs", "/apis/v1beta1/healthz", "/static/css/kfdash.css"])
def test_a_rebound_name_reads_nothing(shared: Installation, path: str) -> None:
    status, text = answer(shared, "GET", path, Host="rebound.example")
    assert status in (400, 403), path
    assert "KFDASH_ALLOWED_HOSTS" in text
