"""Buckets as the store: signed addresses where pods can reach them, streams through the intake where not."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import obstore
import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from runs import models, results
from runs.engine.model import Phase, Values
from runs.execution.result import Result
from runs.intake import outside
from runs.launcher import asking
from runs.store import open_store
from runs.stores import store_options
from tests.buckets import KEYS
from tests.django.documents import chain
from tests.django.driving import artifact, launched, succeed
from tests.intake.conftest import pod_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch, s3_server: str, bucket: str, place: pathlib.Path) -> Any:
    """Sets the store of the test's bucket, with what is given."""

    def use(**more: Any) -> str:
        options = {"endpoint": s3_server, "region": "us-east-1", **KEYS}
        monkeypatch.setenv("KFDASH_STORES", json.dumps([{"prefix": f"s3://{bucket}", "options": options, **more}]))
        store_options.cache_clear()
        return f"s3://{bucket}/pipelines"

    return use


def put(address: str, content: bytes) -> int:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request("PUT", f"{parts.path}?{parts.query}", content)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def content_of(uri: str) -> bytes:
    opened = open_store(uri, store_options())
    return bytes(obstore.get(opened.store, opened.key).bytes())


def test_files_go_to_and_come_from_the_bucket_by_signed_addresses(
    stores: Any, intake_port: int, told: list, shown: list, s3_server: str
) -> None:
    run = launched(chain(2, artifacts=True), pipeline_root=stores(sign=True))
    first = pod_of(intake_port, run, "root/s0")
    uri = first.output()
    files = [{"uri": uri, "name": name, "size": 3} for name in ("a.txt", "deep/b [1]#~.txt")]
    urls = first.ask("POST", "/v1/uploads", {"files": files}).json["urls"]
    assert all(url.startswith(s3_server) and "X-Amz-Signature" in url for url in urls)
    assert [put(url, b"one") for url in urls] == [200, 200]
    succeed(run, "root/s0", artifacts={"data": [artifact(uri)]}, Output=1)
    given = pod_of(intake_port, run, "root/s1").ask("GET", "/v1/order").json["inputs"][uri]
    assert [(file["name"], file["size"]) for file in given] == [("a.txt", 3), ("deep/b [1]#~.txt", 3)]
    assert [urllib.request.urlopen(file["url"], timeout=20).read() for file in given] == [b"one", b"one"]


def test_where_pods_do_not_reach_the_bucket_files_go_through_here_in_parts(
    stores: Any, intake_port: int, told: list, shown: list
) -> None:
    run = launched(chain(2, artifacts=True), pipeline_root=stores())  # its endpoint is this machine's loopback
    first = pod_of(intake_port, run, "root/s0")
    uri = first.output()
    large = bytes(range(256)) * 4 * 1024 * 20  # 20 MiB: three parts
    (url,) = first.ask("POST", "/v1/uploads", {"files": [{"uri": uri, "name": "large", "size": len(large)}]}).json["urls"]
    assert url.startswith("/v1/artifact?")
    assert first.ask("PUT", url, large).status == 204
    assert content_of(f"{uri}/large") == large
    succeed(run, "root/s0", artifacts={"data": [artifact(uri)]}, Output=1)
    second = pod_of(intake_port, run, "root/s1")
    (file,) = second.ask("GET", "/v1/order").json["inputs"][uri]
    assert second.ask("GET", file["url"]).body == large


def test_an_upload_that_breaks_off_leaves_nothing_in_the_bucket(
    stores: Any, intake_port: int, told: list, s3_server: str, bucket: str
) -> None:
    pod = pod_of(intake_port, launched(chain(1, artifacts=True), pipeline_root=stores()), "root/s0")
    uri = pod.output()
    with socket.create_connection(("127.0.0.1", intake_port)) as connection:
        head = f"PUT /v1/artifact?uri={uri}&name= HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {pod.token}\r\n"
        connection.sendall(f"{head}Content-Length: 30000000\r\n\r\n".encode() + b"x" * 20_000_000)
        time.sleep(0.3)
    until = time.monotonic() + 5
    while (listed := uploads(s3_server, bucket)) and time.monotonic() < until:
        time.sleep(0.05)
    assert listed == 0
    with pytest.raises(FileNotFoundError):
        content_of(uri)


def uploads(server: str, bucket: str) -> int:
    return urllib.request.urlopen(f"{server}/{bucket}?uploads", timeout=10).read().count(b"<UploadId>")


def test_a_later_attempt_begins_with_an_empty_place_in_the_bucket(stores: Any, intake_port: int, told: list) -> None:
    run = launched(chain(1, artifacts=True), pipeline_root=stores())
    pod = pod_of(intake_port, run, "root/s0")
    uri = pod.output()
    assert pod.ask("PUT", "/v1/artifact", b"old", uri=uri, name="old.txt").status == 204
    models.Attempt.objects.create(run=run, path="root/s0", number=2, name="bucket-again-2")
    models.Attempt.objects.filter(pk=pod.row.pk).update(phase=Phase.ENDED, finished_at=timezone.now())
    models.Task.objects.filter(run=run, path="root/s0").update(attempt=2)
    assert pod_of(intake_port, run, "root/s0", 2).output() == uri
    with pytest.raises(FileNotFoundError):
        content_of(f"{uri}/old.txt")


