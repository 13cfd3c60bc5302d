"""What an attempt says of itself, as facts for the driver: its progress, and its end with the result document."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from kfdash import outbox
from pipelines.spec.storable import storable_text
from runs import models, results
from runs.engine.model import AttemptProgressed, Fact, Phase, State
from runs.execution.facts import fact_of
from runs.execution.result import REASON_LIMIT, RESULT_LIMIT, Cause, InvalidResult, Result, to_time
from runs.facts import encode
from runs.intake.rights import OVER, Reach
from runs.intake.wire import Refused
from runs.launcher.tokens import Claims
from runs.store import NotReadable
from runs.stores import store_options

_PHASES = {phase.value: phase for phase in (Phase.STARTING, Phase.RUNNING, Phase.COLLECTING)}
_CLOCKS_DIFFER = 3600.0  # seconds; a time further away than that is no time of this attempt
_STORED = ("minio://", "s3://", "gs://", "az://")  # where an output must lie in the run's own part

Json = Any


def progressed(claims: Claims, data: Json) -> None:
    """Hands on that the attempt entered a phase, or what it waits for in it. Raises Refused."""
    if not isinstance(data, dict) or data.get("phase") not in _PHASES:
        raise Refused(400, f"The progress needs a 'phase': {', '.join(_PHASES)}.")
    reason = data.get("reason", "")
    if not isinstance(reason, str):
        raise Refused(400, "The 'reason' of the progress is a text.")
    fact = AttemptProgressed(
        claims.path, claims.number, _PHASES[data["phase"]], _time(data.get("at")), storable_text(reason[:REASON_LIMIT])
    )
    hand_over(claims, fact)


def _time(at: Json) -> datetime:
    """The attempt's own time, where its node's clock is not far from ours."""
    plausible = isinstance(at, int) and not isinstance(at, bool) and abs(at / 1e6 - time.time()) < _CLOCKS_DIFFER
    return to_time(at) if plausible else timezone.now()


def ended(claims: Claims, reach: Reach, row: models.Attempt, text: bytes | None) -> None:
    """Stores the result document (None: it was too large) and hands the end to the driver; the same again is taken again.

    Raises Refused: for another attempt's document (403), one that is malformed or tells of outputs that are not the run's
    own (422, and the attempt has failed with that sentence), and for another end than the first (410).
    """
    known = _known(claims)
    try:
        result = _checked(claims, reach, text)
    except InvalidResult as error:
        if known is None and row.phase != Phase.ENDED:
            failed = Result(
                claims.attempt,
                "failed",
                {"finished": time.time_ns() // 1000},
                reason=f"What the step's launcher told of its outputs cannot be taken. {error}",
                cause=Cause.OUTPUTS,
            )
            _record(claims, failed)
        raise Refused(422, str(error)) from None
    if known is not None and known != result:
        raise Refused(410, OVER)
    if row.phase == Phase.ENDED:
        if known is None:
            raise Refused(410, OVER)
        return
    if known is None:
        _record(claims, result)
    else:
        _hand_on(claims, result)


def _known(claims: Claims) -> Result | None:
    try:
        return results.read(settings.RESULTS_ROOT, store_options(), claims.run_id, claims.attempt)
    except InvalidResult:
        return None
    except NotReadable as error:
        raise Refused(503, f"The store of results does not answer: {error}") from None


def _checked(claims: Claims, reach: Reach, text: bytes | None) -> Result:
    """The result, with the locations of outputs checked. Raises InvalidResult, Refused for another attempt's."""
    if text is None:
        raise InvalidResult(f"The result document is larger than {RESULT_LIMIT // 2**20} MiB.")
    result = Result.from_text(text)
    if result.attempt != claims.attempt:
        raise Refused(403, "The result document is about another attempt than the token.")
    for name, values in result.outputs.artifacts.items():
        for value in values:
            if value["uri"].startswith(_STORED) and not reach.may_announce(value["uri"].rstrip("/")):
                raise InvalidResult(
                    f"The output '{name[:100]}' lies at {value['uri'][:300]}, which is not below the run's own root."
                )
    return result


def _record(claims: Claims, result: Result) -> None:
    try:
        results.write(settings.RESULTS_ROOT, store_options(), claims.run_id, claims.attempt, result.to_text())
    except (NotReadable, OSError) as error:
        raise Refused(503, f"The result document cannot be stored: {error}") from None
    _hand_on(claims, result)


def _hand_on(claims: Claims, result: Result) -> None:
    """Tells the driver; where the pod's status has the other half, who follows the pods does it, with both."""
    if not result.is_half_the_story or _asked_to_end(claims):
        hand_over(claims, fact_of(result, claims.path, claims.number))


def _asked_to_end(claims: Claims) -> bool:
    return models.Task.objects.filter(run_id=claims.run_id, path=claims.path, state=State.CANCELING).exists()


def hand_over(claims: Claims, fact: Fact) -> None:
    """Gives a fact to the driver. Raises Refused (503) where Redis does not take it."""
    try:
        outbox.hand_over(claims.run_id, [encode(fact)])
    except outbox.NotHandedOver as error:
        raise Refused(503, str(error)) from None
