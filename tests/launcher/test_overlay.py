"""KFP's executor laid in: what a lightweight component's command would install is there already."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from runs.execution.recipe import KFP_RUNTIME
from runs.launcher import overlay

OURS = ".".join(map(str, KFP_RUNTIME))
INSTALL = 'PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --no-warn-script-location {} && "$0" "$@"'
EXECUTE = """
program_path=$(mktemp -d)

printf "%s" "$0" > "$program_path/ephemeral_component.py"
_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main  --component_module_path "$program_path/ephemeral_component.py"  "$@"
"""


def component(*packages: str) -> list[str]:
    """The command of a lightweight component that installs these."""
    return ["sh", "-c", INSTALL.format(" ".join(f"'{name}'" for name in packages)), "sh", "-ec", EXECUTE, "def f(): ...", "--x"]


@pytest.mark.parametrize(
    ("argv", "version"),
    [
        (component("kfp==2.9.0", "--no-deps"), "2.9.0"),
        (component(f"kfp=={OURS}", "--no-deps", 'typing-extensions>=3.7.4,<5; python_version<"3.9"'), OURS),
        (component("kfp==2.999.0", "--no-deps"), ""),  # newer than ours
        (component("kfp==1.8.22", "--no-deps"), ""),
        (component("pandas"), ""),  # the image has its own kfp
        (["sh", "-c", "pip install kfp==2.9.0 && my-own-program"], ""),
        (["python3", "train.py"], ""),
        ([], ""),
    ],
)
def test_the_version_that_is_laid_in_is_the_one_that_is_asked_for(argv: list[str], version: str) -> None:
    assert overlay.wanted_version(argv) == version


def test_what_is_laid_in_is_found_by_its_version_and_can_be_imported(tmp_path: pathlib.Path) -> None:
    package = tmp_path / "packages/kfp"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("here = True")
    laid = tmp_path / "python"
    for _ in range(2):  # a launcher that was started again
        assert overlay.lay(component("kfp==2.9.0", "--no-deps"), str(tmp_path / "packages"), laid)
    found = subprocess.run(
        [sys.executable, "-c", "import importlib.metadata as m, kfp; print(m.version('kfp'), kfp.here)"],
        env={"PYTHONPATH": str(laid), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["2.9.0", "True"]


def test_without_packages_of_our_own_the_registry_is_asked(tmp_path: pathlib.Path) -> None:
    assert not overlay.lay(component("kfp==2.9.0", "--no-deps"), str(tmp_path / "none"), tmp_path / "python")
    assert not (tmp_path / "python").exists()


def test_nothing_is_laid_in_for_other_commands(tmp_path: pathlib.Path) -> None:
    (tmp_path / "packages").mkdir()
    assert not overlay.lay(["python3", "train.py"], str(tmp_path / "packages"), tmp_path / "python")
