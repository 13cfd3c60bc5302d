"""The calls of a launcher: order, artifacts, log, progress, result; and what is refused."""

from __future__ import annotations

import base64
import http.client
import http.server
import pathlib
import shutil
import socket
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from runs import driver, logs, logstore, models, results
from runs.engine.model import AttemptFailed, AttemptProgressed, AttemptSucceeded, Phase, Values
from runs.execution.attempt import AttemptOrder
from runs.execution.result import Result
from runs.executors.base import LogLine
from runs.intake import app
from runs.launcher.tokens import Claims, issue
from runs.services.launching import NotLaunchable
from runs.stores import store_options
from tests.django.documents import chain
from tests.django.driving import artifact, fail, launched, succeed
from tests.intake.conftest import Pod, pod_of

pytestmark = pytest.mark.django_db(transaction=True)


def block(first: int, *texts: str) -> bytes:
    return logstore.frame(LogLine(first + i, 1_700_000_000_000_000 + i, "o", text) for i, text in enumerate(texts))


def document(pod: Pod, **changes: Any) -> bytes:
    fields: dict[str, Any] = {"times": {"running": 1_700_000_000_000_000, "finished": 1_700_000_001_000_000}, **changes}
    return Result(fields.pop("attempt", pod.row.name), fields.pop("state", "succeeded"), **fields).to_text().encode()


def test_the_order_is_complete_and_lists_the_files_of_the_inputs(pod: Pod) -> None:
    answer = pod.ask("GET", "/v1/order")
    assert answer.status == 200
    order = AttemptOrder.from_json(answer.json["order"])
    assert (order.name, order.path, order.number) == (pod.row.name, "root/s1", 1)
    (uri,) = answer.json["inputs"]
    assert [(file["name"], file["size"]) for file in answer.json["inputs"][uri]] == [("a.txt", 3), ("deep/b.txt", 4)]
    assert [pod.ask("GET", file["url"]).body for file in answer.json["inputs"][uri]] == [b"one", b"two!"]
    assert answer.json["problems"] == {}
    assert answer.json["limits"]["log_bytes"] == 200 * 2**20
    assert answer.json["grace"] == 30


def test_a_large_file_goes_in_and_out_as_a_stream(pod: Pod, place: pathlib.Path) -> None:
    uri = pod.output()
    content = bytes(range(256)) * 4 * 4096 * 3
    assert pod.ask("PUT", "/v1/artifact", content, uri=uri, name="").status == 204
    assert (place / "artifacts" / "kfdash" / uri.removeprefix("minio://kfdash/")).read_bytes() == content
    assert list((place / "artifacts" / "kfdash" / ".uploads").iterdir()) == []


def test_a_connection_serves_many_calls(pod: Pod) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", pod.port, timeout=20)
    headers = {"Authorization": f"Bearer {pod.token}"}
    for method, path, body in [
        ("GET", "/v1/order", None),
        ("POST", "/v1/progress", b'{"phase": "running"}'),
        ("GET", "/v1/x", None),
    ]:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.getheader("Connection") is None
    connection.close()


def test_what_breaks_off_leaves_nothing(pod: Pod, place: pathlib.Path) -> None:
    uri = pod.output()
    with socket.create_connection(("127.0.0.1", pod.port)) as connection:
        head = f"PUT /v1/artifact?uri={uri}&name= HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {pod.token}\r\n"
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\n".encode() + b"x" * 500)
        time.sleep(0.2)
    until = time.monotonic() + 5
    while list((place / "artifacts" / "kfdash" / ".uploads").iterdir()) and time.monotonic() < until:
        time.sleep(0.02)
    assert list((place / "artifacts" / "kfdash" / ".uploads").iterdir()) == []
    assert not (place / "artifacts" / "kfdash" / uri.removeprefix("minio://kfdash/")).exists()


