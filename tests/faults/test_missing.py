"""Programs and servers that are missing or do not answer: the rest works, and sentences say what is missing."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv

import pytest

from tests.executors import lightweight
from tests.executors.steps import slow
from tests.faults.stack import check_what_it_said, end, figure, launch, log, step, tasks
from tests.running import Installation

ONLY = "root/only"
PATHS = "/usr/bin:/bin"


@pytest.fixture
def bare(tmp_path: pathlib.Path) -> str:
    """An interpreter that has our packages and none of their programs beside it."""
    if shutil.which("dot", path=PATHS) or shutil.which("uv", path=PATHS):
        pytest.skip("The system has dot or uv of its own.")
    folder = tmp_path / "bare"
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    without_uv = "import uv; uv.find_uv_bin = lambda: open('/no/such/uv')"  # the package finds it wherever it was installed
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r}); {without_uv}\n")
    return str(folder / "bin" / "python")


def doctor(installation: Installation) -> str:
    """What `kfdash doctor` says."""
    command = [*installation.program, "doctor", "--data-dir", str(installation.folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=installation.environment, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_without_dot_and_uv_runs_go_on_without_graphs_and_packages(bare: str, tmp_path: pathlib.Path) -> None:
    python = lightweight.step(slow, packages=["toolz"])
    packages = step("")
    packages["deploymentSpec"]["executors"]["exec-step"]["container"] |= {"command": python.command, "args": python.args}
    with Installation(tmp_path / "data", program=[bare, "-P", "-m", "kfdash.cli"], PATH=PATHS) as installation:
        said = installation.said()
        assert "note: There is no Graphviz" in said and "note: There is no uv" in said
        told = doctor(installation)
        assert "There is no Graphviz" in told and "There is no uv" in told
        plain = launch(installation, step("echo hello"))
        assert end(installation, plain) == "SUCCEEDED"
        assert "hello" in [line["text"] for line in log(installation, plain, ONLY)]
        with urllib.request.urlopen(f"{installation.address}/runs/{plain}/", timeout=20) as page:
            assert "Graphviz" in page.read().decode()
        failed = launch(installation, packages)
        assert end(installation, failed) == "FAILED"
        assert "uv" in tasks(installation, failed)[ONLY]["reason"], tasks(installation, failed)[ONLY]
        check_what_it_said(installation)


def test_a_redis_that_takes_questions_and_gives_no_answer_is_named(tmp_path: pathlib.Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        installation = Installation(tmp_path / "data", KFDASH_REDIS_URL=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        began = time.monotonic()
        assert "KFDASH_REDIS_URL does not answer" in installation.refused("--port", "0")
        figure("a silent Redis is named", began)
        assert "KFDASH_REDIS_URL does not answer" in doctor(installation)


def test_a_folder_that_may_not_be_written_is_named_by_both(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    installation = Installation(tmp_path / "file" / "data")
    assert "cannot be written" in installation.refused("--port", "0")
    assert "cannot be written" in doctor(installation)


def test_a_user_of_its_own_without_rights_hears_the_same(tmp_path: pathlib.Path) -> None:
    if os.getuid() or not shutil.which("setpriv"):
        pytest.skip("Another user's rights can be taken by root alone.")
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    for above in folder.parents:
        if above.stat().st_uid == 0 and above.is_relative_to("/tmp") and above != pathlib.Path("/tmp"):
            above.chmod(0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*nobody, sys.executable, "-c", "import kfdash.cli"], capture_output=True).returncode:
        pytest.skip("Another user cannot read this program here.")
    program = [*nobody, sys.executable, "-P", "-m", "kfdash.cli"]
    installation = Installation(folder, program=program)
    sentence = installation.refused("--port", "0")
    assert "cannot be written: permission denied" in sentence and "--data-dir" in sentence
