"""Errors of the API: gRPC codes, their HTTP statuses, and the body, which is google.rpc.Status as JSON."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

_STATUS_TYPE = "type.googleapis.com/google.rpc.Status"


class Code(IntEnum):
    """gRPC's codes, as far as they are answered."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


HTTP_STATUS = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
}
_LEADING_WORDS = {
    Code.INVALID_ARGUMENT: "Invalid input error: ",
    Code.NOT_FOUND: "ResourceNotFoundError: ",
    Code.ALREADY_EXISTS: "Already exist error: ",
    Code.ABORTED: "BadRequestError: ",
    Code.INTERNAL: "InternalServerError: ",
}


class WireError(Exception):
    """A request that is answered with an error. `sentence` is for people."""

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence

    def body(self) -> dict[str, Any]:
        """The answer's JSON: the message with KFP's leading words, and the sentence alone in the details."""
        return {
            "code": int(self.code),
            "message": _LEADING_WORDS.get(self.code, "") + self.sentence,
            "details": [{"@type": _STATUS_TYPE, "code": int(self.code), "message": self.sentence}],
        }


class Malformed(WireError):
    """A request that cannot be read: bad JSON, an unknown field, a query value of the wrong kind. Has no details."""

    def __init__(self, sentence: str) -> None:
        super().__init__(Code.INVALID_ARGUMENT, sentence)

    def body(self) -> dict[str, Any]:
        """Code and message alone, as the gateway answers before it asks a service."""
        return {"code": int(self.code), "message": self.sentence}


class NoSuchMethod(WireError):
    """A known path with a method that it does not have."""

    def __init__(self) -> None:
        super().__init__(Code.UNIMPLEMENTED, "Method Not Allowed")

    def body(self) -> dict[str, Any]:
        """Code and message alone."""
        return {"code": int(self.code), "message": self.sentence}


def invalid(sentence: str) -> WireError:
    """400: the request can be read but breaks a rule."""
    return WireError(Code.INVALID_ARGUMENT, sentence)


def not_found(kind: str, key: str) -> WireError:
    """404: there is no resource of that kind with that id or name."""
    return WireError(Code.NOT_FOUND, f"{kind} {key} not found")


def conflict(sentence: str) -> WireError:
    """409, Aborted: the resource is in a state that does not allow it."""
    return WireError(Code.ABORTED, sentence)


def exists(sentence: str) -> WireError:
    """409, AlreadyExists: the name is taken."""
    return WireError(Code.ALREADY_EXISTS, sentence)
