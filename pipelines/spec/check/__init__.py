"""Every rule of the language that a document can break: small functions that give findings, so that all come at once.

`structure` looks at the header, components and executors, `wiring` at tasks and their inputs and outputs, `cycles` at what
never ends, `placeholders` at texts that a run fills in, `kubernetes` at the platform document.
"""

from __future__ import annotations

from itertools import chain, islice

from pipelines.spec.check import cycles, kubernetes, placeholders, structure, wiring
from pipelines.spec.model import PipelineSpec
from pipelines.spec.problems import MAX_PROBLEMS, Finding

_MOST = 2 * MAX_PROBLEMS  # enough to know that there are more than are listed


def check(spec: PipelineSpec) -> list[Finding]:
    """Everything that is wrong with a pipeline, in places of its pipeline document."""
    findings = chain(structure.check(spec), cycles.check(spec), wiring.check(spec), placeholders.check(spec))
    return list(islice(findings, _MOST))


def check_platform(spec: PipelineSpec) -> list[Finding]:
    """Everything that is wrong with a pipeline's platform document, in places of that document."""
    return list(islice(kubernetes.check(spec), _MOST))
