"""What each of KFP's own test pipelines computes, derived from its source: the Python and the commands in its package.

States alone say little: a pipeline can be green though every value in it is wrong.
"""

from __future__ import annotations

from tests.conformance.expected.chance import CHANCE
from tests.conformance.expected.critical import CRITICAL
from tests.conformance.expected.essential import ESSENTIAL
from tests.conformance.expected.loops import LOOPS
from tests.conformance.expected.model import Expected
from tests.conformance.expected.plain import PLAIN

PIPELINES: dict[str, Expected] = {**CRITICAL, **ESSENTIAL, **PLAIN, **LOOPS, **CHANCE}