def test_results_can_lie_in_the_bucket(stores: Any, intake_port: int, told: list, settings: Any) -> None:
    root = stores()
    settings.RESULTS_ROOT = f"{root}/.results"
    run = launched(chain(1), pipeline_root=root)
    pod = pod_of(intake_port, run, "root/s0")
    result = Result(pod.row.name, "succeeded", {"finished": 1_700_000_000_000_000}, outputs=Values({"Output": 1}))
    assert pod.ask("POST", "/v1/result", result.to_text().encode()).status == 204
    assert results.read(settings.RESULTS_ROOT, store_options(), str(run.pk), pod.row.name) == result
    assert json.loads(content_of(f"{root}/.results/{run.pk}/{pod.row.name}.json"))["state"] == "succeeded"
    results.remove(settings.RESULTS_ROOT, store_options(), str(run.pk))
    assert results.read(settings.RESULTS_ROOT, store_options(), str(run.pk), pod.row.name) is None


def test_options_in_a_pipeline_root_are_that_run_s_own(
    intake_port: int, told: list, place: pathlib.Path, s3_server: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["secret_access_key"])
    host = s3_server.removeprefix("http://")
    root = f"minio://{bucket}/x?endpoint={host}&disableSSL=true&s3ForcePathStyle=true&region=minio"
    run = launched(chain(2, artifacts=True), pipeline_root=root)
    first = pod_of(intake_port, run, "root/s0")
    uri = first.output()
    assert uri.startswith(f"minio://{bucket}/x/chain/{run.pk}/s0/")
    assert first.ask("PUT", "/v1/artifact", b"mine", uri=uri, name="").status == 204
    succeed(run, "root/s0", artifacts={"data": [artifact(uri)]}, Output=1)
    second = pod_of(intake_port, run, "root/s1")
    (file,) = second.ask("GET", "/v1/order").json["inputs"][uri]
    assert second.ask("GET", file["url"]).body == b"mine"


def test_what_is_not_in_the_bucket_is_a_problem_with_its_sentence(stores: Any, intake_port: int, told: list) -> None:
    run = launched(chain(2, artifacts=True), pipeline_root=stores())
    uri = pod_of(intake_port, run, "root/s0").output()
    succeed(run, "root/s0", artifacts={"data": [artifact(uri)]}, Output=1)
    answer = pod_of(intake_port, run, "root/s1").ask("GET", "/v1/order").json
    assert (answer["inputs"], answer["problems"]) == ({}, {uri: f"There is nothing at {uri}."})


def test_a_store_that_does_not_answer_is_said(intake_port: int, told: list, place: pathlib.Path, monkeypatch: Any) -> None:
    entry = {"prefix": "s3://dead", "options": {"endpoint": "http://127.0.0.1:9", **KEYS}}
    monkeypatch.setenv("KFDASH_STORES", json.dumps([entry]))
    store_options.cache_clear()
    pod = pod_of(intake_port, launched(chain(1, artifacts=True), pipeline_root="s3://dead/x"), "root/s0")
    answer = pod.ask("PUT", "/v1/artifact", b"x", uri=pod.output(), name="")
    assert answer.status == 502
    assert "s3://dead" in answer.error
    assert django_settings.LAUNCHER_KEY.hex() not in answer.error


def test_a_later_attempt_waits_for_a_store_that_cannot_be_emptied(
    intake_port: int, told: list, place: pathlib.Path, monkeypatch: Any
) -> None:
    entry = {"prefix": "s3://dead", "options": {"endpoint": "http://127.0.0.1:9", **KEYS}}
    monkeypatch.setenv("KFDASH_STORES", json.dumps([entry]))
    store_options.cache_clear()
    run = launched(chain(1, artifacts=True), pipeline_root="s3://dead/x")
    models.Attempt.objects.create(run=run, path="root/s0", number=2, name="dead-again-2")
    models.Task.objects.filter(run=run, path="root/s0").update(attempt=2)
    answer = pod_of(intake_port, run, "root/s0", 2).ask("GET", "/v1/order")
    assert answer.status == 503 and "What an earlier attempt left" in answer.error


