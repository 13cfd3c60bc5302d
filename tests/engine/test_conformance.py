"""KFP's own test pipelines through the engine, their Python components run for real in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.spec.parse import parse_text
from tests.engine.inprocess import InProcess
from tests.engine.world import World

pytest.importorskip("kfp")

FOLDER = Path(os.environ.get("KFDASH_CONFORMANCE") or Path(__file__).parents[2].parent / "shared" / "conformance")
EXPECTED = json.loads((FOLDER / "expected.json").read_text()) if (FOLDER / "expected.json").exists() else []
SLOW = {"log_streaming_compiled"}
LOCAL = [one for one in EXPECTED if "local" in one["runs_on"] and one["pipeline"] not in SLOW]

# What the pipelines compute, from their own source: the run's output parameters.
PARAMETERS: dict[str, dict[str, Any]] = {
    "conditional_producer_and_consumers": {"Output": 10},
    "critical/add_numbers": {"Output": 6},
    "nested_return": {"Output": [{"A_a": "1", "B_b": "2"}, {"A_a": "10", "B_b": "20"}]},
    "nested_with_parameters": {"Output": [[4, 6, 8], [6, 8, 10], [8, 10, 12]]},
    "parameters_complex": {"Output": 306},
    "pipeline_producer_consumer": {"Output": 36},
    "local_execution/local_execution_pipeline_with_retry": {"Output": "attempt=2"},
    "local_execution/pipeline_with_collected_artifacts": {"Output": "0,1,2"},
}
# The texts of the run's output artifacts.
ARTIFACTS = {
    "artifacts_complex": {"sum": ["42"], "datasets": ["2", "4", "6"]},
    "pythonic_artifacts_with_list_of_artifacts": {"Output": ["Hello, world!"]},
    "pythonic_artifacts_with_multiple_returns": {"Output": ["Hello,"]},
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not EXPECTED, reason="no conformance data")
@pytest.mark.parametrize("expected", LOCAL, ids=lambda one: one["pipeline"])
def test_the_pipeline_ends_as_it_should_with_what_it_computes(expected: dict[str, Any], tmp_path: Path) -> None:
    name = expected["pipeline"]
    world = run(name, tmp_path)
    if "ModuleNotFoundError" in world.run.reason:
        pytest.skip(world.run.reason)
    assert world.run.state.value == expected["state"], world.run.reason
    outputs = world[""].outputs
    if name in PARAMETERS:
        assert outputs is not None and outputs.parameters == PARAMETERS[name]
    if name in ARTIFACTS:
        assert outputs is not None
        texts = {key: [Path(one["uri"]).read_text() for one in every] for key, every in outputs.artifacts.items()}
        assert texts == ARTIFACTS[name]


def run(name: str, tmp_path: Path) -> World:
    """A conformance pipeline, run to its end; skips where it is not there."""
    file = FOLDER / "pipelines" / f"{name}.yaml"
    if not file.exists():
        pytest.skip("no conformance data")
    spec = parse_text(file.read_text()).spec
    script = InProcess(spec, tmp_path)
    needed = {key: one for key, one in spec.root.input_parameters.items() if not one.has_default and not one.optional}
    return World(spec, script, arguments={key: script.made_up[one.type.value] for key, one in needed.items()}).go()


def test_the_exit_pipeline_sees_the_failure_and_its_condition_fires(tmp_path: Path) -> None:
    world = run("pipeline_as_exit_task", tmp_path)
    fired = [path for path, state in world.states().items() if "condition" in path and state == "SUCCEEDED"]
    assert world.run.state.value == "FAILED" and fired


def test_a_step_that_ignores_the_failure_before_it_runs(tmp_path: Path) -> None:
    world = run("local_execution/local_execution_pipeline_with_ignore_upstream_failure", tmp_path)
    assert sorted(world.states().values()) == ["FAILED", "SUCCEEDED"] and world.run.state.value == "FAILED"
