"""kfdash's end where pods cannot call it: the inbox, the followed output, and what is handed to the intake."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runs.executors.base import AttemptKey
from runs.executors.kubernetes.client import Client
from runs.executors.kubernetes.mail.following import Follower
from runs.executors.kubernetes.mail.mailbox import Mail, Mailbox, unusable
from runs.executors.kubernetes.mail.relay import Relay
from runs.launcher.mail import ASKED, ORDER, RESULT
from runs.store import StoreOptions
from tests.kubernetes.orders import CONFIG

KEY = AttemptKey("step-1", "run", "root/step", 1)


class Intake:
    """Answers as the intake does of a log, and remembers what it was told."""

    def __init__(self) -> None:
        self.log = b""
        self.calls: list[tuple[str, Any]] = []

    def call(self, method: str, path: str, body: Any = None, *, patience: float | None = None) -> Any:
        """One call."""
        if path.startswith("/v1/log"):
            assert int(path.partition("first=")[2].partition("&")[0]) == self.log.count(b"\n") + 1
            self.log += body
            if not path.endswith("ended=1"):
                return {"next": self.log.count(b"\n") + 1}
        self.calls.append((path, body))
        return None


class Told:
    """What a follower tells beside the log."""

    def __init__(self) -> None:
        self.heard_to: list[int] = []
        self.renewed: list[tuple[bool, str]] = []
        self.results: list[bytes] = []

    def heard(self, key: AttemptKey, following: int) -> None:
        """How far the log was read."""
        self.heard_to.append(following)

    def renew(self, key: AttemptKey, *, begun: bool, why: str) -> None:
        """Other addresses are wanted."""
        self.renewed.append((begun, why))

    def tell_result(self, key: AttemptKey, text: bytes) -> None:
        """A result that no bucket took."""
        self.results.append(text)


@pytest.fixture
def follower() -> Any:
    """One that follows nothing: lines are given to it."""
    found: Any = Follower(Client(dataclasses.replace(CONFIG, namespace="steps")), Told(), KEY, lambda: None, ThreadPoolExecutor(1))  # type: ignore[arg-type]
    found._line = Intake()
    return found


def test_lines_are_taken_once_and_together(follower: Any) -> None:
    follower._take([b"1 10 o one", b"2 11 e two"])
    follower._take([b"2 11 e two", b"3 12 o three", b"Traceback of our own", b"4 13 o four"])
    assert follower._line.log == b"10 o one\n11 e two\n12 o three\n13 o four\n"


def test_lines_that_the_cluster_threw_away_are_told_of_and_keep_their_numbers(follower: Any) -> None:
    follower._take([b"1 10 o one", b"4 13 o four"])
    assert follower._line.log == (
        b"10 o one\n"
        b"13 k 2 lines are missing here: the cluster had thrown them away before kfdash could read them.\n"
        b"13 k \n13 o four\n"
    )


def test_what_is_said_between_lines_keeps_its_order(follower: Any) -> None:
    follower._take([b"1 10 o one", b'!progress {"phase": "running"}', b"!ended 2", b"!renew 1 403 too old", b'!result {"a": 1}'])
    assert follower._line.calls == [("/v1/progress", {"phase": "running"}), ("/v1/log?first=2&ended=1", b"")]
    assert (follower._relay.renewed, follower._relay.results) == ([(True, "403 too old")], [b'{"a": 1}'])


def test_the_launcher_of_a_long_log_is_told_how_far_it_was_read(follower: Any) -> None:
    follower._take([b"%d 10 o %s" % (number, b"x" * 60_000) for number in range(1, 11)])
    assert follower._relay.heard_to == [11]


def test_lines_that_come_one_by_one_are_handed_on_together(follower: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [b"%d 10 o line\n" % number for number in range(1, 2001)]
    monkeypatch.setattr(follower._client, "pieces", lambda path, query, read: iter([*pieces, b"!ended 2001\n"]))
    intake = follower._line
    blocks: list[int] = []
    call = intake.call

    def slow(method: str, path: str, body: Any = None, *, patience: float | None = None) -> Any:
        if body:
            blocks.append(body.count(b"\n"))
            time.sleep(0.005)
        return call(method, path, body, patience=patience)

    intake.call = slow
    follower._relay.line = lambda key: intake
    follower.run()
    assert sum(blocks) == 2000 and len(blocks) < 200
    assert follower._over


def test_an_attempt_is_let_go_of_when_its_log_was_read(follower: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower._client, "pieces", lambda path, query, read: iter([b"1 10 o line\n!ended 2\n"]))
    follower._relay.line = lambda key, line=follower._line: line
    let_go: list[bytes] = []
    assert follower.when_done(lambda: let_go.append(follower._line.log))
    follower.run()
    assert let_go == [b"10 o line\n"]
    assert not follower.when_done(lambda: None)


def test_a_log_is_at_its_end_only_with_all_its_lines(follower: Any) -> None:
    follower._take([b"1 10 o one", b"!ended 5"])
    assert not follower._over
    follower._take([b"2 10 o two", b"3 10 o three", b"4 10 o four", b"!ended 5"])
    assert follower._over


@pytest.fixture
def mailbox(tmp_path: pathlib.Path) -> Mailbox:
    """One in a folder."""
    return Mailbox("minio://kfdash/.mail", StoreOptions(str(tmp_path)))


def written(folder: pathlib.Path, name: str, text: str) -> None:
    """What a pod put at its address."""
    path = folder / "kfdash/.mail/in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_inbox_lists_what_waits_and_nothing_else(mailbox: Mailbox, tmp_path: pathlib.Path) -> None:
    assert mailbox.inbox() == []
    written(tmp_path, f"a-step-1.{RESULT}", "{}")
    written(tmp_path, f"b.{ASKED}", "[1]")
    written(tmp_path, "what-else.txt", "x")
    assert sorted(mailbox.inbox()) == [Mail(ASKED, "b", 3), Mail(RESULT, "a-step-1", 2)]
    assert mailbox.read(RESULT, "a-step-1", 10) == b"{}" and mailbox.read(RESULT, "none", 10) is None
    mailbox.taken(RESULT, "a-step-1")
    assert [mail.kind for mail in mailbox.inbox()] == [ASKED]


def test_of_a_document_that_is_too_large_no_more_is_read_than_shows_it(mailbox: Mailbox, tmp_path: pathlib.Path) -> None:
    written(tmp_path, f"a.{RESULT}", "x" * 100)
    assert mailbox.read(RESULT, "a", 10) == b"x" * 11


def test_nothing_of_an_attempt_stays_that_is_forgotten(mailbox: Mailbox, tmp_path: pathlib.Path) -> None:
    mailbox.put(ORDER, "step-1", {"key": {"run_id": "run", "path": "root/step", "number": 1}})
    mailbox.put(ORDER, "step-10", {})
    written(tmp_path, f"step-1.{RESULT}", "{}")
    mailbox.forget("step-1")
    assert mailbox.order_of("step-1") is None and mailbox.inbox() == []
    assert mailbox.order_of("step-10") == {}


def test_whose_mail_it_is_stands_in_the_order(tmp_path: pathlib.Path) -> None:
    config = dataclasses.replace(CONFIG, mail_root="minio://kfdash/.mail", store_options=StoreOptions(str(tmp_path)))
    relay = Relay(config, Client(config))
    assert relay.key_of("step-1") is None
    relay.mailbox.put(ORDER, "step-1", {"key": {"run_id": "run", "path": "root/step", "number": 1}})
    assert relay.key_of("step-1") == KEY


def test_pods_cannot_meet_kfdash_in_its_own_folder_or_on_its_loopback() -> None:
    options = StoreOptions("artifacts", buckets={"s3": {"endpoint": "http://127.0.0.1:9000"}})
    assert "KFDASH_PIPELINE_ROOT" in unusable("minio://kfdash/v2/artifacts", options)
    assert "KFDASH_STORES" in unusable("s3://b/root", options)
    assert unusable("s3://b/root", StoreOptions("artifacts")) == ""
