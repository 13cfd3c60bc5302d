"""KFP's own test pipelines: what they compute, step by step, and that the cache gives the same again."""

from __future__ import annotations

import json
import os
import pathlib
from concurrent.futures import Future
from typing import Any

import pytest
import yaml

from tests.conformance.conftest import Launcher
from tests.conformance.expected import PIPELINES
from tests.conformance.expected.model import Expected
from tests.conformance.seen import Api, Seen

pytestmark = pytest.mark.conformance

LONG = "long-running"
_MARKS = {LONG: [] if os.environ.get("KFDASH_LONG") else [pytest.mark.skip(reason="sleeps ten minutes; KFDASH_LONG=1 runs it")]}
ALL = [pytest.param(name, expected, id=name, marks=_MARKS.get(name, [])) for name, expected in PIPELINES.items()]


@pytest.fixture
def seen(name: str, passes: dict[str, Future[list[Seen]]]) -> list[Seen]:
    """The passes of a pipeline, waited for."""
    if name not in passes:
        pytest.skip("There is no such package in the folder of conformance data.")
    return passes[name].result()


@pytest.mark.parametrize(("name", "expected"), ALL)
def test_it_computes_what_its_source_says(name: str, expected: Expected, seen: list[Seen]) -> None:
    for one in seen:
        expected.compare(one)


@pytest.mark.parametrize(("name", "expected"), [one for one in ALL if one.values[1].passes > 1])
def test_every_cacheable_step_comes_from_the_cache_the_second_time(
    name: str, expected: Expected, seen: list[Seen], conformance: pathlib.Path
) -> None:
    compiled = Compiled(conformance / "pipelines" / f"{name}.yaml")
    first, second, third = seen
    assert not [path for path in first.steps() if "/" not in path and first.is_cached(path)], "the cache was off for these"
    for path, step in third.steps().items():
        before = second.tasks.get(path)
        if not compiled.is_cacheable(path) or step["kind"] != "container":
            assert not third.is_cached(path), f"{path} is compiled without cache"
        elif step["state"] == "SUCCEEDED" and before and before["state"] == "SUCCEEDED" and _given(before) == _given(step):
            assert third.is_cached(path), f"{path}\n{third.story}"
            assert _made(before) == _made(step), path
    if not expected.by_chance and all(map(compiled.is_cacheable, third.steps())):
        assert _made(second.tasks[""]) == _made(third.tasks[""])


def test_the_table_has_every_pipeline_that_runs_without_a_cluster(conformance: pathlib.Path) -> None:
    listed = json.loads((conformance / "expected.json").read_text())
    local = {one["pipeline"]: one["state"] for one in listed if "local" in one["runs_on"]}
    assert local == {name: expected.state for name, expected in PIPELINES.items() if name in local}


class Compiled:
    """A compiled package as YAML: which steps may come from the cache."""

    def __init__(self, package: pathlib.Path) -> None:
        documents = [one for one in yaml.safe_load_all(package.read_text()) if one]
        self.spec: dict[str, Any] = next(one for one in documents if "pipelineInfo" in one)

    def is_cacheable(self, path: str) -> bool:
        """Whether the task at a path has caching on, wherever it lies."""
        component = self.spec["root"]
        task: dict[str, Any] = {}
        for part in path.split("/"):
            task = component["dag"]["tasks"][part.partition("[")[0]]
            component = self.spec["components"][task["componentRef"]["name"]]
        return bool(task.get("cachingOptions", {}).get("enableCache"))


def _given(task: dict[str, Any]) -> Any:
    values = task.get("inputs") or {}
    return values.get("parameters", {}), _ids(values)


def _made(task: dict[str, Any]) -> Any:
    values = task.get("outputs") or {}
    return values.get("parameters", {}), _ids(values)


def _ids(values: dict[str, Any]) -> dict[str, list[int]]:
    return {name: [one["id"] for one in every] for name, every in values.get("artifacts", {}).items()}


def _accepted() -> list[str]:
    folder = pathlib.Path(
        os.environ.get("KFDASH_CONFORMANCE") or pathlib.Path(__file__).parents[2].parent / "shared" / "conformance"
    )
    listed = json.loads((folder / "expected.json").read_text()) if (folder / "expected.json").exists() else []
    return [one["pipeline"] for one in listed if one["state"] == "ACCEPTED"]


@pytest.mark.parametrize("name", _accepted())
def test_it_is_accepted_shown_and_answered_with_a_sentence(
    name: str, launcher: Launcher, api: Api, conformance: pathlib.Path
) -> None:
    exceptions = pytest.importorskip("kfp_server_api")
    package = conformance / "pipelines" / f"{name}.yaml"
    source = launcher.upload(package)
    page = api.text(f"/pipelines/{source['pipeline_id']}/versions/{source['version_id']}/")
    assert "<svg" in page
    try:
        run_id = launcher.launch(_required(package), **source)
    except exceptions.ApiException as error:
        answer = json.loads(error.body)
        assert error.status == 400 and _is_sentence(answer["message"]), answer
        return
    assert "<svg" in api.text(f"/runs/{run_id}/")
    seen = launcher.wait(run_id, 120)
    if seen.state == "FAILED":
        assert _is_sentence(seen.tasks[""]["reason"]), seen.story


def _is_sentence(text: str) -> bool:
    """Words that name what failed; a program's own last words may be a part of them."""
    return text.count(" ") > 2 and "Traceback" not in text and "\n" not in text and len(text) < 1000


def _required(package: pathlib.Path) -> dict[str, Any]:
    """Values for the root parameters that have no default, as KFP's own end-to-end tests send them."""
    made_up = {
        "NUMBER_INTEGER": 7,
        "NUMBER_DOUBLE": 0.5,
        "STRING": "word",
        "BOOLEAN": True,
        "LIST": ["word"],
        "STRUCT": {"A": "1.5"},
    }
    parameters = Compiled(package).spec["root"].get("inputDefinitions", {}).get("parameters", {})
    return {
        name: made_up[one["parameterType"]]
        for name, one in parameters.items()
        if not one.get("isOptional") and "defaultValue" not in one and one["parameterType"] in made_up
    }
