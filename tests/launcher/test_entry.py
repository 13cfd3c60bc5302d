"""`entry` by itself, with a launcher that is this test: what it runs, what it writes down, and what cannot stop it."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs import logstore
from runs.executors.local.host.framing import Framer
from runs.launcher.volume import Plan, Volume, records
from tests.running import wait_for


class Entry:
    """The program with a folder of its own. `plan` lets it begin; `ended` is its note once the command has ended."""

    def __init__(self, program: pathlib.Path, folder: pathlib.Path) -> None:
        self.program, self.volume = program, Volume(folder / "kfdash")
        pathlib.Path(self.volume.folder).mkdir()
        self.volume.make()
        self.volume.touch()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, argv: list[str], **more: Any) -> Entry:
        """Starts it with a plan."""
        self.volume.write("plan", Plan(argv=argv, **more).records())
        environment = {**os.environ, "KFDASH_VOLUME": str(self.volume.folder)}
        self.process = subprocess.Popen(
            [self.program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        return self

    def note(self, within: float = 20.0) -> dict[str, Any]:
        """Its note on the end."""
        assert wait_for(lambda: self.volume.has("ended"), within)
        return dict(json.loads(self.volume.read("ended") or b"{}"))

    def end(self) -> tuple[int, bytes, bytes]:
        """Its exit code and what it passed on, once the outputs are collected."""
        assert self.process
        self.volume.write("collected", b"")
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err

    def lines(self) -> list[tuple[str, str]]:
        """Stream and text of the log."""
        return [(line.stream, line.text) for line in logstore.iterate(pathlib.Path(self.volume.log))]


@pytest.fixture
def entry(entry_program: pathlib.Path, tmp_path: pathlib.Path) -> Any:
    made = Entry(entry_program, tmp_path)
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


@pytest.mark.parametrize(("script", "code", "number"), [("exit 0", 0, None), ("exit 42", 42, None), ("kill -KILL $$", 137, 9)])
def test_it_ends_with_the_codes_of_the_command(entry: Entry, script: str, code: int, number: int | None) -> None:
    note = entry.start(["sh", "-c", script]).note()
    assert (note["exitCode"], note["signal"]) == ((code, None) if number is None else (None, number))
    assert note["running"] <= note["finished"] and note["peakMemory"] > 0
    assert entry.end()[0] == code


def test_what_it_prints_is_passed_on_and_written_down(entry: Entry) -> None:
    entry.start(["sh", "-c", "echo out; echo err >&2; printf 'no end'"])
    assert entry.note()["lines"] == 3
    code, out, err = entry.end()
    assert (code, out, err) == (0, b"out\nno end", b"err\n")
    assert sorted(entry.lines()) == [("e", "err"), ("o", "no end"), ("o", "out")]


def test_arguments_and_variables_arrive_as_they_are(entry: Entry) -> None:
    odd = ["", "two words", "$(HOME) $$", "line\nbreak", "grüße"]
    code = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['SET'], os.environ['PYTHONPATH']]))"
    entry.start(["python3", "-c", code, *odd], add={"SET": "a=b"}, append={"PYTHONPATH": "/more"})
    entry.note()
    before = os.environ.get("PYTHONPATH")
    assert json.loads(entry.lines()[0][1]) == [odd, "a=b", f"{before}:/more" if before else "/more"]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["no-such-program"], 127, "the command no-such-program was not found in the image"),
        (["/no/such/program"], 127, "the command /no/such/program was not found in the image"),
        (["/etc/passwd"], 126, "may not be executed in the image"),
        (["echo", "x" * 131072], 126, "argument 1 of the command has 131072 bytes; the kernel takes at most 131071 in one"),
        ([], 126, "the step has no command"),
    ],
)
def test_what_cannot_be_run_is_said(entry: Entry, argv: list[str], code: int, words: str) -> None:
    note = entry.start(argv).note()
    assert words in note["error"] and note["notFound"] == (code == 127)
    assert entry.end()[0] == code


@pytest.mark.parametrize("more", [{"add": {"LONG": "x" * 131067}}, {"append": {"LONG": "x" * 131067}}])
def test_a_variable_that_is_too_long_is_named(entry: Entry, more: dict[str, Any]) -> None:
    note = entry.start(["true"], **more).note()
    assert note["error"] == (
        "the variable LONG has 131072 bytes with its name; the kernel takes at most 131071 in one. Hand it over as an artifact."
    )
    assert entry.end()[0] == 126


@pytest.mark.parametrize("name", ["x" * 199 + "ü", "echo one\necho two", "a\udcffb"])
def test_a_name_that_is_no_line_of_text_is_told_in_one(entry: Entry, name: str) -> None:
    note = entry.start([name]).note()
    assert note["notFound"] and "\n" not in note["error"]
    assert note["lines"] == len(entry.lines()) == 1


def test_a_script_without_a_first_line_is_one_of_the_shell(entry: Entry, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$1"\n')
    script.chmod(0o755)
    entry.start([str(script), "argument"]).note()
    assert entry.lines() == [("o", "argument")]


def test_what_is_there_but_cannot_run_is_not_said_to_be_missing(entry: Entry, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    note = entry.start([str(script)]).note()
    assert "is in the image, but not what runs it" in note["error"] and not note["notFound"]
    assert entry.end()[0] == 126


def test_a_program_of_another_machine_is_not_given_to_the_shell(entry: Entry, tmp_path: pathlib.Path) -> None:
    program = tmp_path / "program"
    head = bytearray(entry.program.read_bytes()[:4096])
    head[18:20] = b"\xff\xfe"  # the kind of machine
    program.write_bytes(head)
    program.chmod(0o755)
    assert "was made for another kind of machine" in entry.start([str(program)]).note()["error"]


def test_waiting_costs_nothing(entry: Entry) -> None:
    """Neither for the plan nor for the end: there may be a hundred such pods on a node."""

    def switches() -> int:
        assert entry.process
        status = pathlib.Path(f"/proc/{entry.process.pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    entry.start(["true"]).note()
    before = switches()
    time.sleep(0.5)
    assert switches() - before < 50
    assert entry.end()[0] == 0


def test_a_child_that_holds_the_pipe_is_not_waited_for_and_is_ended(entry: Entry) -> None:
    began = time.monotonic()
    entry.start(["sh", "-c", "echo $$; sleep 100 & echo done"]).note()
    assert time.monotonic() - began < 10
    group = int(entry.lines()[0][1])
    assert wait_for(lambda: not _group_lives(group))
    assert entry.lines()[1:] == [("o", "done")]  # it was ended: nothing is missing


def test_what_somebody_prints_who_was_left_behind_is_said_to_be_missing(entry: Entry) -> None:
    entry.start(["sh", "-c", "setsid sh -c 'sleep 100 & echo $!; wait' & sleep 0.3"]).note()
    (_, child), (stream, text) = entry.lines()
    os.kill(int(child), signal.SIGKILL)
    assert stream == "k"
    assert text.startswith("The step has ended, but a process that it left behind holds its output open: what that prints")


def _group_lives(group: int) -> bool:
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            return True
    return False


def test_sigterm_is_handed_on_and_noted(entry: Entry) -> None:
    entry.start(["sh", "-c", "trap 'echo asked; exit 3' TERM; echo ready; sleep 100 & wait"])
    assert wait_for(lambda: ("o", "ready") in entry.lines())
    assert entry.process
    entry.process.send_signal(signal.SIGTERM)
    note = entry.note()
    assert (note["exitCode"], note["terminated"], note["timedOut"]) == (3, True, False)


def test_one_that_ignores_sigterm_is_killed_in_time_for_the_note(entry: Entry) -> None:
    entry.start(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], grace=0.3)
    assert wait_for(lambda: ("o", "ready") in entry.lines())
    assert entry.process
    entry.process.send_signal(signal.SIGTERM)
    note = entry.note(5)
    assert (note["signal"], note["terminated"], note["timedOut"]) == (signal.SIGKILL, True, False)
    assert entry.end()[0] == 137


def test_a_time_limit_ends_also_what_ignores_it(entry: Entry) -> None:
    note = entry.start(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], timeout=0.2, grace=0.3).note()
    assert note["timedOut"] and note["signal"] == signal.SIGKILL
    assert entry.end()[0] == 124


def test_much_output_is_kept_up_to_the_limit_and_does_not_stop_the_step(entry: Entry) -> None:
    code = "import sys; [sys.stdout.write('x' * 99 + '\\n') for _ in range(500_000)]"
    note = entry.start(["python3", "-c", code], log_bytes=1_000_000, log_lines=100_000).note(60)
    lines = entry.lines()
    assert note["exitCode"] == 0 and len(lines) == note["lines"] < 10_000
    assert lines[-1][0] == "k" and lines[-1][1].startswith("The log's limit is reached")
    assert entry.end()[0] == 0


def test_nobody_who_does_not_read_its_output_stops_the_step(entry: Entry) -> None:
    # The container's own output is not read here until the end.
    code = "import sys; [sys.stdout.write('x' * 99 + '\\n') for _ in range(50_000)]"
    assert entry.start(["python3", "-c", code]).note(60)["lines"] == 50_000


def test_what_is_not_sent_holds_the_step_back_until_it_is(entry: Entry) -> None:
    code = "import sys; [sys.stdout.write('x' * 999 + '\\n') for _ in range(60_000)]"
    entry.start(["python3", "-c", code])

    def unsent() -> int:
        return sum(file.stat().st_size for file in pathlib.Path(entry.volume.log).iterdir())

    assert wait_for(lambda: unsent() > 32 * 2**20, 60)
    time.sleep(0.5)
    assert not entry.volume.has("ended") and unsent() < 50 * 2**20
    count = 0
    while not entry.volume.has("ended"):
        for file in sorted(pathlib.Path(entry.volume.log).iterdir())[:-1]:
            count += file.read_bytes().count(b"\n")
            file.unlink()
        time.sleep(0.01)
    assert count + sum(file.read_bytes().count(b"\n") for file in pathlib.Path(entry.volume.log).iterdir()) == 60_000


def test_outputs_that_only_their_owner_could_read_can_be_read(entry: Entry, tmp_path: pathlib.Path) -> None:
    made = tmp_path / "made"
    entry.start(
        ["sh", "-c", f"umask 077; mkdir -p {made}/deep; echo x > {made}/deep/file"], readable=[str(made)], folders=[]
    ).note()
    assert made.stat().st_mode & 0o555 == 0o555 and (made / "deep/file").stat().st_mode & 0o444 == 0o444


def test_folders_are_made_before_the_command(entry: Entry, tmp_path: pathlib.Path) -> None:
    wanted = tmp_path / "a/b/c"
    assert entry.start(["test", "-d", str(wanted)], folders=[str(wanted)]).note()["exitCode"] == 0


@pytest.mark.skipif(os.getuid() != 0, reason="Only root can become somebody else.")
@pytest.mark.parametrize("home", ["/", "/somewhere"])
def test_who_may_write_nothing_at_the_root_has_a_home(entry_program: pathlib.Path, home: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        program = shutil.copy(entry_program, folder)
        volume = Volume(f"{folder}/kfdash")
        volume.make()
        os.chmod(volume.folder, 0o777)
        volume.write("plan", Plan(argv=["sh", "-c", 'echo "$HOME"; [ "$HOME" = /somewhere ] || touch "$HOME/file"']).records())
        volume.write("collected", b"")
        environment = {"PATH": os.environ["PATH"], "KFDASH_VOLUME": volume.folder, "HOME": home}
        done = subprocess.run([program], env=environment, capture_output=True, user=65534, group=65534, timeout=20)
        assert (done.returncode, done.stdout) == (0, f"{volume.folder}/home\n".encode() if home == "/" else b"/somewhere\n")


def test_copies_hold_no_link_that_leads_out(entry: Entry, tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_text("not yours")
    made = tmp_path / "made"
    script = f"mkdir {made}; echo x > {made}/file; ln -s {tmp_path}/secret {made}/out; ln -s file {made}/within; mkfifo {made}/pipe"
    entry.start(["sh", "-c", script]).note()
    target = pathlib.Path(entry.volume.out, "0")
    entry.volume.write("copyout", records([f"F{made}", f"T{target}"]))
    assert wait_for(lambda: entry.volume.has("copied"))
    assert json.loads(entry.volume.read("copied") or b"") == {"errors": {}}
    assert {file.name: file.read_text() for file in target.iterdir()} == {"file": "x\n", "within": "x\n"}


def test_without_a_launcher_it_waits_and_with_one_that_refuses_it_says_why(entry: Entry) -> None:
    environment = {**os.environ, "KFDASH_VOLUME": str(entry.volume.folder)}
    entry.process = subprocess.Popen([entry.program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.3)
    assert entry.process.poll() is None
    entry.volume.write("refused", b"The input is gone.")
    code, _, err = entry.end()
    assert (code, err) == (125, b"The input is gone.\n")


def test_one_that_is_killed_leaves_whole_lines(entry: Entry) -> None:
    entry.start(["sh", "-c", "while :; do echo line; done"])
    assert wait_for(lambda: len(entry.lines()) > 1000)
    assert entry.process
    entry.process.kill()
    entry.process.wait()
    assert set(entry.lines()) == {("o", "line")}


def test_installing_is_quick_and_leaves_one_that_runs_alone(entry: Entry, tmp_path: pathlib.Path) -> None:
    target = tmp_path / "volume/bin/entry"
    for _ in range(2):
        subprocess.run([entry.program, "--install", target], check=True)
    assert target.read_bytes() == entry.program.read_bytes() and target.stat().st_mode & 0o777 == 0o755
    assert {folder.name for folder in (tmp_path / "volume").iterdir()} == {"bin", "step", "log", "out"}


def test_it_holds_a_lock_until_it_is_gone_and_nothing_that_it_starts_does(entry: Entry) -> None:
    entry.start(["sh", "-c", "setsid sleep 60 & echo $!; sleep 0.3"])
    entry.note()
    held = pathlib.Path(entry.volume.step) / "held"
    (_, child), *_ = entry.lines()
    try:
        assert not _free(held)
        entry.end()
        assert _free(held)
    finally:
        os.kill(int(child), signal.SIGKILL)


def _free(file: pathlib.Path) -> bool:
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"\n", b"\r", b"\r\n", b"\0", b"\xc3", b"\xbc", b"\xf0\x9f\x98\x80", b"\xe2\x82", b"x" * 70_000, b"ab"]),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(pieces=PIECES)
def test_lines_are_made_as_on_a_machine(
    entry_program: pathlib.Path, tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    """Where a line is cut that is too long for one depends on the moment, too: how much of it had come."""
    data = b"".join(pieces)
    folder = tmp_path_factory.mktemp("parity")
    (folder / "data").write_bytes(data)
    entry = Entry(entry_program, folder)
    entry.start(["cat", str(folder / "data")]).note()
    entry.end()
    framer = Framer("o")
    expected = b""
    now = time.time_ns() // 1000
    expected += framer.feed(data, now)[0]
    expected += framer.finish(now)[0]
    made = [line.text for line in logstore.parse(expected, 1)]
    found = [text for _, text in entry.lines()]
    if max(map(len, data.split(b"\n"))) > 60_000:
        assert b"\r" in data or "".join(found) == "".join(made)
        assert made[-1].endswith(found[-1]) or found[-1].endswith(made[-1])
    elif b"\r" not in data:  # a bar's lines depend on the moment
        assert found == made
    else:
        assert found[-1:] == made[-1:]
