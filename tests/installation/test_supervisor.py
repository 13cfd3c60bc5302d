"""`kfdash up`: everything starts, dies, comes back and ends as promised."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.running import Installation, born, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
PARTS = {"redis", "host", "web", "drive", "orders", "io", "observer"}


def page(address: str) -> int:
    """The status of a page that needs the database and templates."""
    try:
        with urllib.request.urlopen(f"{address}/admin/login/", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_it_serves_and_ends_without_a_trace(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data") as installation:
        assert page(installation.address) == 200
        assert set(installation.parts()) == PARTS
        assert len(installation.processes()) >= 1 + len(PARTS)
        assert installation.stop() == 0
    said = [line for line in installation.said().splitlines() if line.strip()]
    assert said == [f"ready {installation.address}"]


def test_sigterm_ends_it_as_well(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data") as installation:
        assert installation.stop(signal.SIGTERM) == 0


def test_whatever_is_killed_is_started_again(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data") as installation:
        before = installation.parts()
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)

        def all_are_new() -> bool:
            now = installation.parts()
            return set(now) == PARTS and all(now[name] != before[name] and born(now[name]) for name in PARTS)

        assert wait_for(all_are_new), installation.said()
        assert wait_for(lambda: page(installation.address) == 200)
        for name in PARTS:
            assert f"{name} ended (signal 9)" in installation.said()


def test_killed_itself_it_leaves_nothing_and_can_be_started_again(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data") as installation:
        assert installation.process is not None
        installation.process.kill()
        installation.process.wait()
        installation.start()
        assert page(installation.address) == 200
    assert installation.process.returncode == 0


def test_killed_itself_all_parts_notice(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data") as installation:
        assert installation.process is not None
        installation.process.kill()
        assert wait_for(lambda: not installation.processes())


def test_a_second_one_on_the_same_folder_says_who_holds_it(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data") as first:
        assert first.process is not None
        sentence = Installation(tmp_path / "data").refused("--port", "0")
        assert str(first.process.pid) in sentence
        assert first.address in sentence
        assert "--data-dir" in sentence
        assert page(first.address) == 200
        command = [sys.executable, "-m", "kfdash.cli", "doctor", "--data-dir", str(tmp_path / "data")]
        said = subprocess.run(command, capture_output=True, text=True, env=first.environment).stdout
        assert f"yes, process {first.process.pid}, {first.address}" in said


def test_a_taken_port_is_named(tmp_path: pathlib.Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sentence = Installation(tmp_path / "data").refused("--port", str(port))
    assert f"Port {port}" in sentence and "--port" in sentence


def test_a_folder_that_cannot_be_written_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    sentence = Installation(tmp_path / "file" / "data").refused()
    assert "cannot be written" in sentence and "--data-dir" in sentence


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "example.org"])
def test_other_addresses_are_refused_while_nobody_can_log_in(tmp_path: pathlib.Path, host: str) -> None:
    sentence = Installation(tmp_path / "data").refused("--host", host)
    assert host in sentence and "KFDASH_AUTH" in sentence


def test_any_loopback_address_will_do(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data", KFDASH_HOST="127.0.0.5") as installation:
        assert installation.address.startswith("http://127.0.0.5:")
        assert page(installation.address) == 200


def test_where_people_log_in_other_addresses_are_served_and_strangers_led_to_the_door(tmp_path: pathlib.Path) -> None:
    with Installation(
        tmp_path / "data", KFDASH_AUTH="accounts", KFDASH_HOST="0.0.0.0", KFDASH_ALLOWED_HOSTS="127.0.0.1"
    ) as installation:
        address = f"http://127.0.0.1:{urlsplit(installation.address).port}"
        with urllib.request.urlopen(f"{address}/runs/") as answer:
            assert answer.url == f"{address}/login/?next=%2Fruns%2F"


def test_a_way_to_log_in_that_there_is_not_is_named(tmp_path: pathlib.Path) -> None:
    sentence = Installation(tmp_path / "data", KFDASH_AUTH="magic").refused("--host", "0.0.0.0")
    assert "KFDASH_AUTH is 'magic'" in sentence and "accounts" in sentence


def test_a_port_that_cannot_be_is_named(tmp_path: pathlib.Path) -> None:
    assert "70000" in Installation(tmp_path / "data").refused("--port", "70000")


def test_a_redis_that_does_not_answer_is_named(tmp_path: pathlib.Path) -> None:
    sentence = Installation(tmp_path / "data", KFDASH_REDIS_URL="redis://127.0.0.1:1/0").refused()
    assert "KFDASH_REDIS_URL" in sentence


def test_a_setting_that_is_no_number_is_named(tmp_path: pathlib.Path) -> None:
    sentence = Installation(tmp_path / "data", KFDASH_STOP_GRACE="soon").refused()
    assert "KFDASH_STOP_GRACE" in sentence and "soon" in sentence


def test_a_long_path_of_the_data_folder_does_not_matter(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / ("long" * 30) / "data") as installation:
        assert page(installation.address) == 200


def test_what_redis_kept_and_cannot_be_read_is_put_aside(tmp_path: pathlib.Path) -> None:
    kept = tmp_path / "data" / "redis" / "redis.rdb"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"REDIS0011 but not really")
    with Installation(tmp_path / "data") as installation:
        assert page(installation.address) == 200
    assert kept.with_suffix(".unreadable").exists()


WITHOUT_FORK = "import sys; from kfdash import processes; processes.LINUX = False; from kfdash.cli import main; sys.exit(main())"


def test_where_it_cannot_fork_it_starts_its_parts_anew(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data", program=[sys.executable, "-P", "-c", WITHOUT_FORK]) as installation:
        assert page(installation.address) == 200
        before = installation.parts()
        assert set(before) == PARTS
        os.kill(before["web"], signal.SIGKILL)
        assert wait_for(lambda: installation.parts().get("web", before["web"]) != before["web"], 20)
        assert page(installation.address) == 200


def test_where_it_cannot_fork_its_parts_notice_as_well_when_it_is_killed(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data", program=[sys.executable, "-P", "-c", WITHOUT_FORK]) as installation:
        assert installation.process is not None
        installation.process.kill()
        assert wait_for(lambda: not installation.processes(), 30)
