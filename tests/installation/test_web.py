"""The web server as a client meets it."""

from __future__ import annotations

import http.client
import json
import pathlib
from collections.abc import Iterator

import pytest

from tests.running import Installation

HELLO = pathlib.Path(__file__).resolve().parents[2] / "pipelines" / "samples" / "hello.yaml"
BOUNDARY = "boundary"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[http.client.HTTPConnection]:
    with Installation(tmp_path_factory.mktemp("web") / "data") as installation:
        yield http.client.HTTPConnection(installation.address.removeprefix("http://"), timeout=20)


def form() -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="uploadfile"; filename="hello.yaml"\r\n\r\n'
    return head.encode() + HELLO.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def ask(client: http.client.HTTPConnection, method: str, path: str, **more: object) -> tuple[int, bytes]:
    client.request(method, path, **more)  # type: ignore[arg-type]
    answer = client.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_arrives_with_and_without_its_length(client: http.client.HTTPConnection, chunked: bool) -> None:
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    body: object = iter([form()[:100], form()[100:]]) if chunked else form()
    status, answer = ask(
        client, "POST", f"/apis/v2beta1/pipelines/upload?name=hello-{chunked}", body=body, headers=kind, encode_chunked=chunked
    )
    assert status == 200, answer
    assert json.loads(answer)["display_name"]


def test_a_body_without_an_end_is_refused(client: http.client.HTTPConnection) -> None:
    endless = (b"x" * 1024 * 1024 for _ in range(40))
    try:
        status, _ = ask(client, "POST", "/apis/v2beta1/pipelines", body=endless, encode_chunked=True)
    except ConnectionError:  # the answer came while we were still sending
        status = 413
    client.close()
    assert status == 413


def test_pages_of_other_sites_start_nothing(client: http.client.HTTPConnection) -> None:
    headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    assert ask(client, "POST", "/apis/v2beta1/runs", body=b"{}", headers=headers)[0] == 403


def test_a_rebound_name_reads_nothing(client: http.client.HTTPConnection) -> None:
    assert ask(client, "GET", "/apis/v2beta1/runs", headers={"Host": "evil.example"})[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1"])
def test_a_socket_needs_our_name_and_our_origin(client: http.client.HTTPConnection, host: str) -> None:
    headers = {
        "Host": f"{host}:{client.port}",
        "Origin": "https://evil.example",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert ask(client, "GET", "/ws/runs/", headers=headers)[0] == 403


def test_a_page_that_is_not_there_is_said_so_under_the_same_policy(client: http.client.HTTPConnection) -> None:
    client.request("GET", "/no-such-page/")
    answer = client.getresponse()
    answer.read()
    assert answer.status == 404
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
