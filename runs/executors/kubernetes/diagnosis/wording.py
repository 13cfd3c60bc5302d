"""Pieces of sentences: amounts as a person writes them, messages without what only a log needs."""

from __future__ import annotations

import re

from runs.execution.amounts import size

_LONGEST = 300  # characters of somebody else's message inside a sentence
_NOISE = (
    re.compile(r"rpc error: code = \w+ desc = "),
    re.compile(r"failed to create containerd task: "),
    re.compile(r"failed to create shim task: "),
    re.compile(r"OCI runtime create failed: "),
    re.compile(r"runc create failed: "),
    re.compile(r"unable to start container process: "),
    re.compile(r"error during container init: "),
    re.compile(r"(?<=[\s\"])/\S*/pods/[0-9a-f-]{36}/volumes/[^/\s]+/"),  # a folder of the kubelet
    re.compile(r"\s*\(pod: \"[^\"]*\", container: [\w-]+\)"),
    re.compile(r": unknown$"),
)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T|m)?")
_UNITS = {"Ki": "KiB", "Mi": "MiB", "Gi": "GiB", "Ti": "TiB", "k": "kB", "M": "MB", "G": "GB", "T": "TB"}


def plain(message: str) -> str:
    """A message of the cluster's without its wrapping, on one line, at most 300 characters, without a full stop."""
    found = " ".join(message.split())
    for noise in _NOISE:
        found = noise.sub("", found)
    found = found.strip().rstrip(".")
    return found if len(found) <= _LONGEST else found[: _LONGEST - 1].rstrip() + "…"


def memory(amount: str) -> str:
    """`500Gi` as `500 GiB`, a plain number of bytes in the unit that fits; anything else as it is."""
    match = _AMOUNT.fullmatch(amount)
    if match is None or match[2] == "m":
        return amount
    return f"{match[1]} {_UNITS[match[2]]}" if match[2] else size(int(float(match[1])))


def joined(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
