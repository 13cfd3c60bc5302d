"""What every database and protobuf take of JSON. It stands alone: programs that start fast need it, and no YAML."""

from __future__ import annotations

import sys
from typing import Any

Json = Any

MAX_DEPTH = 100
NUL_REFUSAL = "There is a NUL character in this text, which cannot be stored; remove it."
TOO_LARGE = f"Numbers must be finite and at most {sys.float_info.max:.1e}; write this as text, in quotes."
_LARGEST = int(sys.float_info.max)


def unstorable(value: Json, depth: int = 0) -> str | None:
    """Why a JSON value cannot be taken, as a sentence: nested too deep, or with what databases or protobuf refuse."""
    if isinstance(value, str):
        return _unstorable_text(value)
    if isinstance(value, int | float):
        return None if -_LARGEST <= value <= _LARGEST else TOO_LARGE  # NaN is not between them either
    if not isinstance(value, dict | list):
        return None
    if depth >= MAX_DEPTH:
        return f"This is nested more than {MAX_DEPTH} levels deep."
    for item in value if isinstance(value, list) else (*value, *value.values()):
        if why := unstorable(item, depth + 1):
            return why
    return None


def _unstorable_text(text: str) -> str | None:
    if "\0" in text:
        return NUL_REFUSAL
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "There is half a character (a lone surrogate) in this text; remove it."
    return None


def storable_text(text: str) -> str:
    """The text as every database takes it: what cannot be kept is shown as a mark."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
