"""An installed wheel is whole: it works outside of the checkout, with what the constraints pin."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import urllib.request
import zipfile

import pytest

from tests.conftest import REPOSITORY
from tests.running import Installation

UV = str(pathlib.Path(sys.executable).with_name("uv"))


def run(*command: str, folder: pathlib.Path, **environment: str) -> str:
    """What a program prints; fails with all of it where it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("KFDASH_", "DJANGO_"))}
    done = subprocess.run(command, cwd=folder, env={**own, **environment}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(REPOSITORY), folder=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def program(wheel: pathlib.Path) -> pathlib.Path:
    """The command `kfdash` of an environment that has nothing but the wheel and what it needs."""
    home = wheel.parent / "environment"
    run(UV, "venv", "--quiet", "--python", sys.executable, str(home), folder=wheel.parent)
    pins = str(REPOSITORY / "constraints.txt")
    python = str(home / "bin" / "python")
    run(UV, "pip", "install", "--quiet", "--python", python, "--constraints", pins, str(wheel), folder=wheel.parent)
    return home / "bin" / "kfdash"


def test_the_wheel_carries_all_that_is_not_python(wheel: pathlib.Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, inside in (
        ("templates", "kfdash/templates"),
        ("static", "kfdash/static"),
        ("pipelines/samples", "pipelines/samples"),
    ):
        for path in (REPOSITORY / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"{inside}/{path.relative_to(REPOSITORY / folder)}" in names
    assert not [name for name in names if name.startswith(("tests/", "templates/", "static/"))]


def test_doctor_finds_all_it_needs(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    said = run(str(program), "doctor", "--data-dir", str(tmp_path / "data"), folder=tmp_path)
    assert "MISSING" not in said and "note" not in said


def test_it_serves_pages_and_what_they_load(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data", program=[str(program)], KFDASH_DATABASE_URL="") as installation:
        with urllib.request.urlopen(installation.address, timeout=10) as answer:
            assert answer.status == 200
            page = answer.read().decode()
        assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
        assert "/static/" in page
        with urllib.request.urlopen(f"{installation.address}/static/css/base.css", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/css")
        assert set(installation.parts()) >= {"web", "drive", "orders", "io", "observer", "host", "redis"}


def test_django_s_commands_are_there(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    said = run(str(program), "manage", "showmigrations", "runs", folder=tmp_path, KFDASH_DATA_DIR=str(tmp_path / "data"))
    assert "0001_initial" in said


def test_the_constraints_name_no_address(wheel: pathlib.Path) -> None:
    text = (REPOSITORY / "constraints.txt").read_text()
    assert "://" not in text and "--" not in text
