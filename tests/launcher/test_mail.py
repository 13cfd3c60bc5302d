"""A launcher that cannot call kfdash: documents at signed addresses, and lines on its output that kfdash follows."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import pathlib
import threading
import time
from collections.abc import Iterator

import pytest

from runs.launcher import mail
from runs.launcher.asking import Refused
from runs.launcher.mail import ANSWER, ASKED, HEARD, ORDER, RESULT, MailLine
from tests.running import wait_for


class Bucket:
    """Keeps what is put; what is asked for in `too_old` is refused, as an address whose time is over."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.too_old = ""
        bucket = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path, _, query = self.path.partition("?")
                status, answer = 200, b""
                if query == bucket.too_old != "":
                    status, answer = 403, b"Request has expired"
                elif self.command == "PUT":
                    bucket.kept[path] = data
                elif path in bucket.kept:
                    answer = bucket.kept[path]
                else:
                    status = 404
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_PUT = do_GET

            def log_message(self, *arguments: object) -> None:
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def put(self, name: str, document: object) -> None:
        """What kfdash leaves there."""
        self.kept[f"/{name}"] = json.dumps(document).encode()

    def addresses(self, signature: str) -> str:
        """The file that a launcher is given."""
        return json.dumps({name: f"{self.address}/{name}?{signature}" for name in (ORDER, RESULT, ASKED, ANSWER, HEARD)})


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty one; what is waited for comes soon."""
    for name, value in {"_LATE": 0.05, "_SELDOM": 0.01, "_LOOK": 0.01, "_PATIENCE": 0.1}.items():
        monkeypatch.setattr(mail, name, value)
    found = Bucket()
    yield found
    found.server.shutdown()
    found.server.server_close()


class Printed:
    """A launcher's line, and what it printed."""

    def __init__(self, folder: pathlib.Path, addresses: str) -> None:
        self.file = folder / "token"
        self.file.write_text(addresses)
        self.path = folder / "output"
        self.line = MailLine(self.file, os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))

    def lines(self) -> list[str]:
        """The lines so far."""
        return self.path.read_text().splitlines()


@pytest.fixture
def printed(bucket: Bucket, tmp_path: pathlib.Path) -> Printed:
    """A launcher with addresses that were signed `first`."""
    return Printed(tmp_path, bucket.addresses("first"))


def test_an_order_is_waited_for_and_asked_for(bucket: Bucket, printed: Printed) -> None:
    threading.Timer(0.3, lambda: bucket.put(ORDER, {"order": {}, "uploads": {}})).start()
    assert printed.line.call("GET", "/v1/order") == {"order": {}}
    assert printed.lines() == ["!renew 0 there is no order"]


def test_an_order_that_cannot_be_had_is_refused_with_its_sentence(bucket: Bucket, printed: Printed) -> None:
    bucket.put(ORDER, {"status": 410, "error": "This attempt is over."})
    with pytest.raises(Refused, match="This attempt is over") as refused:
        printed.line.call("GET", "/v1/order?begun=1")
    assert refused.value.status == 410


def test_lines_of_the_log_are_printed_with_their_numbers(printed: Printed) -> None:
    assert printed.line.call("POST", "/v1/log?first=7", b"1 o one\n2 e two\n") == {"next": 9}
    printed.line.call("POST", "/v1/log?first=9&ended=1", b"")
    assert printed.lines() == ["7 1 o one", "8 2 e two", "!ended 9"]


def test_a_log_that_is_not_read_is_not_printed_further(bucket: Bucket, printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "_ASK_FROM", 20)
    monkeypatch.setattr(mail, "_WINDOW", 40)
    done = threading.Event()

    def print_all() -> None:
        for number in range(1, 5):
            printed.line.call("POST", f"/v1/log?first={number}", b"1 o twelve bytes\n")
        done.set()

    threading.Thread(target=print_all, daemon=True).start()
    assert wait_for(lambda: len(printed.lines()) == 3)
    assert not done.wait(0.1)
    bucket.put(HEARD, 4)
    assert done.wait(5)