def test_a_later_attempt_begins_with_empty_outputs(pod: Pod, intake_port: int, place: pathlib.Path) -> None:
    uri = pod.output()
    pod.ask("PUT", "/v1/artifact", b"old", uri=uri, name="old.txt")
    models.Attempt.objects.create(run=pod.run, path="root/s1", number=2, name="again-2")
    models.Attempt.objects.filter(pk=pod.row.pk).update(phase=Phase.ENDED, finished_at=timezone.now())
    models.Task.objects.filter(run=pod.run, path="root/s1").update(attempt=2)
    again = pod_of(intake_port, pod.run, "root/s1", 2)
    assert again.output() == uri
    folder = place / "artifacts" / "kfdash" / uri.removeprefix("minio://kfdash/")
    assert not folder.exists()
    again.ask("PUT", "/v1/artifact", b"new", uri=uri, name="new.txt")
    told = again.ask("GET", "/v1/order", again="1").json
    assert (list(told["inputs"]), (folder / "new.txt").read_bytes()) == (list(pod_inputs(again)), b"new")


def pod_inputs(pod: Pod) -> list[str]:
    """URIs of a step's inputs, by its row."""
    inputs = models.Task.objects.get(run=pod.run, path="root/s1").inputs
    return [value["uri"] for value in inputs["artifacts"]["data"]]


def test_an_input_that_is_gone_meanwhile_fails_the_attempt(pod: Pod, told: list, place: pathlib.Path) -> None:
    (uri,) = pod.ask("GET", "/v1/order").json["inputs"]
    value = models.Task.objects.get(run=pod.run, path="root/s1").inputs["artifacts"]["data"][0]
    assert (value["uri"], value["id"] > 0) == (uri, True)
    models.Artifact.objects.filter(pk=value["id"]).update(size=7)
    shutil.rmtree(place / "artifacts" / "kfdash" / uri.removeprefix("minio://kfdash/"))
    answer = pod.ask("GET", "/v1/order")
    assert (answer.status, "is gone" in answer.error) == (410, True)
    assert (told[0][1].cause, told[0][1].retryable) == ("input-gone", False)


def test_log_blocks_are_stored_once_and_shown(pod: Pod, shown: list) -> None:
    assert pod.ask("POST", "/v1/log", block(1, "a", "b"), first=1).json == {"next": 3}
    assert pod.ask("POST", "/v1/log", block(2, "b", "c"), first=2).json == {"next": 4}
    gap = pod.ask("POST", "/v1/log", block(9, "z"), first=9)
    assert (gap.status, gap.json["next"]) == (409, 4)
    assert pod.ask("POST", "/v1/log", block(1, "a"), first=1, ended=1).json == {"next": 4}
    assert [line.text for line in logs.read(f"{pod.run.pk}/{pod.row.name}")] == ["a", "b", "c"]
    assert [(lines[0][0] if lines else 0, len(lines), ended) for _, lines, ended in shown] == [
        (1, 2, False),
        (3, 1, False),
        (0, 0, True),
    ]


def test_a_log_that_another_process_wrote_to_goes_on_rightly(pod: Pod, shown: list) -> None:
    pod.ask("POST", "/v1/log", block(1, "a"), first=1)
    other = logstore.LogWriter(logs.folder(f"{pod.run.pk}/{pod.row.name}"))
    other.append_block(block(2, "b"), 1)
    assert pod.ask("POST", "/v1/log", block(2, "b", "c"), first=2).json == {"next": 4}
    assert [line.text for line in logs.read(f"{pod.run.pk}/{pod.row.name}")] == ["a", "b", "c"]


@pytest.mark.parametrize("body", [b"no frame\n", b"1 o without end", b"1 x stream\n", b"1 o nul\0\n"])
def test_what_is_no_block_of_a_log_is_refused(pod: Pod, body: bytes) -> None:
    answer = pod.ask("POST", "/v1/log", body, first=1)
    assert answer.status == 400
    assert "no block of a log" in answer.error


def test_progress_is_a_fact(pod: Pod, told: list) -> None:
    at = time.time_ns() // 1000
    assert pod.ask("POST", "/v1/progress", {"phase": "running", "at": at, "reason": ""}).status == 204
    ((run_id, fact),) = told
    assert run_id == str(pod.run.pk)
    assert isinstance(fact, AttemptProgressed)
    assert (fact.path, fact.number, fact.phase) == ("root/s1", 1, Phase.RUNNING)
    assert round(fact.at.timestamp() * 1e6) == at


