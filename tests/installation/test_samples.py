"""The samples: compiled as they are kept, and the training really runs."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.running import Installation, wait_for

SAMPLES = sorted(path for path in (REPOSITORY / "pipelines" / "samples").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("source", SAMPLES, ids=lambda path: path.stem)
def test_what_is_kept_is_what_the_source_compiles_to(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = tmp_path / source.name
    copy.write_text(source.read_text())
    environment = {name: value for name, value in os.environ.items() if name != "_KFP_RUNTIME"}
    subprocess.run([sys.executable, "-W", "ignore", str(copy)], check=True, cwd=tmp_path, env=environment)
    compiled, kept = (path.with_suffix(".yaml").read_text() for path in (copy, source))
    assert list(yaml.safe_load_all(compiled)) == list(yaml.safe_load_all(kept)), "`make samples` compiles them anew."


def test_the_demo_trains_and_publishes_once(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data") as installation:
        installation.stop()
        installation.start("--demo")
        assert wait_for(lambda: "The sample pipeline ended as" in installation.said(), 180), installation.said()
        assert "The sample pipeline ended as SUCCEEDED" in installation.said()
        installation.stop()
        installation.start("--demo")
        wait_for(lambda: False, 3)
        assert installation.said().count("The sample pipeline runs") == 1