def test_an_output_that_is_one_file_has_its_address_from_the_order(bucket: Bucket, printed: Printed) -> None:
    bucket.put(ORDER, {"uploads": {"s3://b/model": "https://there/model"}})
    printed.line.call("GET", "/v1/order")
    files = [{"uri": "s3://b/model", "name": "", "size": 3}]
    assert printed.line.call("POST", "/v1/uploads", {"files": files}) == {"urls": ["https://there/model"]}
    assert ASKED not in "".join(bucket.kept)


def test_addresses_of_other_files_are_asked_for(bucket: Bucket, printed: Printed) -> None:
    asked: list[dict[str, object]] = []

    def answer() -> None:
        assert wait_for(lambda: f"/{ASKED}" in bucket.kept)
        asked.append(json.loads(bucket.kept[f"/{ASKED}"]))
        bucket.put(ANSWER, {"id": "of another question", "urls": []})
        bucket.put(ANSWER, {"id": asked[0]["id"], "urls": ["https://there/1", "https://there/2"]})

    threading.Thread(target=answer, daemon=True).start()
    files = [{"uri": "s3://b/data", "name": name, "size": 1} for name in ("a", "b")]
    assert printed.line.call("POST", "/v1/uploads", {"files": files}) == {"urls": ["https://there/1", "https://there/2"]}
    assert asked[0]["files"] == files
    assert printed.lines() == ["!mail"]


def test_an_output_whose_address_became_too_old_gets_another(bucket: Bucket, printed: Printed) -> None:
    bucket.put(ORDER, {"uploads": {"s3://b/model": f"{bucket.address}/model?stale"}})
    printed.line.call("GET", "/v1/order")
    (url,) = printed.line.call("POST", "/v1/uploads", {"files": [{"uri": "s3://b/model", "name": "", "size": 3}]})["urls"]
    bucket.too_old = "stale"

    def answer() -> None:
        assert wait_for(lambda: f"/{ASKED}" in bucket.kept)
        question = json.loads(bucket.kept[f"/{ASKED}"])["id"]
        bucket.put(ANSWER, {"id": question, "urls": [f"{bucket.address}/model?fresh"]})

    threading.Thread(target=answer, daemon=True).start()
    printed.line.send(url, lambda: io.BytesIO(b"abc"), 3)
    assert bucket.kept["/model"] == b"abc"


def test_addresses_that_are_refused_are_asked_for_anew(bucket: Bucket, printed: Printed) -> None:
    bucket.too_old = "first"
    bucket.put(ORDER, {"order": {}})
    threading.Timer(0.3, lambda: printed.file.write_text(bucket.addresses("second"))).start()
    assert printed.line.call("GET", "/v1/order") == {"order": {}}
    assert printed.lines() == ["!renew 0 403 Forbidden: Request has expired"]


def test_a_result_is_stored_and_told_of(bucket: Bucket, printed: Printed) -> None:
    printed.line.call("POST", "/v1/result", b'{"state": "succeeded"}')
    assert bucket.kept[f"/{RESULT}"] == b'{"state": "succeeded"}'
    assert printed.lines() == ["!mail"]


def test_a_result_that_no_bucket_takes_is_printed(bucket: Bucket, printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "OUTSIDE", 0.0)
    bucket.server.shutdown()
    bucket.server.server_close()
    began = time.monotonic()
    printed.line.call("POST", "/v1/result", b'{"state":\n"failed"}')
    assert printed.lines()[-1] == '!result {"state": "failed"}'
    assert time.monotonic() - began < 10


def test_progress_is_printed(printed: Printed) -> None:
    with contextlib.suppress(Refused):
        printed.line.call("POST", "/v1/progress", {"phase": "running", "at": 1, "reason": ""}, patience=1)
    assert printed.lines() == ['!progress {"phase":"running","at":1,"reason":""}']
