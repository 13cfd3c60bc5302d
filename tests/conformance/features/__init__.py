"""Pipelines of our own, compiled with the KFP SDK, for features and traps that KFP's test pipelines lack."""

from __future__ import annotations

from tests.conformance.features import artifacts, by_hand, conditions, endings, loops, nesting, values
from tests.conformance.features.feature import Feature

FEATURES: dict[str, Feature] = {
    **loops.FEATURES,
    **conditions.FEATURES,
    **values.FEATURES,
    **artifacts.FEATURES,
    **endings.FEATURES,
    **nesting.FEATURES,
    **by_hand.FEATURES,
}
