"""How log lines look: one line each, for people in a terminal or as JSON, and no traceback for what lies outside the program."""

from __future__ import annotations

import copy
import json
import logging
from datetime import UTC, datetime

from kfdash import logcontext

# What these raise is about Redis, the database, the disk or the network; their words say it, the way through our code adds nothing.
_OUTSIDE = ("redis.exceptions", "kombu.exceptions", "django.db.utils", "runs.executors.base")


def is_outside(error: BaseException | None) -> bool:
    """Whether an error comes from what we stand on, and not from a mistake in the program."""
    return isinstance(error, OSError) or any(kind.__module__ in _OUTSIDE for kind in type(error).__mro__)


def _with_traceback(error: BaseException | None) -> bool:
    return error is not None and (not is_outside(error) or logging.getLogger().isEnabledFor(logging.DEBUG))


class OneLine(logging.Formatter):
    """Formats a record as one line; a mistake in the program keeps its traceback, as does everything at level DEBUG."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        if _with_traceback(error):
            return super().format(record)
        line = copy.copy(record)
        line.exc_info = line.exc_text = None
        text = " ".join(super().format(line).split("\n")).rstrip()
        if error is not None and str(error) not in text:
            text = f"{text} ({type(error).__name__}: {' '.join(str(error).split())})"
        return text


class Json(logging.Formatter):
    """Formats a record as a JSON object in one line.

    `time`, `level`, `part`, `logger`, `message`, then what it is about (`run`, `task`, `attempt`, `request`, `user`), the facts
    given with it, and `error` with its kind; for mistakes the `traceback`.
    """

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "part": record.processName,
            "logger": record.name,
            "message": record.getMessage(),
            **logcontext.facts(),
            **getattr(record, "facts", {}),
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            told["error"] = {"kind": type(error).__name__, "message": str(error)}
            if _with_traceback(error):
                told["traceback"] = self.formatException(record.exc_info)  # type: ignore[arg-type]
        return json.dumps(told, ensure_ascii=False, default=str)
