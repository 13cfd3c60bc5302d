"""The filter bar of the list of runs: `state:failed experiment:iris -tag:scratch started:7d nightly`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import FloatField, Func, Model, Q, QuerySet
from django.db.models.lookups import GreaterThan, LessThan

from kfdash.containing import contains
from kfdash.tagged import tagged
from pipelines.models import PipelineVersion, Specification
from pipelines.spec.storable import storable_text
from runs.models import Experiment, Run, RunTally
from runs.tallying import counted_values

_STATES = {
    "pending": ("PENDING",),
    "running": ("RUNNING",),
    "active": ("PENDING", "RUNNING", "CANCELING"),
    "succeeded": ("SUCCEEDED",),
    "skipped": ("SKIPPED",),
    "failed": ("FAILED",),
    "stopping": ("CANCELING",),
    "canceling": ("CANCELING",),
    "stopped": ("CANCELED",),
    "canceled": ("CANCELED",),
}
STATE_VALUES = ("active", "running", "pending", "succeeded", "failed", "stopping", "stopped")
_MOST_NAMED = 500  # experiments, versions, … whose ids are looked up first
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(\d+)\s*(min|[smhdw])")
_CONDITION = re.compile(r"([<>]=?)?(.+)")


class NoSuchValue(ValueError):
    """A value that its key does not know; the message says what it could be."""


@dataclass(frozen=True)
class Token:
    """A word of the query. `problem` is a sentence where it means nothing; then it does not filter."""

    text: str
    key: str
    value: str
    excluded: bool = False
    problem: str = ""
    condition: Q | None = None


def parse(text: str, *, now: datetime) -> list[Token]:
    """The tokens of a query, in order."""
    text = storable_text(text)  # PostgreSQL cannot be asked for others
    try:
        parts = shlex.split(text)
    except ValueError:  # a quotation mark that is not closed yet
        parts = text.split()
    return [_token(part, now) for part in parts]


def apply(runs: QuerySet[Run], tokens: Sequence[Token]) -> QuerySet[Run]:
    """The runs that match all tokens."""
    for token in tokens:
        if token.condition is not None:
            runs = runs.exclude(token.condition) if token.excluded else runs.filter(token.condition)
    return runs


def quoted(key: str, value: str) -> str:
    """`key:value` as it stands in a query."""
    return f'{key}:"{value}"' if re.search(r"\s", value) else f"{key}:{value}"


def _token(part: str, now: datetime) -> Token:
    bare = part.removeprefix("-")
    excluded = part.startswith("-")
    key, colon, value = bare.partition(":")
    if not colon:
        return Token(quoted_word(part), "", bare, excluded, condition=_words(bare))
    key = key.lower()
    text = ("-" if excluded else "") + quoted(key, value)
    if key not in KEYS:
        return Token(text, key, value, excluded, f"no such filter: {key}. There are {', '.join(KEYS)}.")
    if not value:
        return Token(text, key, value, excluded, f"{key}: needs a value")
    try:
        return Token(text, key, value, excluded, condition=KEYS[key](value, now))
    except NoSuchValue as error:
        return Token(text, key, value, excluded, str(error))


def quoted_word(word: str) -> str:
    """A bare word as it stands in a query."""
    return f'"{word}"' if re.search(r"\s", word) else word


# --- keys -----------------------------------------------------------------------------------------------------------


def _words(value: str) -> Q:
    number = value.removeprefix("#")
    found = contains("name", value)
    return found | Q(number=int(number)) if number.isascii() and number.isdigit() and len(number) < 19 else found


def _state(value: str, now: datetime) -> Q:
    states = [state for word in value.lower().split(",") for state in _STATES.get(word, ("",))]
    if "" in states:
        raise NoSuchValue(f"no such state: {value}. There are {', '.join(STATE_VALUES)}.")
    return Q(state__in=states)


def _version(value: str, now: datetime) -> Q:
    number = value.lower().removeprefix("v")
    if number.isascii() and number.isdigit() and len(number) < 10:
        return _of("version", PipelineVersion, Q(number=int(number)))
    return _of("version", PipelineVersion, contains("display_name", value))


def _pipeline(value: str, now: datetime) -> Q:
    named = _of("version", PipelineVersion, contains("pipeline__display_name", value))
    return named | _of("specification", Specification, contains("name", value))


def _by(value: str, now: datetime) -> Q:
    people = counted_values(RunTally, "person", "created_by")
    if people is None or len(people) > _MOST_NAMED:
        return contains("created_by", value)
    return Q(created_by__in=[name for name, _ in people if value.lower() in name.lower()])


def _of(field: str, model: type[Model], wanted: Q) -> Q:
    """The runs of the few rows that are wanted: with their ids at hand the database sees how many runs that will be."""
    ids = list(model._default_manager.filter(wanted).values_list("pk", flat=True)[: _MOST_NAMED + 1])
    if len(ids) > _MOST_NAMED:
        return Q(**{f"{field}__in": model._default_manager.filter(wanted).values("pk")})
    return Q(**{f"{field}__in": ids})


def _started(value: str, now: datetime) -> Q:
    """`today`, `7d` (the last seven days), `>2026-03-05`, `<2026-03-05`, `2026-03-05` (that day)."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if value.lower() == "today":
        return Q(created_at__gte=midnight)
    if value.lower() == "yesterday":
        return Q(created_at__gte=midnight - timedelta(days=1), created_at__lt=midnight)
    if span := _SPAN.fullmatch(value.lower()):
        return Q(created_at__gte=now - _span(span))
    sign, day = _CONDITION.fullmatch(value).groups()  # type: ignore[union-attr]  # anything but nothing matches
    try:
        at = datetime.fromisoformat(day)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        after = at + timedelta(days=1)
    except (ValueError, OverflowError):
        raise NoSuchValue(f"no such time: {value}. Say today, 7d, 12h, 2026-03-05 or >2026-03-05.") from None
    if sign is None:
        return Q(created_at__gte=at, created_at__lt=after)
    return Q(**{"created_at__" + {">": "gte", ">=": "gte", "<": "lt", "<=": "lte"}[sign]: at})


