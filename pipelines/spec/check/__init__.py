"""Every rule of the language that a document can break: small functions that give findings, so that all come at once.

`structure` looks at the header, components and executors, `wiring` at tasks and their inputs and outputs, `cycles` at what
never ends, `placeholders` at texts that a run fills in, `kubernetes` at the platform document.
"""

from __future__ import annotations

from pipelines.spec.check import cycles, kubernetes, placeholders, structure, wiring
from pipelines.spec.model import PipelineSpec
from pipelines.spec.problems import Finding


def check(spec: PipelineSpec) -> list[Finding]:
    """Everything that is wrong with a pipeline, in places of its pipeline document."""
    return [
        *structure.check(spec),
        *cycles.check(spec),
        *wiring.check(spec),
        *placeholders.check(spec),
    ]


def check_platform(spec: PipelineSpec) -> list[Finding]:
    """Everything that is wrong with a pipeline's platform document, in places of that document."""
    return list(kubernetes.check(spec))
