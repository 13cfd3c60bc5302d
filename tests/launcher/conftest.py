"""`entry`, compiled once for all tests here; they are skipped where there is no C compiler."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "runs/launcher/entry"


@pytest.fixture(scope="session")
def entry_program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The static program, as deploy/Dockerfile builds it, with every warning an error."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("There is no C compiler (cc) here.")
    program = tmp_path_factory.mktemp("entry") / "entry"
    flags = ["-O2", "-static", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", str(program), *map(str, sorted(SOURCES.glob("*.c")))], check=True)
    return program
