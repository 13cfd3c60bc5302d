"""`python -m tests.bench [NAME …]`: prints one JSON line a figure; without names, all of them."""

from __future__ import annotations

import os
import sys
import tempfile

_folder = tempfile.TemporaryDirectory(prefix="kfdash-bench-")
os.environ.update(KFDASH_DATA_DIR=_folder.name, KFDASH_SECRET_KEY="bench", DJANGO_SETTINGS_MODULE="kfdash.settings")
sys.dont_write_bytecode = False

import django  # noqa: E402  # settings are read from the environment above

django.setup()

from tests.bench import browser, crowd, database, drawing, engine, lists, load, stack, throughput  # noqa: E402
from tests.bench.figures import MEASURES, print_figures  # noqa: E402

ALL = (engine, database, lists, drawing, stack, load, throughput, crowd, browser)


if __name__ == "__main__":
    with _folder:
        sys.exit(print_figures(MEASURES, sys.argv[1:]))
