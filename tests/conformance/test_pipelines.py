"""KFP's own test pipelines: what they compute, step by step, and that the cache gives the same again."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest

from tests.conformance.caching import Compiled, compare_caching
from tests.conformance.conftest import FOLDER, Launcher, Passes
from tests.conformance.expected import PIPELINES
from tests.conformance.expected.model import Expected
from tests.conformance.seen import Api, Seen

pytestmark = pytest.mark.conformance

LONG = "long-running"
_MARKS = {LONG: [] if os.environ.get("KFDASH_LONG") else [pytest.mark.skip(reason="sleeps ten minutes; KFDASH_LONG=1 runs it")]}
ALL = [pytest.param(name, expected, id=name, marks=_MARKS.get(name, [])) for name, expected in PIPELINES.items()]


@pytest.fixture
def seen(conformance: pathlib.Path, name: str, passes: Passes) -> list[Seen]:
    """The passes of a pipeline, waited for."""
    if name not in passes:
        pytest.skip("There is no such package in the folder of conformance data.")
    return passes[name].result()


@pytest.mark.parametrize(("name", "expected"), ALL)
def test_it_computes_what_its_source_says(name: str, expected: Expected, seen: list[Seen]) -> None:
    for one in seen:
        expected.compare(one)
    assert "<svg" in seen[-1].api.text(f"/runs/{seen[-1].run_id}/")


@pytest.mark.parametrize(("name", "expected"), [one for one in ALL if one.values[1].passes > 1])
def test_every_cacheable_step_comes_from_the_cache_the_second_time(
    name: str, expected: Expected, seen: list[Seen], conformance: pathlib.Path
) -> None:
    compare_caching(seen, Compiled(conformance / "pipelines" / f"{name}.yaml"), expected)


def test_the_table_has_every_pipeline_that_runs_without_a_cluster(conformance: pathlib.Path) -> None:
    listed = json.loads((conformance / "expected.json").read_text())
    local = {one["pipeline"]: one["state"] for one in listed if "local" in one["runs_on"]}
    assert local == {name: expected.state for name, expected in PIPELINES.items() if name in local}


def _not_for_here() -> list[str]:
    """Pipelines that cannot succeed without a cluster, a cloud or an image, or nowhere at all."""
    file = FOLDER / "expected.json"
    listed = json.loads(file.read_text()) if file.exists() else []
    return [one["pipeline"] for one in listed if one["state"] == "ACCEPTED" or "local" not in one["runs_on"]]


def _invalid() -> list[str]:
    return sorted(one.name for one in (FOLDER / "invalid").glob("*")) if (FOLDER / "invalid").is_dir() else []


@pytest.mark.parametrize("file_name", _invalid())
def test_what_is_no_pipeline_is_refused_with_a_sentence(file_name: str, launcher: Launcher) -> None:
    exceptions = pytest.importorskip("kfp_server_api")
    with pytest.raises(exceptions.ApiException) as refused:
        launcher.upload(FOLDER / "invalid" / file_name)
    assert refused.value.status == 400
    problems = json.loads(refused.value.body)["error_message"].splitlines()
    assert problems and all(map(_is_sentence, problems)), problems


@pytest.mark.parametrize("name", _not_for_here())
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
