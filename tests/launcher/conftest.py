"""`entry`, compiled once for all tests here; they are skipped where there is no C compiler."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "runs/launcher/entry"


def compiled(program: pathlib.Path, *sources: pathlib.Path) -> pathlib.Path:
    """A static program, as deploy/Dockerfile builds `entry`, with every warning an error; skips where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("There is no C compiler (cc) here.")
    flags = ["-O2", "-static", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", str(program), *map(str, sources)], check=True)
    return program


@pytest.fixture(scope="session")
def entry_program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The program."""
    return compiled(tmp_path_factory.mktemp("entry") / "entry", *sorted(SOURCES.glob("*.c")))
