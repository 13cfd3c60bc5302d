"""How kfdash calls things in the cluster, and what names the cluster takes."""

from __future__ import annotations

import re

MANAGED_BY = "app.kubernetes.io/managed-by"
PREFIX = "kfdash.dev"
INSTALLATION = f"{PREFIX}/installation"
RUN = f"{PREFIX}/run"
PATH = f"{PREFIX}/path"
NUMBER = f"{PREFIX}/number"
TOKEN = f"{PREFIX}/token"
FINALIZER = f"{PREFIX}/recorded"
MAIN, LAUNCHER = "main", "launcher"

_QUALIFIED = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def is_qualified(name: str) -> bool:
    """Whether a label, an annotation or a resource may be called so: `name`, or `domain/name`."""
    return bool(_QUALIFIED.fullmatch(name))


def is_label_value(value: str) -> bool:
    """Whether a label may have this value."""
    return bool(_LABEL_VALUE.fullmatch(value))


def is_object_name(name: str) -> bool:
    """Whether a secret, a claim or another object may be called so."""
    return bool(_OBJECT_NAME.fullmatch(name))