def test_what_lies_in_a_bucket_is_looked_at_and_downloaded(
    stores: Any, place: pathlib.Path, settings: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = place
    root = stores()
    opened = open_store(root, store_options())
    for name, content in (("report/a.csv", b"x,y\n1,2\n"), ("report/b.bin", b"\0" * 100), ("notes", b"plain words")):
        obstore.put(opened.store, f"{opened.key}/{name}", content)
    folder = models.Artifact.objects.create(path="root/s0", name="report", uri=f"{root}/report")
    file = models.Artifact.objects.create(path="root/s0", name="notes", uri=f"{root}/notes")
    assert "a.csv" in client.get(f"/artifacts/{folder.pk}/", headers={"Host": "localhost"}).content.decode()
    assert "plain words" in client.get(f"/artifacts/{file.pk}/", headers={"Host": "localhost"}).content.decode()

    def downloaded(pk: int, **query: str) -> Any:
        return client.get(f"/artifacts/{pk}/download/", query, headers={"Host": "localhost"})

    assert downloaded(file.pk).getvalue() == b"plain words"
    assert downloaded(folder.pk, file="a.csv").getvalue() == b"x,y\n1,2\n"
    with tarfile.open(fileobj=io.BytesIO(downloaded(folder.pk).getvalue())) as packed:
        assert packed.extractfile("report/a.csv").read() == b"x,y\n1,2\n"  # type: ignore[union-attr]
        assert packed.extractfile("report/b.bin").read() == b"\0" * 100  # type: ignore[union-attr]
    shown = client.get(f"/artifacts/{folder.pk}/", {"file": "a.csv"}, headers={"Host": "localhost"}).content.decode()
    assert "<table" in shown
    assert "no file" in client.get(f"/artifacts/{folder.pk}/", {"file": "c"}, headers={"Host": "localhost"}).content.decode()
    assert downloaded(folder.pk, file="c").status_code == 404
    monkeypatch.setattr("runs.artifacts.copies.MOST", 5)
    large = models.Artifact.objects.create(path="root/s0", name="again", uri=f"{root}/report/b.bin")
    assert "too much to be fetched" in client.get(f"/artifacts/{large.pk}/", headers={"Host": "localhost"}).content.decode()
    assert len(downloaded(large.pk).getvalue()) == 100


def test_a_bucket_that_nobody_set_up_is_not_asked(place: pathlib.Path, client: Any) -> None:
    artifact = models.Artifact.objects.create(path="root/s0", name="x", uri="s3://somebody-else/x")
    assert "kfdash keeps no copy" in client.get(f"/artifacts/{artifact.pk}/", headers={"Host": "localhost"}).content.decode()


def test_large_files_go_through_here_in_parts_whatever_the_store_can_sign(
    stores: Any, intake_port: int, told: list, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.intake.outputs.SIGNED_UP_TO", 10)
    pod = pod_of(intake_port, launched(chain(1, artifacts=True), pipeline_root=stores(sign=True)), "root/s0")
    uri = pod.output()
    files = [{"uri": uri, "name": "small", "size": 10}, {"uri": uri, "name": "large", "size": 11}]
    small, large = pod.ask("POST", "/v1/uploads", {"files": files}).json["urls"]
    assert small.startswith(s3_server)
    assert large.startswith("/v1/artifact?")


def test_azure_takes_signed_uploads_with_the_header_that_the_launcher_sends(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = base64.b64encode(b"k" * 32).decode()
    entry = {"prefix": "az://box", "options": {"account_name": "account", "account_key": key}}
    monkeypatch.setenv("KFDASH_STORES", json.dumps([entry]))
    store_options.cache_clear()
    (address,) = outside.signed("az://box/x", "", "GET", ["x/a b"])
    assert address.startswith("https://account.blob.core.windows.net/box/x/a%20b?")
    (address,) = outside.signed("az://box/x", "", "PUT", ["x/a b"])
    assert asking.headers_of(address) == {"x-ms-blob-type": "BlockBlob"}


def test_a_store_without_credentials_signs_nothing(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert outside.signed("s3://public/x", "", "PUT", ["x/a"]) == []


_LOOK = """
import os, django
django.setup()
from kfdash import doctor, processes
print(doctor.stores().sentence, processes.threads(), sep="|")
"""


@pytest.mark.parametrize("there", [True, False])
def test_the_store_is_looked_at_before_the_start_and_no_thread_is_left(
    s3_server: str, bucket: str, there: bool, tmp_path: Any
) -> None:
    endpoint = s3_server if there else "http://127.0.0.1:9"
    entry = {"prefix": f"s3://{bucket}", "options": {"endpoint": endpoint, **KEYS}}
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "kfdash.settings",
        "KFDASH_DATA_DIR": str(tmp_path / "data"),
        "KFDASH_EXECUTOR": "kubernetes",
        "KFDASH_PIPELINE_ROOT": f"s3://{bucket}/x",
        "KFDASH_STORES": json.dumps([entry]),
    }
    done = subprocess.run([sys.executable, "-c", _LOOK], env=environment, capture_output=True, text=True, timeout=60)
    sentence, threads = done.stdout.strip().split("|")
    assert sentence.startswith(f"s3://{bucket}/x answers" if there else "The bucket does not answer as it should.")
    assert int(threads) == 1, "parts cannot be forked from a process with threads"
