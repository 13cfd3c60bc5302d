"""`kfdash` without one of its safeguards, to see that chaos finds out: `python weakened.py SAFEGUARD up …`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

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


if __name__ == "__main__":
    take_out(SAFEGUARDS[sys.argv[1]])
    sys.exit(cli.main(sys.argv[2:]))