def _duration(value: str, now: datetime) -> Q:
    """`>10m`, `<30s`, of runs that have ended."""
    sign, text = _CONDITION.fullmatch(value).groups()  # type: ignore[union-attr]
    span = _SPAN.fullmatch(text.lower())
    if not span or sign is None:
        raise NoSuchValue(f"no such duration: {value}. Say >10m, <30s or >2h.")
    compare = GreaterThan if sign[0] == ">" else LessThan
    took = Q(compare(_Seconds("finished_at", "started_at"), _span(span).total_seconds()))
    return took & Q(finished_at__isnull=False, started_at__isnull=False)


class _Seconds(Func):
    """Seconds from the second time to the first. Django would have SQLite ask Python for each row: many times as long."""

    template = "EXTRACT(EPOCH FROM (%(expressions)s))"
    arg_joiner = " - "
    output_field = FloatField()

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        (end, after), (begin, before) = (compiler.compile(one) for one in self.get_source_expressions())
        return f"((julianday({end}) - julianday({begin})) * 86400)", (*after, *before)


def _span(match: re.Match[str]) -> timedelta:
    return timedelta(seconds=min(int(match[1]) * _UNITS[match[2]], 10**9))


KEYS: dict[str, Callable[[str, datetime], Q]] = {
    "state": _state,
    "experiment": lambda value, now: _of("experiment", Experiment, contains("name", value)),
    "pipeline": _pipeline,
    "version": _version,
    "name": lambda value, now: contains("name", value),
    "tag": lambda value, now: tagged(value),
    "by": _by,
    "started": _started,
    "duration": _duration,
}