def test_a_clock_that_is_years_off_is_not_believed(pod: Pod, told: list) -> None:
    pod.ask("POST", "/v1/progress", {"phase": "running", "at": 5})
    assert abs(told[0][1].at - timezone.now()) < timedelta(minutes=1)


def test_a_result_is_stored_and_ends_the_attempt(pod: Pod, told: list) -> None:
    uri = pod.output()
    text = document(pod, outputs=Values({"Output": 5}, {"data": [artifact(uri)]}))
    assert pod.ask("POST", "/v1/result", text).status == 204
    ((_, fact),) = told
    assert isinstance(fact, AttemptSucceeded)
    assert fact.outputs.parameters == {"Output": 5}
    stored = results.read(settings.RESULTS_ROOT, store_options(), str(pod.run.pk), pod.row.name)
    assert stored == Result.from_text(text)
    driver.drive(str(pod.run.pk), fact)
    assert pod.ask("POST", "/v1/result", text).status == 204, "the same again"
    assert len(told) == 1
    other = pod.ask("POST", "/v1/result", document(pod, state="failed"))
    assert (other.status, "is over" in other.error) == (410, True)


def test_an_end_that_the_pod_can_explain_waits_for_who_follows_the_pods(pod: Pod, told: list) -> None:
    killed = document(pod, state="failed", signal=9, exit_code=137, reason="Ended by SIGKILL", cause="signal")
    assert pod.ask("POST", "/v1/result", killed).status == 204
    assert told == []
    assert pod.ask("POST", "/v1/result", killed).status == 204
    assert told == []


def test_another_attempt_s_result_is_refused(pod: Pod, told: list) -> None:
    assert pod.ask("POST", "/v1/result", document(pod, attempt="another-1")).status == 403
    assert told == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "no JSON"),
        (b'{"attempt": "x", "state": "succeeded"}', "lacks 'times'"),
        (b'{"attempt": "x", "state": "won", "times": {"finished": 1}}', "unknown state"),
    ],
)
def test_a_malformed_result_fails_the_attempt_with_the_sentence(pod: Pod, told: list, text: bytes, why: str) -> None:
    answer = pod.ask("POST", "/v1/result", text)
    assert (answer.status, why in answer.error) == (422, True)
    ((_, fact),) = told
    assert isinstance(fact, AttemptFailed)
    assert (fact.cause, why in fact.reason) == ("outputs", True)


def test_a_result_that_is_too_large_fails_the_attempt(pod: Pod, told: list) -> None:
    answer = pod.ask("POST", "/v1/result", b" " * (64 * 2**20 + 1))
    assert (answer.status, "64 MiB" in answer.error) == (422, True)
    assert told[0][1].cause == "outputs"


@pytest.mark.parametrize("uri", ["minio://kfdash/v2/artifacts/other/run/s0/data", "s3://bucket/x", "minio://kfdash/.results/x"])
def test_an_output_cannot_say_that_it_lies_in_another_run(pod: Pod, told: list, uri: str) -> None:
    answer = pod.ask("POST", "/v1/result", document(pod, outputs=Values({"Output": 1}, {"data": [artifact(uri)]})))
    assert (answer.status, "not below the run's own root" in answer.error) == (422, True)
    assert isinstance(told[0][1], AttemptFailed)


# --- who may ---


def test_only_own_inputs_are_read(pod: Pod, intake_port: int) -> None:
    other = launched()
    assert pod.ask("GET", "/v1/artifact", uri=f"{other.pipeline_root}/s0/x", name="").status == 403
    assert pod.ask("GET", "/v1/artifact", uri=pod.output(), name="").status == 403
    (uri,) = pod.ask("GET", "/v1/order").json["inputs"]
    for name in ("../../x", "deep/../a.txt", "/etc/passwd"):
        assert pod.ask("GET", "/v1/artifact", uri=uri, name=name).status in (403, 404, 502)
    assert pod.ask("GET", "/v1/artifact", uri=uri, name="none").status == 404
    assert pod.ask("GET", "/v1/artifact", uri=uri, name="deep").status == 404


