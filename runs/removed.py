"""What the rules of retention removed of a run that stays, in words: pages and APIs say so in its place."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from runs.models import Artifact, Run


def removed_sentence(run: Run, what: Literal["logs", "artifacts"]) -> str:
    """When a run's logs or outputs were removed, and by which rule; empty where they were not."""
    removed = (run.retention or {}).get(what)
    if not removed:
        return ""
    at = datetime.fromisoformat(removed["at"])
    thing = "Logs" if what == "logs" else "Outputs"
    return f"{thing} of this run were removed on {at.day} {at:%B %Y} by the rule: {removed['rule']}"


def removed_artifact(artifact: Artifact) -> str:
    """The same for one output; empty where it was not removed with its run's."""
    return removed_sentence(artifact.run, "artifacts") if artifact.gone_at and artifact.run is not None else ""
