"""Hosts that are killed, steps that misbehave, environments that cannot be made: what happens, and what is said."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from pipelines.spec.model import ParameterType
from runs import logstore
from runs.engine.model import AttemptFailed, AttemptLost, AttemptProgressed, AttemptStopped, AttemptSucceeded, Phase
from runs.execution.order import attempt_name
from runs.executors.base import ExecutorUnavailable
from runs.executors.local.executor import LocalExecutor
from tests.executors.hosting import RunningHost, eventually, running_host
from tests.executors.lightweight import step
from tests.executors.steps import add, slow
from tests.executors.watching import Watcher, key_of, order

LINUX = pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="needs /proc")


@pytest.fixture
def host() -> Iterator[RunningHost]:
    with running_host("--grace", "1", "--output-limit", "50", "--log-limit", "2") as host:
        yield host


@pytest.fixture
def watcher(host: RunningHost) -> Watcher:
    watcher = Watcher(LocalExecutor(host.socket), 30)
    watcher.ready()
    return watcher


def alive(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def say_pid(watcher: Watcher, made, word: str = "pid") -> int:
    """The number that a step printed after a word."""

    def found():
        for text in watcher.told(made).texts("o"):
            if text.startswith(f"{word} "):
                return int(text.split()[1])
        return None

    return eventually(found, f"'{word}' of {made.name}")


# --- the host is killed ---


@LINUX
def test_no_step_outlives_a_killed_host_and_the_next_one_says_so(host, watcher):
    plain = order(script="echo pid $$; sleep 1000 & echo child $!; wait")
    warm = step(slow)
    watcher.executor.start([plain, warm])
    pids = [say_pid(watcher, plain), say_pid(watcher, plain, "child")]
    watcher.until(warm, lambda told: "> first" in told.texts("o"), "the first line")
    host.kill()
    eventually(lambda: not any(alive(pid) for pid in pids), "the steps' end")
    host.start()
    for made in (plain, warm):
        [known] = watcher.executor.look([key_of(made)])
        assert isinstance(known.fact, AttemptLost)
        assert "host" in known.fact.reason
        last = logstore.tail(host.logs / made.log, 1)[0]
        assert last.stream == "k" and "host" in last.text
    assert [line.number for line in logstore.read(host.logs / plain.log)] == [1, 2, 3]
    watcher.executor.start([plain])
    [known] = watcher.executor.look([key_of(plain)])
    assert isinstance(known.fact, AttemptLost)


@LINUX
def test_what_ran_away_from_a_killed_host_is_ended_by_the_next(host, watcher):
    made = order(script="setsid sh -c 'echo pid $$; exec sleep 1000' & sleep 1000")
    watcher.executor.start([made])
    pid = say_pid(watcher, made)
    # With its fork server stopped nobody can end it before the host is back.
    servers = [int(p) for p in pathlib.Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split()]
    for server in servers:
        os.kill(server, signal.SIGSTOP)
    host.kill()
    for server in servers:
        os.kill(server, signal.SIGKILL)
    time.sleep(0.2)
    assert alive(pid)
    host.start()
    eventually(lambda: not alive(pid), "the end of what ran away")


def test_results_outlive_the_host_until_they_are_forgotten(host, watcher):
    made = order(script="printf 7 > {{$.outputs.parameters['n'].output_file}}", outputs={"n": ParameterType.NUMBER_INTEGER})
    watcher.executor.start([made])
    end = watcher.end_of(made)
    host.kill()
    host.start()
    assert watcher.executor.look([key_of(made)])[0].fact == end
    watcher.executor.forget([key_of(made)])
    eventually(lambda: not (host.folder / "host" / "attempts" / made.name).exists(), "its folder to go")
    host.kill()
    host.start()
    assert isinstance(watcher.executor.look([key_of(made)])[0].fact, AttemptLost)


def test_what_is_forgotten_goes_even_where_the_host_is_killed_at_that_moment(host, watcher):
    orders = [order(script="true") for _ in range(20)]
    watcher.executor.start(orders)
    for made in orders:
        watcher.end_of(made)
    watcher.executor.forget([key_of(made) for made in orders])
    host.kill()
    assert not {made.name for made in orders} & {entry.name for entry in (host.folder / "host" / "attempts").iterdir()}
    host.start()
    eventually(lambda: not list((host.folder / "host" / "forgotten").iterdir()), "their folders to go")


def test_watching_goes_on_after_a_restart(host, watcher):
    host.kill()
    host.start()
    watcher.ready()
    made = order(script="echo again")
    watcher.executor.start([made])
    assert watcher.log_of(made).texts("o") == ["again"]


@LINUX
def test_a_host_that_is_told_to_end_ends_its_steps_gracefully(host, watcher):
    made = order(script="trap 'echo bye; exit 0' TERM; echo pid $$; while true; do sleep 0.05; done")
    stubborn = order(script="trap '' TERM; echo pid $$; while true; do sleep 0.05; done")
    watcher.executor.start([made, stubborn])
    pids = [say_pid(watcher, made), say_pid(watcher, stubborn)]
    assert host.end() == 0
    assert not any(alive(pid) for pid in pids)
    assert "bye" in [line.text for line in logstore.read(host.logs / made.log)]
    host.start()
    assert isinstance(watcher.executor.look([key_of(made)])[0].fact, AttemptLost)


def test_a_second_host_on_the_same_folder_says_so(host):
    second = subprocess.run(host.command(), capture_output=True, text=True, timeout=20)
    assert second.returncode == 3
    assert "already uses" in second.stderr and "Traceback" not in second.stderr


def test_without_a_host_the_executor_is_unavailable(tmp_path):
    with pytest.raises(ExecutorUnavailable, match="not running"):
        LocalExecutor(str(tmp_path / "none.sock")).look([key_of(order())])


def test_closing_the_executor_ends_its_observing(host):
    executor = LocalExecutor(host.socket)
    batches = []
    thread = threading.Thread(target=lambda: batches.extend(executor.observe()))
    thread.start()
    eventually(lambda: batches, "the first batch")
    executor.close()
    thread.join(5)
    assert not thread.is_alive()


# --- steps that misbehave ---


@LINUX
def test_what_a_step_leaves_running_is_ended_with_it(host, watcher):
    made = order(script="sleep 1000 & echo one $!; (setsid sleep 1000 & echo two $!); (sleep 1000 & echo three $!) & sleep 0.2")
    watcher.executor.start([made])
    end = watcher.end_of(made)
    assert isinstance(end, AttemptSucceeded)
    pids = [say_pid(watcher, made, word) for word in ("one", "two", "three")]
    eventually(lambda: not any(alive(pid) for pid in pids), "the end of what was left")


def test_a_child_that_holds_the_pipe_does_not_hold_the_step(host, watcher):
    made = order(script="setsid sleep 5 & echo done")
    began = time.monotonic()
    watcher.executor.start([made])
    assert watcher.log_of(made).texts("o") == ["done"]
    assert time.monotonic() - began < 3


def test_a_step_that_prints_without_end_is_cut_off_and_hurts_nobody(host, watcher):
    loud = order(script="yes 0123456789012345678901234567890123456789", timeout=3.0)
    quiet = order(script="sleep 1; echo quiet")
    watcher.executor.start([loud, quiet])
    assert watcher.log_of(quiet).texts("o") == ["quiet"]
    end = watcher.end_of(loud)
    assert isinstance(end, AttemptFailed) and end.cause == "timeout"
    folder = host.logs / loud.log
    assert logstore.size(folder) < 3 * 1024 * 1024
    assert "limit" in logstore.tail(folder, 1)[0].text
    assert _memory(host.process.pid) < 150 * 1024 * 1024


def _memory(pid: int) -> int:
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_a_file_beyond_the_limit_is_refused_by_the_system(host, watcher):
    made = order(script="dd if=/dev/zero of=large bs=1M count=200")
    watcher.executor.start([made])
    end = watcher.end_of(made)
    assert isinstance(end, AttemptFailed)
    assert "limit" in end.reason or "large" in end.reason


def test_many_files_beyond_the_limit_end_the_step(host, watcher):
    made = order(script="for i in 1 2 3 4; do dd if=/dev/zero of=f$i bs=1M count=20 2>/dev/null; done; sleep 1000")
    watcher.executor.start([made])
    end = watcher.end_of(made)
    assert isinstance(end, AttemptFailed)
    assert end.cause == "output-limit"
    assert "50 MiB" in end.reason


def test_a_step_that_ignores_its_time_limit_is_ended(host, watcher):
    made = order(script="trap '' TERM; while true; do sleep 0.1; done", timeout=0.5)
    watcher.executor.start([made])
    end = watcher.end_of(made)
    assert isinstance(end, AttemptFailed)
    assert end.cause == "timeout"
    assert end.reason == "Took longer than its limit of 0.5 s"


def test_the_last_line_of_stderr_is_in_the_reason(host, watcher):
    made = order(script="echo progress; echo 'cannot open data.csv' >&2; echo more; exit 2")
    watcher.executor.start([made])
    end = watcher.end_of(made)
    assert isinstance(end, AttemptFailed)
    assert end.reason == "Exit code 2: cannot open data.csv"


def test_a_crash_is_told_by_its_signal(host, watcher):
    made = order(script="kill -SEGV $$")
    watcher.executor.start([made])
    end = watcher.end_of(made)
    assert isinstance(end, AttemptFailed)
    assert (end.cause, end.exit_code) == ("signal", 139)
    assert "SIGSEGV (a crash in native code)" in end.reason


def test_a_step_without_a_command_is_refused_in_words(host, watcher):
    made = order(command=(), args=())
    watcher.executor.start([made])
    end = watcher.end_of(made)
    assert isinstance(end, AttemptFailed)
    assert "no command" in end.reason and not end.retryable


def test_names_that_climb_out_are_refused(host, watcher):

    made = dataclasses.replace(order(), name="../../evil")
    assert "../../evil" in watcher.executor.start([made])


@LINUX
def test_a_fork_server_that_dies_loses_its_steps_and_the_next_ones_run(host, watcher):
    made = step(slow)
    watcher.executor.start([made])
    watcher.until(made, lambda told: "> first" in told.texts("o"), "the first line")
    for pid in pathlib.Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    assert isinstance(watcher.end_of(made), AttemptLost)
    again = step(add, {"a": 1, "b": 1}, outputs={"Output": ParameterType.NUMBER_INTEGER})
    watcher.executor.start([again])
    assert isinstance(watcher.end_of(again), AttemptSucceeded)


# --- environments and places ---


def test_packages_that_cannot_be_installed_are_named_with_the_reason(host, watcher):
    made = step(add, {"a": 1, "b": 1}, packages=["kfdash-no-such-package==9.9"], outputs={"Output": ParameterType.NUMBER_INTEGER})
    watcher.executor.start([made])
    end = watcher.end_of(made)
    assert isinstance(end, AttemptFailed)
    assert end.cause == "environment"
    assert "kfdash-no-such-package" in end.reason
    progress = [fact for fact in watcher.told(made).facts if isinstance(fact, AttemptProgressed)]
    assert progress[0].phase is Phase.STARTING
    assert progress[0].reason.startswith("installing kfdash-no-such-package, kfp: ")
    assert any("kfdash-no-such-package" in text for text in watcher.log_of(made).texts("k"))
    assert not list((host.folder / "host" / "environments").glob("*.building"))


def test_two_steps_with_the_same_packages_build_once():
    with running_host(fresh=True) as host:
        watcher = Watcher(LocalExecutor(host.socket), 30)
        steps = [step(add, {"a": n, "b": 1}, outputs={"Output": ParameterType.NUMBER_INTEGER}) for n in range(3)]
        watcher.executor.start(steps)
        for number, made in enumerate(steps):
            end = eventually(lambda made=made: watcher.executor.look([key_of(made)])[0].fact, "an end")
            while isinstance(end, AttemptProgressed):
                time.sleep(0.05)
                end = watcher.executor.look([key_of(made)])[0].fact
            assert isinstance(end, AttemptSucceeded), end
            assert end.outputs.parameters == {"Output": number + 1}
        assert len(list((host.folder / "host" / "environments").glob("*/lib/python*/site-packages/kfp"))) == 1


def test_steps_beyond_the_places_wait_and_can_be_stopped_meanwhile():
    with running_host("--steps-at-once", "1") as host:
        watcher = Watcher(LocalExecutor(host.socket), 30)
        watcher.ready()
        first, second, third = order(script="sleep 600"), order(script="echo second"), order(script="echo third")
        watcher.executor.start([first])
        watcher.running(first)
        watcher.executor.start([second, third])

        def waiting():
            [known] = watcher.executor.look([key_of(second)])
            return isinstance(known.fact, AttemptProgressed) and known.fact.reason

        assert eventually(waiting, "a reason") == "waiting for one of 1 places"
        watcher.executor.stop([key_of(second)], grace=30)
        assert isinstance(watcher.end_of(second), AttemptStopped)
        watcher.executor.stop([key_of(first)], grace=0)
        assert isinstance(watcher.end_of(third), AttemptSucceeded)


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    host = RunningHost(tmp_path / "file")
    ended = subprocess.run(host.command(), capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2
    assert str(tmp_path / "file") in ended.stderr and "Traceback" not in ended.stderr


def test_a_further_attempt_goes_on_in_the_working_folder_of_the_one_before(host, watcher):
    first = order(script="echo here > kept; echo gone > $TMPDIR/x; exit 1")
    first = dataclasses.replace(first, name=attempt_name(first.run_id, first.path, 1))
    second = dataclasses.replace(
        order(script="cat kept; ls $TMPDIR | wc -l"),
        run_id=first.run_id,
        path=first.path,
        number=2,
        name=attempt_name(first.run_id, first.path, 2),
    )
    watcher.executor.start([first])
    assert isinstance(watcher.end_of(first), AttemptFailed)
    watcher.executor.start([second])
    assert isinstance(watcher.end_of(second), AttemptSucceeded)
    assert watcher.log_of(second).texts("o") == ["here", "0"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_sh_knows_what_the_shells_of_images_know(host, watcher):
    made = order(command=("sh", "-c", '[[ "a" == "a" ]] && echo yes'), args=())
    watcher.executor.start([made])
    assert isinstance(watcher.end_of(made), AttemptSucceeded)
    assert watcher.log_of(made).texts("o") == ["yes"]


def test_what_is_no_request_is_answered_and_the_host_goes_on(host):
    for line in (b'""', b"null", b"[]", b'{"do": []}', b"[" * 100_000, b"\xff"):
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as answers:
            connection.connect(host.socket)
            connection.sendall(line + b"\n")
            answer = answers.readline()
            assert not answer or "error" in json.loads(answer)
    assert LocalExecutor(host.socket).look([]) == []
    assert LocalExecutor(host.socket)._ask({"do": "state"})["running"] == 0
