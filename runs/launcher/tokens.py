"""Tokens of attempts: what a pod shows to kfdash. Each is good for one attempt and some time, and tells nothing secret.

A token is `<claims>.<signature>` in base64url: the claims as JSON, and their HMAC-SHA256 by the installation's key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass

_LONGEST = 8192  # characters


class TokenRefused(Exception):
    """A token that is not ours, was changed, or is too old. The message is for people."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Which attempt the bearer is, until when (Unix seconds).

    `late` is of our own making: the log is taken however long ago the attempt ended, for it was read late.
    """

    attempt: str
    run_id: str
    path: str
    number: int
    expires: int
    late: bool = False


def issue(key: bytes, claims: Claims) -> str:
    """The token for these claims."""
    head = _encode(json.dumps(asdict(claims), separators=(",", ":")).encode())
    return f"{head}.{_encode(_signature(key, head))}"


def read(key: bytes, token: str, now: float) -> Claims:
    """The claims of a token. Raises TokenRefused."""
    head, _, signature = token.partition(".")
    if len(token) > _LONGEST or not token.isascii() or not hmac.compare_digest(_encode(_signature(key, head)), signature):
        raise TokenRefused("The token is not one of this kfdash.")
    try:
        claims = Claims(**json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))))
    except (ValueError, TypeError, binascii.Error):
        raise TokenRefused("The token is not one of this kfdash.") from None
    if claims.expires < now:
        raise TokenRefused("The token has expired.")
    return claims


def _signature(key: bytes, head: str) -> bytes:
    return hmac.digest(key, head.encode(), hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
