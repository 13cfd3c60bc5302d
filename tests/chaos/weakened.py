"""`kfdash` as chaos may need it: `python weakened.py SAFEGUARD up …` is without one of its safeguards, `-` has them all.

The file that CLOCK_OF_A_ROUND names holds seconds by which the clock is moved that the database's rows are written by; the host
and its steps keep the machine's.
"""

from __future__ import annotations

import importlib
import os
import pathlib
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from kfdash import cli
from kfdash.supervisor import Supervisor

SAFEGUARDS: dict[str, tuple[tuple[str, str], ...]] = {
    "resync": (("runs.observer", "resync"), ("runs.observer", "have_all_looked_over")),
    "orders": (("runs.observer", "send_due_orders"), ("runs.observer", "send_open_orders")),
    "taken": (("kfdash.outbox", "announce_left"),),
    "late": (("runs.observer", "look_at_late_runs"), ("runs.observer", "have_all_looked_over")),
}


def take_out(names: tuple[tuple[str, str], ...]) -> None:
    """Lets these functions do nothing, in every part that is forked from now on."""
    load: Callable[[Supervisor], None] = Supervisor._load

    def loaded(self: Supervisor) -> None:
        load(self)
        for module, name in names:
            setattr(importlib.import_module(module), name, _nothing)

    Supervisor._load = loaded  # type: ignore[method-assign]


def _nothing(*args: Any, **options: Any) -> None:
    """Does nothing."""


def move_the_clock(by: pathlib.Path) -> None:
    """Lets all parts tell the time that the file says from now on; it is read each time. Without it the time is right."""
    real: Callable[[], datetime] = timezone.now

    def moved() -> datetime:
        try:
            return real() + timedelta(seconds=float(by.read_text()))
        except FileNotFoundError:
            return real()

    timezone.now = moved


if __name__ == "__main__":
    if clock := os.environ.get("CLOCK_OF_A_ROUND"):
        move_the_clock(pathlib.Path(clock))  # before models take it as a default
    take_out(SAFEGUARDS.get(sys.argv[1], ()))
    sys.exit(cli.main(sys.argv[2:]))
