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

from tests.bench import browser, database, drawing, engine, lists, load, stack  # noqa: E402
from tests.bench.figures import MEASURES  # noqa: E402

ALL = (engine, database, lists, drawing, stack, load, browser)


def main(names: list[str]) -> int:
    """Measures what is named; 2 for a name that there is not."""
    if unknown := [name for name in names if name not in MEASURES]:
        print(f"There is no {', '.join(unknown)}. There are: {', '.join(MEASURES)}.", file=sys.stderr)
        return 2
    for name in names or MEASURES:
        for figure in MEASURES[name]():
            print(figure.line(), flush=True)
    return 0


if __name__ == "__main__":
    with _folder:
        sys.exit(main(sys.argv[1:]))
