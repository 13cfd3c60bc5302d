"""Lays KFP's executor into the step's container, so that a lightweight component finds what its command would install.

The command of such a component begins with `pip install kfp==…`. Where a `kfp` of that version can be imported already, pip
leaves it at that, and asks no registry. What lies there is our own copy of the executor, under the version that is asked
for: as on a machine, the executor is the platform's to choose (`runs.execution.recipe`).
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
from collections.abc import Sequence

from runs.execution.recipe import KFP_RUNTIME, recognise

_PINNED = re.compile(r"kfp==(2)\.(\d+)\.(\d+)")
_METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def lay(argv: Sequence[str], packages: str, target: str) -> bool:
    """Lays what `argv` would install first into `target`, where it is there to be laid; whether it was. Raises OSError."""
    version = wanted_version(argv)
    if not version or not os.path.isdir(packages):
        return False
    shutil.copytree(packages, target, dirs_exist_ok=True)
    for name, told in (("kfp", version),):
        folder = pathlib.Path(target) / f"{name}-{told}.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(_METADATA.format(name=name, version=told))
        (folder / "INSTALLER").write_text("kfdash\n")
        (folder / "RECORD").write_text("")
    return True


def wanted_version(argv: Sequence[str]) -> str:
    """The version of `kfp` that a lightweight component's command pins, where ours can stand for it; else empty."""
    for position, script in enumerate(argv[:3]):
        if position and "kfp" in script:
            found = _PINNED.search(script)
            recipe = recognise(argv)
            if found and recipe.source is not None and tuple(map(int, found.groups())) <= KFP_RUNTIME:
                return found.group(0).removeprefix("kfp==")
    return ""
