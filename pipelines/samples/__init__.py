"""Sample pipelines: each `kfp` source beside the package that it compiles to (`make samples`)."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

_FOLDER = pathlib.Path(__file__).parent


@dataclass(frozen=True)
class Sample:
    """A sample as pages offer it: `icon` is a symbol of the sprite."""

    key: str
    name: str
    description: str
    steps: int
    icon: str


SAMPLES = (
    Sample("hello", "Hello", "One step, one input, one output", 1, "code"),
    Sample("training", "Train and publish", "A model for each candidate, the best one evaluated, a gate, a report", 7, "metric"),
    Sample("batches", "Twelve batches", "A loop of twelve of which one fails, and a step that always runs last", 2, "loop"),
)


def read_sample(key: str) -> tuple[bytes, str]:
    """The package of a sample and its file's name."""
    path = _FOLDER / f"{key}.yaml"
    return path.read_bytes(), path.name
