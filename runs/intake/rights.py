"""What the token of an attempt allows, by its claims and the rows: never more than its own order needs."""

from __future__ import annotations

import functools
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone

from runs import models
from runs.engine.model import Phase, Values
from runs.execution.locations import UnsafeLocation, safe_segments
from runs.execution.order import task_root
from runs.intake.wire import Refused
from runs.launcher.tokens import Claims, TokenRefused, read
from runs.rows import run_value

LOGS_FOR = timedelta(minutes=10)  # after an attempt's end its log is still taken
OVER = "This attempt is over or was stopped: nothing more is taken from it."
_KEPT = 2000  # reaches in memory


@dataclass(frozen=True)
class Reach:
    """What an attempt may reach; the same for its whole life. URIs have no slash at their ends."""

    inputs: Mapping[str, int]  # URI → the artifact's id, 0 where it has none
    root: str  # below which its outputs lie
    run_root: str  # the run's own part of the store
    pipeline_root: str  # as the run has it, with the store's options in its query

    def may_write(self, uri: str) -> bool:
        """Whether it lies below the attempt's own outputs."""
        return self._below(uri, self.root)

    def may_announce(self, uri: str) -> bool:
        """Whether an output may say that it lies there: in the run's own part, or where an input lies."""
        return uri in self.inputs or self._below(uri, self.run_root)

    @staticmethod
    def _below(uri: str, root: str) -> bool:
        try:
            return uri.startswith(f"{root}/") and bool(safe_segments(uri[len(root) + 1 :], uri))
        except UnsafeLocation:
            return False


def claims_of(authorization: str) -> Claims:
    """The claims of a bearer token. Raises Refused (401)."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "A token of an attempt is needed (Authorization: Bearer …).")
    try:
        return read(settings.LAUNCHER_KEY, token.strip(), time.time())
    except TokenRefused as error:
        raise Refused(401, str(error)) from None


def living(claims: Claims, *, for_log: bool = False) -> models.Attempt:
    """The attempt's row, while it is under way (or ended lately, for its log). Raises Refused (410)."""
    row = _row(claims)
    if row is None or (row.phase == Phase.ENDED and not (for_log and (claims.late or _lately(row)))):
        raise Refused(410, OVER)
    return row


def row_of(claims: Claims) -> models.Attempt:
    """The attempt's row, whether it is over or not. Raises Refused (410) where there is none."""
    row = _row(claims)
    if row is None:
        raise Refused(410, OVER)
    return row


def _row(claims: Claims) -> models.Attempt | None:
    found = models.Attempt.objects.filter(name=claims.attempt).only("run_id", "path", "number", "phase", "finished_at", "state")
    row = found.first()
    if row is None or (str(row.run_id), row.path, row.number) != (claims.run_id, claims.path, claims.number):
        return None
    return row


def _lately(row: models.Attempt) -> bool:
    return row.finished_at is not None and timezone.now() - row.finished_at < LOGS_FOR


class _Reaches:
    """The reaches that were asked for lately: they cost some rows, and pods ask for each file."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Reach] = OrderedDict()

    def of(self, claims: Claims) -> Reach:
        """The reach of an attempt that is known to be. Raises Refused (410) where its run is gone."""
        if found := self._kept.get(claims.attempt):
            return found
        self._kept[claims.attempt] = found = _reach(claims)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found


@functools.cache
def reaches() -> _Reaches:
    """This process's."""
    return _Reaches()


def _reach(claims: Claims) -> Reach:
    try:
        run = models.Run.objects.filter(pk=claims.run_id).first()
    except ValidationError:
        run = None
    task = models.Task.objects.filter(run_id=claims.run_id, path=claims.path).only("inputs").first() if run else None
    if run is None or task is None:
        raise Refused(410, OVER)
    values = (Values.from_json(task.inputs) or Values()).artifacts.values()
    inputs = {value["uri"].rstrip("/"): value["id"] for listed in values for value in listed if value["uri"]}
    value = run_value(run, most_iterations=settings.MOST_ITERATIONS)
    base = run.pipeline_root.partition("?")[0].rstrip("/")
    return Reach(inputs, task_root(value, claims.path), base, run.pipeline_root)
