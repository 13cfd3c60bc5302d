"""The result document: what one attempt came to, as the local host and the pod's launcher write it.

It crosses from code by strangers to the driver, so `from_json` takes nothing on trust.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, get_args

from pipelines.spec.storable import storable_text, unstorable
from runs.engine.values import Values

Json = Any

RESULT_LIMIT = 64 * 1024 * 1024  # bytes of a result document
REASON_LIMIT = 4000  # characters of a reason

ResultState = Literal["succeeded", "failed", "stopped", "lost"]
TIMES = ("queued", "starting", "running", "collecting", "finished")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799_000_000  # the end of year 9999, µs
_WIDEST: Mapping[str, int] = {"exitCode": 2**31 - 1, "signal": 2**31 - 1, "peakMemory": 2**63 - 1, "retryable": 1}
_ARTIFACT_FIELDS: Mapping[str, type] = {
    "id": int,
    "name": str,
    "uri": str,
    "type": str,
    "schema_version": str,
    "metadata": dict,
    "custom_path": str,
}


class Cause(StrEnum):
    """Why an attempt failed, for filters and icons; executors may have further ones."""

    EXIT_CODE = "exit-code"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out-of-memory"
    OUTPUTS = "outputs"  # ended well, but what it wrote cannot be taken
    INPUTS = "inputs"  # an input could not be fetched
    ENVIRONMENT = "environment"  # what it needs could not be installed
    NOT_FOUND = "not-found"  # its program or image is not there
    REFUSED = "refused"  # the executor cannot run it at all


class InvalidResult(ValueError):
    """The text is no result document. The message says where it is wrong."""


def to_time(microseconds: int) -> datetime:
    """Unix time in µs as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(at: datetime) -> int:
    """An aware datetime as Unix time in µs."""
    return (at - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Result:
    """The end of an attempt. Times are Unix µs by phase; `finished` is always among them."""

    attempt: str
    state: ResultState
    times: Mapping[str, int]
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    cause: str = ""
    retryable: bool = True
    peak_memory: int | None = None  # bytes
    outputs: Values = field(default_factory=Values)

    @property
    def is_half_the_story(self) -> bool:
        """Whether a pod's status may say why: somebody had the step ended, or it was killed outright, perhaps for its memory."""
        return self.state == "stopped" or (self.state == "failed" and self.signal == signal.SIGKILL)

    def to_json(self) -> dict[str, Json]:
        """As the document has it."""
        return {
            "attempt": self.attempt,
            "state": self.state,
            "times": dict(self.times),
            "exitCode": self.exit_code,
            "signal": self.signal,
            "reason": self.reason,
            "cause": self.cause,
            "retryable": self.retryable,
            "peakMemory": self.peak_memory,
            "outputs": self.outputs.to_json(),
        }

    def to_text(self) -> str:
        """The document's text."""
        return json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | bytes) -> Result:
        """The inverse of `to_text`. Raises InvalidResult."""
        if len(text) > RESULT_LIMIT:
            raise InvalidResult(f"The result document is larger than {RESULT_LIMIT // 2**20} MiB.")
        try:
            data = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise InvalidResult(f"The result document is no JSON: {error}.") from None
        return cls.from_json(data)

    @classmethod
    def from_json(cls, data: Json) -> Result:
        """A result from a document that may have been written by anybody. Raises InvalidResult."""
        if not isinstance(data, dict):
            raise InvalidResult("The result document is not an object.")
        unknown = sorted(set(data) - set(_FIELDS))
        if unknown:
            raise InvalidResult(f"The result document has an unknown field '{unknown[0][:100]}'.")
        missing = [name for name in ("attempt", "state", "times") if name not in data]
        if missing:
            raise InvalidResult(f"The result document lacks '{missing[0]}'.")
        for name, value in data.items():
            if not _is_of(value, _FIELDS[name]):
                raise InvalidResult(f"The result document's '{name}' is of the wrong kind.")
            if isinstance(value, int) and abs(value) > _WIDEST[name]:
                raise InvalidResult(f"The result document's '{name}' is too large a number.")
        _check_storable(data["attempt"])
        if data["state"] not in get_args(ResultState):
            raise InvalidResult(f"The result document has the unknown state '{data['state'][:40]}'.")
        return cls(
            attempt=data["attempt"],
            state=data["state"],
            times=_times(data["times"]),
            exit_code=data.get("exitCode"),
            signal=data.get("signal"),
            reason=storable_text(data.get("reason", "")[:REASON_LIMIT]),
            cause=storable_text(data.get("cause", "")[:64]),
            retryable=data.get("retryable", True),
            peak_memory=data.get("peakMemory"),
            outputs=_outputs(data.get("outputs", {})),
        )


_FIELDS: Mapping[str, tuple[type, ...]] = {
    "attempt": (str,),
    "state": (str,),
    "times": (dict,),
    "exitCode": (int, type(None)),
    "signal": (int, type(None)),
    "reason": (str,),
    "cause": (str,),
    "retryable": (bool,),
    "peakMemory": (int, type(None)),
    "outputs": (dict,),
}


def _check_storable(*values: Json) -> None:
    """Each for itself: how deep a value may be nested does not depend on where it stands."""
    if problem := next(filter(None, map(unstorable, values)), None):
        raise InvalidResult(f"The result document cannot be kept. {problem}")


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON")


def _is_of(value: Json, kinds: tuple[type, ...]) -> bool:
    """As isinstance, but True is no number."""
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds)


def _times(times: Mapping[str, Json]) -> dict[str, int]:
    for name, value in times.items():
        if name not in TIMES or not _is_of(value, (int,)) or not 0 <= value <= _LATEST:
            raise InvalidResult(f"The result document has a wrong time '{name[:40]}'.")
    if "finished" not in times:
        raise InvalidResult("The result document does not say when the attempt finished.")
    return dict(times)


def _outputs(data: Mapping[str, Json]) -> Values:
    parameters, artifacts = data.get("parameters", {}), data.get("artifacts", {})
    if set(data) - {"parameters", "artifacts"} or not isinstance(parameters, dict) or not isinstance(artifacts, dict):
        raise InvalidResult("The result document's outputs are not objects of parameters and artifacts.")
    _check_storable(*parameters, *parameters.values(), *artifacts)
    for name, values in artifacts.items():
        if not isinstance(values, list):
            raise InvalidResult(f"The result document's artifact '{name[:100]}' is not a list.")
        for value in values:
            if not isinstance(value, dict) or set(value) != set(_ARTIFACT_FIELDS):
                raise InvalidResult(f"The result document's artifact '{name[:100]}' has not the fields of an artifact.")
            for key, kind in _ARTIFACT_FIELDS.items():
                if not _is_of(value[key], (kind,)):
                    raise InvalidResult(f"The result document's artifact '{name[:100]}' has a wrong '{key}'.")
            _check_storable(*value.values())
            if value["id"] != 0:
                raise InvalidResult(f"The result document's artifact '{name[:100]}' names a row; only the driver gives those.")
    return Values(parameters, artifacts)
