"""What mutations start from: KFP's own packages where they are, the samples, and those that the SDK compiles here."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import sys
from typing import Any

import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CONFORMANCE = pathlib.Path(os.environ.get("KFDASH_CONFORMANCE") or REPOSITORY.parent / "shared" / "conformance")
COMPILED = "KFDASH_FUZZ_COMPILED"  # environment: a folder with what the SDK compiled
MOST_BYTES = 30_000  # of a text: larger ones say nothing new and take long


@functools.cache
def texts() -> tuple[str, ...]:
    """The texts of all packages, the smallest first."""
    folders = [REPOSITORY / "pipelines" / "samples", CONFORMANCE / "pipelines", CONFORMANCE / "invalid"]
    if COMPILED in os.environ:
        folders.append(pathlib.Path(os.environ[COMPILED]))
    files = [file for folder in folders for file in sorted(folder.rglob("*.yaml")) if file.stat().st_size <= MOST_BYTES]
    return tuple(sorted((file.read_text() for file in files), key=len))


@functools.cache
def documents() -> tuple[list[Any], ...]:
    """The same as values: the YAML documents of each package that is YAML."""
    found = []
    for text in texts():
        try:
            found.append([document for document in yaml.load_all(text, yaml.CSafeLoader) if document])
        except yaml.YAMLError:
            continue
    return tuple(found)


def compile_with_the_sdk(folder: pathlib.Path) -> None:
    """Compiles the pipelines of the tests of `spec` into a folder; raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    program = REPOSITORY / "tests" / "spec" / "sdk_pipelines.py"
    subprocess.run([sys.executable, "-W", "ignore", program, folder], check=True, stdout=subprocess.DEVNULL)
