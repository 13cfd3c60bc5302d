"""Every package of the conformance suite: what comes out of the API is what went in, as JSON."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import yaml
from conftest import Api


def _expected(text: str) -> dict[str, Any]:
    """The documents of a package in the shape that the API gives them."""
    documents = [document for document in yaml.safe_load_all(text) if document]
    (pipeline,) = [document for document in documents if "pipelineInfo" in document]
    platforms = [document for document in documents if "platforms" in document]
    return {"pipeline_spec": pipeline, "platform_spec": platforms[0]} if platforms else pipeline


def _arguments(pipeline: dict[str, Any]) -> dict[str, Any]:
    """A value for every parameter that needs one."""
    values = {"NUMBER_INTEGER": 7, "NUMBER_DOUBLE": 0.5, "STRING": "x", "BOOLEAN": True, "LIST": ["x"], "STRUCT": {"a": 1}}
    declared = pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
    return {
        name: (one.get("literals") or [values[one["parameterType"]]])[0]
        for name, one in declared.items()
        if "defaultValue" not in one and not one.get("isOptional")
    }


def test_every_package_is_uploaded_given_back_and_launched(api: Api, conformance: pathlib.Path) -> None:
    for case in json.loads((conformance / "expected.json").read_text()):
        file = conformance / "pipelines" / f"{case['pipeline']}.yaml"
        text = file.read_text()
        expected = _expected(text)
        status, pipeline = api.upload("/pipelines/upload", text, file.name, name=case["pipeline"])
        assert status == 200, (file, pipeline)
        _, answer = api.get(f"/pipelines/{pipeline['pipeline_id']}/versions")
        (version,) = answer["pipeline_versions"]
        assert version["pipeline_spec"] == expected, file
        parameters = _arguments(expected.get("pipeline_spec", expected))
        body = {"display_name": "x", "pipeline_spec": expected, "runtime_config": {"parameters": parameters}}
        status, run = api.post("/runs", body)
        if status == 400 and case["runs_on"] == ["kubernetes"]:
            assert run["code"] == 9 and "cluster" in run["message"], "what cannot run here is refused, with what it needs"
            continue
        assert status == 200, (file, run)
        assert run["pipeline_spec"] == expected, file


def test_a_large_package_is_accepted_and_one_that_is_too_large_refused(api: Api) -> None:
    big = json.dumps({"pipelineInfo": {"name": "x"}, "root": {}, "comment": "x" * (33 * 1024 * 1024)})
    status, answer = api.upload("/pipelines/upload", big)
    assert status == 400 and "32 MiB" in answer["error_message"]
    status, answer = api.post("/runs", {"display_name": "x", "description": "x" * (34 * 1024 * 1024)})
    assert status == 400 and "32 MiB" in answer["message"]


@pytest.mark.parametrize("size", [10_000_000])
def test_a_description_may_have_millions_of_characters(api: Api, size: int) -> None:
    status, experiment = api.post("/experiments", {"display_name": "long", "description": "d" * size})
    assert status == 200
    assert len(api.get(f"/experiments/{experiment['experiment_id']}")[1]["description"]) == size
