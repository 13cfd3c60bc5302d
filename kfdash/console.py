"""How log lines look in the terminal: one line each, and no traceback for what lies outside the program."""

from __future__ import annotations

import copy
import logging

# What these raise is about Redis, the database, the disk or the network; their words say it, the way through our code adds nothing.
_OUTSIDE = ("redis.exceptions", "kombu.exceptions", "django.db.utils", "runs.executors.base")


def is_outside(error: BaseException | None) -> bool:
    """Whether an error comes from what we stand on, and not from a mistake in the program."""
    return isinstance(error, OSError) or any(kind.__module__ in _OUTSIDE for kind in type(error).__mro__)


class OneLine(logging.Formatter):
    """Formats a record as one line; a mistake in the program keeps its traceback, as does everything at level DEBUG."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and (not is_outside(error) or logging.getLogger().isEnabledFor(logging.DEBUG)):
            return super().format(record)
        line = copy.copy(record)
        line.exc_info = line.exc_text = None
        text = " ".join(super().format(line).split("\n")).rstrip()
        if error is not None and str(error) not in text:
            text = f"{text} ({type(error).__name__}: {' '.join(str(error).split())})"
        return text
