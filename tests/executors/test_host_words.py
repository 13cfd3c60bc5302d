"""What a step's end is called, and what is in its environment."""

from __future__ import annotations

import pathlib
import signal

import pytest

from runs.execution.amounts import seconds, size
from runs.execution.ending import ending
from runs.executors.local.host.records import Record
from runs.executors.local.host.stepenv import needs_new_interpreter, step_environment, without_server
from tests.executors.watching import order


def told(status: int, last: str = "", memory: bool = False):
    return ending(status, program="prog", last_line=last, peak=3 * 1024**3, memory_killed=memory)


def test_exit_code_0_needs_no_words():
    assert told(0).cause == ""


def test_an_exit_code_comes_with_the_last_line():
    found = told(1 << 8, "KeyError: 'petal_width'")
    assert (found.exit_code, found.signal, found.cause) == (1, None, "exit-code")
    assert found.reason == "exit code 1: KeyError: 'petal_width'"
    assert told(2 << 8).reason == "exit code 2"


@pytest.mark.parametrize("status", [signal.SIGKILL, (128 + signal.SIGKILL) << 8])
def test_the_kernel_s_own_kill_is_told_as_out_of_memory_with_the_peak(status):
    found = told(int(status), memory=True)
    assert (found.exit_code, found.signal, found.cause) == (137, 9, "out-of-memory")
    assert "3 GiB" in found.reason
    assert told(int(status)).cause == "signal"
    assert "perhaps for lack of memory" in told(int(status)).reason


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGSEGV, "SIGSEGV (a crash in native code)"), (signal.SIGTERM, "SIGTERM"), (signal.SIGXFSZ, "beyond the limit")],
)
def test_signals_have_names_and_meanings(number, words):
    found = told(int(number))
    assert words in found.reason
    assert found.exit_code == 128 + number


def test_a_program_that_is_not_there_is_told_apart_from_one_that_says_127():
    assert told(127 << 8, "kfdash: prog: No such file or directory").cause == "command-not-found"
    assert told(127 << 8, "sh: 1: frobnicate: not found").reason == "exit code 127: sh: 1: frobnicate: not found"


def test_sizes_and_times_are_for_people():
    assert [size(n) for n in (12, 2048, 50 * 1024**2, 5000 * 1024**3)] == ["12 bytes", "2 KiB", "50 MiB", "5000 GiB"]
    assert [seconds(n) for n in (0.5, 90, 600, 3600)] == ["0.5 s", "90 s", "10 min", "60 min"]


def environment(*own: tuple[str, str], host: dict[str, str] | None = None, pass_on: tuple[str, ...] = ()):
    record = Record(pathlib.Path("/attempts/a"))
    return step_environment(order(env=own), record, "/environments/x/bin", host or {}, pass_on)


def test_only_what_is_named_comes_from_the_host():
    host = {"KFDASH_SECRET_KEY": "s", "DATABASE_URL": "s", "https_proxy": "http://proxy", "HOME": "/root", "PATH": "/usr/bin"}
    found = environment(host=host)
    assert "s" not in found.values()
    assert found["https_proxy"] == "http://proxy"
    assert found["HOME"] == "/attempts/a/work/home"
    assert found["PATH"] == "/environments/x/bin:/attempts/a/work/site/bin:/shell:/usr/bin"
    assert environment(host=host, pass_on=("DATABASE_URL",))["DATABASE_URL"] == "s"


def test_a_component_s_variables_may_refer_to_earlier_ones():
    found = environment(("A", "1"), ("B", "$(A)$(A) $(NONE) $$(A)"), ("PATH", "/opt/bin"))
    assert found["B"] == "11 $(NONE) $(A)"
    assert found["PATH"] == "/environments/x/bin:/opt/bin"


@pytest.mark.parametrize(("name", "new"), [("PYTHONHASHSEED", True), ("LC_ALL", True), ("LD_PRELOAD", True), ("MODEL", False)])
def test_variables_that_an_interpreter_reads_at_its_start_need_a_new_one(name, new):
    assert needs_new_interpreter(order(env=((name, "x"),))) is new


def test_the_host_s_own_programs_do_not_get_the_server_s_settings():
    kept = without_server({"KFDASH_X": "1", "DJANGO_X": "1", "PYTHONPATH": "1", "VIRTUAL_ENV": "1", "UV_INDEX": "2"})
    assert kept == {"UV_INDEX": "2", "LANG": "C.UTF-8"}
