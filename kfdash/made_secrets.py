"""`kfdash make-secrets`: Secrets with random values in the cluster that it runs in, made once.

An installation needs a key and passwords that nobody else has, and a manifest that everybody has cannot hold them. What is
there is never changed: a second run adds only what is missing.
"""

from __future__ import annotations

import base64
import re
import secrets
import string
import time
from collections.abc import Iterable, Mapping
from typing import Any

from kfdash.installation import CannotStart
from runs import executing
from runs.executors.base import ExecutorUnavailable

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LETTERS = string.ascii_letters + string.digits  # they mean nothing in a URL, a shell or a configuration file
_LENGTH = 32
_PATIENCE = 120.0  # seconds that a cluster may not answer


def wanted(text: Iterable[str], kept: Mapping[str, str]) -> dict[str, str]:
    """Values for `KEY` (random) and `KEY=text with {OTHER}`; those that are kept stay. Raises CannotStart for what is none."""
    values = dict(kept)
    for item in text:
        key, given, value = item.partition("=")
        if not _KEY.fullmatch(key):
            raise CannotStart(f"{item!r} names no key of a Secret: KEY for a random value, or KEY=value.")
        if key in values:
            continue
        try:
            values[key] = value.format_map(values) if given else "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        except (KeyError, ValueError, IndexError):
            raise CannotStart(f"{item!r} uses a key that does not stand before it.") from None
    return values


def make(name: str, items: Iterable[str]) -> int:
    """Makes a Secret, or adds to it what is missing; 0. Raises CannotStart."""
    from runs.executors.kubernetes.client import Client, Refused, core_path  # noqa: PLC0415  # needs the optional package

    client = Client(executing.kubernetes_config())
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            print(_made(client, Refused, core_path(client.namespace, "secrets"), name, list(items)), flush=True)
            return 0
        except Refused as refused:
            raise CannotStart(f"The Secret {name} cannot be made: {refused}") from None
        except ExecutorUnavailable as error:
            if time.monotonic() > deadline:
                raise CannotStart(str(error)) from None
            time.sleep(2)


def _made(client: Any, refused: type[Exception], path: str, name: str, items: list[str]) -> str:
    try:
        kept = client.request("GET", f"{path}/{name}").get("data") or {}
    except refused as answer:
        if answer.status != 404:  # type: ignore[attr-defined]
            raise
        client.request("POST", path, body={"metadata": {"name": name}, "type": "Opaque", "stringData": wanted(items, {})})
        return f"The Secret {name} is made."
    known = {key: base64.b64decode(value).decode(errors="replace") for key, value in kept.items()}
    more = {key: value for key, value in wanted(items, known).items() if key not in known}
    if not more:
        return f"The Secret {name} is there."
    client.request("PATCH", f"{path}/{name}", body={"stringData": more}, content_type="application/merge-patch+json")
    return f"The Secret {name} has {', '.join(sorted(more))} now, too."
