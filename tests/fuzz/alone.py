"""Rounds of cases without pytest: Django on an empty database in a folder that is removed, nothing sent to anybody."""

from __future__ import annotations

import atexit
import faulthandler
import importlib
import os
import pathlib
import shutil
import tempfile
import traceback
from collections import Counter

import django
from django.core.management import call_command

KEPT = ("KFDASH_FUZZ_COMPILED", "KFDASH_CONFORMANCE")  # of the environment
HANGS_AFTER = 900  # seconds of one round: where even the alarm of a case does not come through, a traceback is printed


def set_up() -> None:
    """Once in a process, before anything of the apps is imported."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kfdash-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith("KFDASH_") and name not in KEPT]:
        del os.environ[name]
    os.environ |= {
        "KFDASH_DATA_DIR": str(folder),
        "KFDASH_SECRET_KEY": "for tests",
        "KFDASH_LOG_LEVEL": "ERROR",
        "DJANGO_SETTINGS_MODULE": "kfdash.settings",
    }
    django.setup()
    call_command("migrate", verbosity=0)


def one_round(part: str, count: int, start: int) -> tuple[Counter[str], str]:
    """`count` cases of a part from a seed: how they ended, and what failed with its traceback."""
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
    try:
        return importlib.import_module(f"tests.fuzz.test_{part}").fuzz(count, start), ""
    except BaseException:  # noqa: BLE001 - whatever it is, it is what was looked for
        return Counter(), f"part {part}, seed {start}, {count} cases\n{_shortened(traceback.format_exc())}"
    finally:
        faulthandler.cancel_dump_traceback_later()


def _shortened(text: str) -> str:
    lines = [line if len(line) < 2000 else f"{line[:1000]} … {line[-900:]}" for line in text.splitlines()]
    return "\n".join(lines[-150:])
