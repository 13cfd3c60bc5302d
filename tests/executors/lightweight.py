"""For tests of the local executor: lightweight components from functions' sources, compiled by the SDK."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from kfp import dsl

from pipelines.spec.model import ParameterType
from runs.engine.model import Values
from runs.executors.base import AttemptOrder
from tests.executors.watching import order

COLD = (("PYTHONHASHSEED", "0"),)  # read at the start of an interpreter: such a step does not come from a warm one


def step(
    function: Callable[..., Any],
    parameters: dict[str, Any] | None = None,
    *,
    outputs: dict[str, ParameterType] | None = None,
    env: tuple[tuple[str, str], ...] = (),
    timeout: float | None = None,
    packages: list[str] | None = None,
    artifacts: dict[str, str] | None = None,
    inputs: Values | None = None,
) -> AttemptOrder:
    """An order for a lightweight component."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        component = dsl.component(function, packages_to_install=packages or [])
    container = component.component_spec.implementation.container
    assert container
    return order(
        command=tuple(container.command),
        args=tuple(container.args),
        inputs=inputs or Values(parameters or {}),
        outputs=outputs,
        artifacts=artifacts,
        env=env,
        timeout=timeout,
    )
