"""Texts that contain another one, without regard to case. A leaf.

The condition is made from `lower(column)`, which indexes of lists are made of, too: Django's own `icontains` compares upper
case, and would need indexes of its own.
"""

from __future__ import annotations

from django.db.models import F, Q, Value
from django.db.models.functions import Lower, StrIndex
from django.db.models.lookups import Contains, GreaterThan

_LEAST = 3  # letters that an index of parts of texts can find


def contains(field: str, text: str) -> Q:
    """The rows whose `field` has `text` in it."""
    column, part = Lower(F(field)), Lower(Value(text))
    if len(text) < _LEAST:  # said so, the database does not read that index from end to end for nothing
        return Q(GreaterThan(StrIndex(column, part), 0))
    return Q(Contains(column, part))
