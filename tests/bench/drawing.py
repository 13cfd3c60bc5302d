"""Laying large graphs out."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

from kfdash import doctor
from pipelines.drawing.stored import lay_out
from pipelines.spec.parse import parse_text
from tests.bench.figures import Figure, measure
from tests.bench.pipelines import layered


@measure("drawing")
def large_graph() -> Iterator[Figure]:
    """5,000 nodes from the specification to what is stored; by hand, Graphviz alone on boxes of one size."""
    document = layered(50, 100)
    spec = parse_text(json.dumps(document)).spec
    began = time.perf_counter()
    layout = lay_out(spec)
    seconds = time.perf_counter() - began
    assert len(layout["nodes"]) == len(document["root"]["dag"]["tasks"])
    yield Figure("graph of 5,000 nodes laid out", seconds, "s", 4.0, _by_hand(document["root"]["dag"]["tasks"]))


def _by_hand(tasks: dict[str, dict[str, list[str]]]) -> float:
    edges = "".join(f'"{before}" -> "{name}";' for name, task in tasks.items() for before in task["dependentTasks"])
    head = "digraph { nslimit=0.05; nslimit1=0.05; mclimit=0.1; node [shape=box, fixedsize=true, width=2, height=0.5];"
    began = time.perf_counter()
    subprocess.run(
        [doctor.graphviz_program(), "-Kdot", "-Tjson0"], input=f"{head}{edges}}}".encode(), capture_output=True, check=True
    )
    return time.perf_counter() - began
