"""What a line of the log is about: run, task, attempt, request, user. Known where work begins, said with every line below.

A leaf: knows neither app.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_now: ContextVar[dict[str, str]] = ContextVar("kfdash_log_context")


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Lines within are about these, and about what those around them are; what is None or empty is left out."""
    said = {name: str(value) for name, value in facts.items() if value is not None and value != ""}
    token = _now.set({**_now.get({}), **said})
    try:
        yield
    finally:
        _now.reset(token)


def add(**facts: str) -> None:
    """What became known meanwhile, for the rest of the innermost `about`."""
    if (known := _now.get(None)) is not None:  # type: ignore[arg-type]
        known.update(facts)


def facts() -> Mapping[str, str]:
    """What lines are about now."""
    return _now.get({})
