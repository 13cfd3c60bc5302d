"""Inputs that lie in other stores: copied next to the step before it starts."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from runs.execution.attempt import AttemptOrder


class FetchFailed(Exception):
    """An input could not be had. The message is for people."""


async def fetch_inputs(order: AttemptOrder, folder: pathlib.Path, say: Callable[[str], None]) -> dict[str, str]:
    """URI → path of all inputs of other stores."""
    return {}