def test_only_own_outputs_are_written(pod: Pod, place: pathlib.Path) -> None:
    (uri,) = pod.ask("GET", "/v1/order").json["inputs"]
    mine = pod.output()
    for place_, name in [(uri, "x"), ("minio://kfdash/v2/x", ""), (mine + "/../x", ""), ("s3://bucket/x", ""), (mine, "x/")]:
        answer = pod.ask("PUT", "/v1/artifact", b"bad", uri=place_, name=name)
        assert (answer.status, "own outputs" in answer.error) == (403, True), place_
    assert pod.ask("PUT", "/v1/artifact", b"bad", uri=mine, name="../x").status == 400
    assert pod.ask("POST", "/v1/uploads", {"files": [{"uri": uri, "name": "x", "size": 3}]}).status == 403


def test_a_link_in_the_store_is_not_followed(pod: Pod, place: pathlib.Path) -> None:
    (uri,) = pod.ask("GET", "/v1/order").json["inputs"]
    (place / "secret").write_text("secret")
    folder = place / "artifacts" / "kfdash" / uri.removeprefix("minio://kfdash/")
    (folder / "link").symlink_to(place / "secret")
    assert pod.ask("GET", "/v1/artifact", uri=uri, name="link").status in (404, 502)
    assert "link" not in [file["name"] for file in pod.ask("GET", "/v1/order").json["inputs"][uri]]


@pytest.mark.parametrize("token", ["", "Basic x", "Bearer", "Bearer x", "Bearer a.b.c", "Bearer " + "x" * 5000])
def test_without_a_token_nothing_is_answered(pod: Pod, token: str) -> None:
    pod.token = token.removeprefix("Bearer ")
    for method, path in [("GET", "/v1/order"), ("POST", "/v1/result"), ("GET", "/v1/nothing")]:
        answer = pod.ask(method, path)
        assert answer.status == 401
        assert str(pod.run.pk) not in answer.error


def test_a_forged_an_expired_and_a_mixed_token_are_refused(pod: Pod) -> None:
    claims = Claims(pod.row.name, str(pod.run.pk), "root/s1", 1, int(time.time()) + 60)
    good = pod.token
    pod.token = issue(b"another key", claims)
    assert pod.ask("GET", "/v1/order").status == 401
    pod.token = issue(settings.LAUNCHER_KEY, Claims(claims.attempt, claims.run_id, claims.path, 1, int(time.time()) - 1))
    assert pod.ask("GET", "/v1/order").status == 401
    head, dot, tail = good.rpartition(".")
    pod.token = f"{head}{dot}{base64.urlsafe_b64encode(b'0' * 32).decode().rstrip('=')}"
    assert pod.ask("GET", "/v1/order").status == 401
    pod.token = issue(settings.LAUNCHER_KEY, Claims(claims.attempt, str(launched().pk), claims.path, 1, claims.expires))
    assert pod.ask("GET", "/v1/order").status == 410


