"""Fetching artifacts: from kfdash's own folder and from web addresses, with limits."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from runs import store, web
from runs.store import NotReadable, StoreOptions, entries, fetch


@pytest.fixture
def options(tmp_path: pathlib.Path) -> StoreOptions:
    folder = tmp_path / "artifacts" / "kfdash" / "run" / "task"
    (folder / "tree" / "deep").mkdir(parents=True)
    (folder / "file").write_bytes(b"content")
    (folder / "tree" / "one").write_bytes(b"1")
    (folder / "tree" / "deep" / "two").write_bytes(b"22")
    return StoreOptions(str(tmp_path / "artifacts"))


def test_a_file_is_fetched_whole(options: StoreOptions, tmp_path: pathlib.Path) -> None:
    seen: list[tuple[int, int | None]] = []
    done = fetch("minio://kfdash/run/task/file", tmp_path / "in" / "file", options, progress=lambda d, t: seen.append((d, t)))
    assert (tmp_path / "in" / "file").read_bytes() == b"content"
    assert done == 7
    assert seen[-1] == (7, 7)


def test_a_folder_is_fetched_with_all_below_it(options: StoreOptions, tmp_path: pathlib.Path) -> None:
    assert fetch("minio://kfdash/run/task/tree", tmp_path / "tree", options) == 3
    assert (tmp_path / "tree" / "one").read_bytes() == b"1"
    assert (tmp_path / "tree" / "deep" / "two").read_bytes() == b"22"


def test_entries_name_files_relative_to_the_artifact(options: StoreOptions) -> None:
    assert {(entry.name, entry.size) for entry in entries("minio://kfdash/run/task/tree", options)} == {("one", 1), ("deep/two", 2)}
    assert [(entry.name, entry.size) for entry in entries("minio://kfdash/run/task/file", options)] == [("", 7)]


def test_a_name_that_only_begins_alike_is_not_fetched(options: StoreOptions, tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotReadable, match="nothing at"):
        fetch("minio://kfdash/run/task/tre", tmp_path / "x", options)


def test_what_is_fetched_again_replaces_what_was_there(options: StoreOptions, tmp_path: pathlib.Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").write_text("old")
    fetch("minio://kfdash/run/task/tree", tmp_path / "x", options)
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["deep", "one"]


@pytest.mark.parametrize("uri", ["minio://kfdash/run/task/tree", "minio://kfdash/run/task/file"])
def test_more_than_the_limit_is_refused_and_leaves_nothing(options: StoreOptions, tmp_path: pathlib.Path, uri: str) -> None:
    with pytest.raises(NotReadable, match="larger than the 2 bytes"):
        fetch(uri, tmp_path / "in" / "x", options, limit=2)
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize(
    "uri",
    [
        "minio://kfdash/../secret",
        "minio://kfdash/run//x",
        "minio://kfdash/run/./x",
        "minio://other/x",
        "file:///etc/passwd",
        "/etc/passwd",
        "memory:///x",
        "oci://registry/image",
        "s3://",
        "",
    ],
)
def test_other_places_are_refused(options: StoreOptions, tmp_path: pathlib.Path, uri: str) -> None:
    with pytest.raises(NotReadable):
        fetch(uri, tmp_path / "x", options)
    assert not (tmp_path / "x").exists()


# --- web addresses ---


class _Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"12345")
        elif self.path.startswith("/redirect/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/redirect/"))
            self.end_headers()
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif self.path.startswith("/data.csv"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"a,b\n" * 1000)
        else:
            self.send_error(404)

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server."""
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(_Server) as address:
        yield address


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def allowing(options: StoreOptions) -> StoreOptions:
    return StoreOptions(options.artifacts_dir, allow_private=True)


@pytest.mark.parametrize("path", ["/data.csv?x=1", "/redirect//data.csv"])
def test_a_web_address_is_fetched(server: str, options: StoreOptions, tmp_path: pathlib.Path, path: str) -> None:
    assert fetch(server + path, tmp_path / "data.csv", allowing(options)) == 4000
    assert (tmp_path / "data.csv").read_bytes().startswith(b"a,b\n")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/missing", "404"),
        ("/loop", "redirects"),
        ("/short", "broke off after 5 of 10 bytes"),
        ("/redirect/file:///etc/passwd", "no web address"),
    ],
)
def test_a_web_address_that_fails_says_how(
    server: str, options: StoreOptions, tmp_path: pathlib.Path, path: str, sentence: str
) -> None:
    with pytest.raises(NotReadable, match=sentence):
        fetch(server + path, tmp_path / "x", allowing(options))
    assert not (tmp_path / "x").exists()


def test_a_web_address_has_a_limit_without_a_length(server: str, options: StoreOptions, tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotReadable, match="larger"):
        fetch(f"{server}/data.csv", tmp_path / "x", allowing(options), limit=3999)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "0.0.0.0",
        "2130706433",
        "[64:ff9b::7f00:1]",
    ],
)
def test_the_servers_own_network_is_not_read(options: StoreOptions, tmp_path: pathlib.Path, host: str) -> None:
    with pytest.raises(NotReadable, match="own network|not known"):
        fetch(f"http://{host}:9/x", tmp_path / "x", options)


