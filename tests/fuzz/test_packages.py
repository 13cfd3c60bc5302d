"""Packages changed at random: refused with sentences, or a run that ends."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import strategies as st

from tests.fuzz import life, mutations, seeds
from tests.fuzz.trying import attempt

PACKAGES = st.tuples(mutations.PACKAGES, st.integers(0, 1 << 30))


@pytest.mark.skipif(len(seeds.documents()) < 10, reason="no conformance data")
def test_any_package_is_refused_with_sentences_or_becomes_a_run_that_ends() -> None:
    endings = fuzz(400, start=1)
    assert endings["refused"] > 50 and endings["SUCCEEDED"] + endings["FAILED"] > 50, endings


def test_a_package_that_nothing_was_done_to_becomes_a_run_that_ends() -> None:
    for text in seeds.texts()[:30]:
        life.live(mutations.Package(text.encode(), "pipeline.yaml"), random.Random(1))


def fuzz(count: int, start: int) -> Counter[str]:
    """Many cases; how they ended."""
    return attempt(PACKAGES, lambda case: life.live(case[0], random.Random(case[1])), count=count, start=start)