def test_after_the_end_only_the_log_is_taken_and_not_for_long(pod: Pod, told: list, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = pod.output()
    fail(pod.run, "root/s1")
    told.clear()
    for answer in (
        pod.ask("GET", "/v1/order"),
        pod.ask("PUT", "/v1/artifact", b"late", uri=uri, name=""),
        pod.ask("POST", "/v1/progress", {"phase": "running"}),
        pod.ask("POST", "/v1/result", document(pod)),
    ):
        assert (answer.status, "is over" in answer.error) == (410, True)
    assert pod.ask("POST", "/v1/log", block(1, "last words"), first=1).status == 200
    models.Attempt.objects.filter(pk=pod.row.pk).update(finished_at=timezone.now() - timedelta(minutes=11))
    monkeypatch.setattr("runs.intake.app._LOG_CHECK", 0)
    app._intake()._taken_until.clear()
    assert pod.ask("POST", "/v1/log", block(2, "too late"), first=2).status == 410
    assert told == []


def test_a_deleted_run_takes_nothing(pod: Pod) -> None:
    assert pod.ask("POST", "/v1/log", block(1, "x"), first=1).status == 200
    folder = logs.folder(f"{pod.run.pk}/{pod.row.name}")
    pod.run.delete()
    shutil.rmtree(folder.parent)
    assert pod.ask("POST", "/v1/log", block(2, "y"), first=2).status in (409, 410)
    assert pod.ask("POST", "/v1/log", block(1, "x"), first=1).status == 410
    assert not folder.exists()
    assert pod.ask("POST", "/v1/result", document(pod)).status == 410


def test_more_than_a_step_may_write_is_refused_with_the_limit(pod: Pod, settings: Any) -> None:
    uri = pod.output()
    settings.STEP_OUTPUT_MIB = 1
    assert pod.ask("PUT", "/v1/artifact", b"x" * 700_000, uri=uri, name="a").status == 204
    assert pod.ask("PUT", "/v1/artifact", b"x" * 700_000, uri=uri, name="a").status == 204, "the same file again"
    answer = pod.ask("PUT", "/v1/artifact", b"x" * 700_000, uri=uri, name="b")
    assert (answer.status, "KFDASH_STEP_OUTPUT_MIB" in answer.error) == (413, True)
    files = [{"uri": uri, "name": name, "size": 700_000} for name in "cd"]
    assert pod.ask("POST", "/v1/uploads", {"files": files}).status == 413


def test_who_stops_in_the_middle_is_told_so(pod: Pod, place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = pod.output()
    monkeypatch.setattr("runs.intake.wire.PATIENCE", 0.2)
    with socket.create_connection(("127.0.0.1", pod.port), timeout=10) as connection:
        head = f"PUT /v1/artifact?uri={uri}&name= HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {pod.token}\r\n"
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\n".encode() + b"x" * 500)
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")
    assert list((place / "artifacts" / "kfdash" / ".uploads").iterdir()) == []


def test_a_full_disk_is_said_and_nothing_is_left(pod: Pod, place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = pod.output()

    def full(descriptor: int, piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runs.intake.outputs._write", full)
    answer = pod.ask("PUT", "/v1/artifact", b"x", uri=uri, name="a")
    assert (answer.status, "No space left" in answer.error) == (507, True)
    assert list((place / "artifacts" / "kfdash" / ".uploads").iterdir()) == []


def test_a_redis_that_is_away_is_said_and_the_result_is_kept(pod: Pod, told: list, monkeypatch: pytest.MonkeyPatch) -> None:
    from kfdash import outbox  # noqa: PLC0415

    def away(run_id: str, facts: list) -> None:
        raise outbox.NotHandedOver("Redis does not answer.")

    hand_over = outbox.hand_over
    monkeypatch.setattr("kfdash.outbox.hand_over", away)
    assert pod.ask("POST", "/v1/result", document(pod, outputs=Values({"Output": 1}))).status == 503
    monkeypatch.setattr("kfdash.outbox.hand_over", hand_over)
    assert pod.ask("POST", "/v1/result", document(pod, outputs=Values({"Output": 1}))).status == 204
    assert len(told) == 1


@pytest.mark.parametrize(
    ("root", "why"),
    [
        ("file:///data", "only minio://, s3://"),
        ("s3://bucket/../x", "not allowed"),
        ("minio://elsewhere/x", "needs an endpoint"),
        ("s3://bucket/x?password=1", "'password', which is not known"),
    ],
)
def test_a_pipeline_root_that_pods_cannot_write_to_is_refused_at_launch(place: pathlib.Path, root: str, why: str) -> None:
    with pytest.raises(NotLaunchable, match=why):
        launched(pipeline_root=root)


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from the web")

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_an_input_at_a_web_address_comes_through_here(
    intake_port: int, place: pathlib.Path, told: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFDASH_STORE_OPTIONS", '{"allow_private": true}')
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    store_options.cache_clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{site.server_port}/data.csv"
        run = launched(chain(2, artifacts=True))
        succeed(run, "root/s0", artifacts={"data": [artifact(uri)]}, Output=1)
        pod = pod_of(intake_port, run, "root/s1")
        (file,) = pod.ask("GET", "/v1/order").json["inputs"][uri]
        assert (file["name"], file["size"]) == ("", -1)
        assert pod.ask("GET", file["url"]).body == b"from the web"
        monkeypatch.setenv("KFDASH_STORE_OPTIONS", "{}")
        store_options.cache_clear()
        refused = pod.ask("GET", file["url"])
        assert (refused.status, "own network" in refused.error) == (502, True)
        site.shutdown()