def test_a_redirect_into_the_own_network_is_not_followed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    check = web._check

    def first_is_fine(address: object, host: str, allow: bool) -> None:
        looked.append(host)
        check(address, host, allow or len(looked) == 1)  # type: ignore[arg-type]

    monkeypatch.setattr(web, "_check", first_is_fine)
    with pytest.raises(web.NotFetched, match="own network"), web.opened(f"{server}/redirect/http://127.0.0.1:1/x"):
        pass
    assert len(looked) == 2


# --- buckets ---


class _Bucket(http.server.BaseHTTPRequestHandler):
    """As much of S3 as reading needs, for the public."""

    objects: ClassVar[dict[str, bytes]] = {"data/one": b"1", "data/deep/two": b"22", "database": b"no", "file": b"content"}
    signed: ClassVar[list[bool]] = []

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.signed.append("Authorization" in self.headers)
        parts = urlsplit(self.path)
        key = unquote(parts.path).removeprefix("/bucket").strip("/")
        query = parse_qs(parts.query)
        if key.startswith("secret"):
            self.send_error(403)
        elif "list-type" in query:
            self._send(self._listing(query.get("prefix", [""])[0]).encode(), body)
        elif key in self.objects:
            self._send(self.objects[key], body)
        else:
            self.send_error(404)

    def _listing(self, prefix: str) -> str:
        members = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(content)}</Size><ETag>x</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, content in self.objects.items()
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{members}</ListBucketResult>"

    def _send(self, content: bytes, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def bucket(options: StoreOptions, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreOptions]:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    _Bucket.signed.clear()
    with serving(_Bucket) as address:
        yield StoreOptions(options.artifacts_dir, {"s3": {"endpoint": address}, "minio": {"endpoint": address}})


@pytest.mark.parametrize("scheme", ["s3", "minio"])
def test_files_and_folders_of_a_bucket_are_fetched(bucket: StoreOptions, tmp_path: pathlib.Path, scheme: str) -> None:
    assert fetch(f"{scheme}://bucket/file", tmp_path / "file", bucket) == 7
    assert (tmp_path / "file").read_bytes() == b"content"
    assert fetch(f"{scheme}://bucket/data", tmp_path / "data", bucket) == 3
    assert (tmp_path / "data" / "deep" / "two").read_bytes() == b"22"
    assert not any(_Bucket.signed)


def test_with_credentials_requests_are_signed(
    bucket: StoreOptions, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    fetch("s3://bucket/file", tmp_path / "file", bucket)
    assert all(_Bucket.signed)


@pytest.mark.parametrize(("uri", "words"), [("s3://bucket/nothing", "nothing at"), ("s3://bucket/secret", "may not be read")])
def test_what_a_bucket_does_not_give_is_said(bucket: StoreOptions, tmp_path: pathlib.Path, uri: str, words: str) -> None:
    with pytest.raises(NotReadable, match=words):
        fetch(uri, tmp_path / "x", bucket)


def test_a_bucket_that_does_not_answer_is_said(options: StoreOptions, tmp_path: pathlib.Path) -> None:
    gone = StoreOptions(options.artifacts_dir, {"s3": {"endpoint": "http://127.0.0.1:9"}})
    with pytest.raises(NotReadable, match="cannot be read"):
        fetch("s3://bucket/file", tmp_path / "x", gone)


# --- as a program ---


def test_the_program_fetches_and_tells_progress(options: StoreOptions, tmp_path: pathlib.Path) -> None:
    where = ["--artifacts", options.artifacts_dir]
    found = subprocess.run(
        [sys.executable, "-m", "runs.store", "minio://kfdash/run/task/file", str(tmp_path / "x"), *where],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=pathlib.Path(store.__file__).parent.parent,
    )
    assert json.loads(found.stdout.splitlines()[-1]) == {"done": 7, "total": 7}
    assert (tmp_path / "x").read_bytes() == b"content"


def test_the_program_says_what_cannot_be_read(
    options: StoreOptions, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert store.main(["minio://kfdash/nothing", str(tmp_path / "x"), "--artifacts", options.artifacts_dir]) == 1
    assert capsys.readouterr().err == "There is nothing at minio://kfdash/nothing.\n"


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFDASH_STORE_OPTIONS", '{"allow_private": true, "buckets": {"s3": {"region": "eu-west-1"}}}')
    assert StoreOptions.from_environment("/a") == StoreOptions("/a", {"s3": {"region": "eu-west-1"}}, True)


@pytest.mark.parametrize("text", ["{", "[]", '{"private": true}'])
def test_options_that_are_wrong_are_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("KFDASH_STORE_OPTIONS", text)
    with pytest.raises(NotReadable, match="KFDASH_STORE_OPTIONS"):
        StoreOptions.from_environment("/a")
