"""Where artifacts lie: URIs, paths in containers, paths on this machine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.execution.locations import (
    UnsafeLocation,
    canonical_uri,
    container_path,
    in_container,
    inputs_elsewhere,
    inputs_in_workspace,
    local_path,
    localise,
    out_of_container,
    workspace_moved,
)

DIR = "/data/artifacts"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("gs://b/k/l", "/gcs/b/k/l"),
        ("minio://b/k", "/minio/b/k"),
        ("s3://b/k/", "/s3/b/k"),
        ("oci://registry.io/team/x:tag", "/oci/registry.io_team_x:tag/models"),
        ("/plain/path", "/plain/path"),
        ("https://example.org/x", None),
        ("mem://x", None),
        ("nothing", None),
    ],
)
def test_a_uri_has_its_place_in_a_container(uri: str, path: str | None) -> None:
    assert container_path(uri) == path


@pytest.mark.parametrize("uri", ["gs://b/../../etc", "minio://b//x", "s3://./x", "gs://b/x\0y", "gs://"])
def test_a_uri_that_climbs_has_no_place(uri: str) -> None:
    with pytest.raises(UnsafeLocation):
        container_path(uri)


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1).filter(lambda s: s not in (".", "..")), min_size=1))
def test_local_paths_and_uris_are_inverse(segments: list[str]) -> None:
    uri = "minio://kfdash/" + "/".join(segments)
    path = local_path(uri, DIR)
    assert path.startswith(f"{DIR}/kfdash/")
    assert canonical_uri(path, DIR) == uri


@given(st.text())
def test_no_uri_leads_out_of_the_artifacts_folder(text: str) -> None:
    try:
        path = local_path("minio://kfdash/" + text, DIR)
    except UnsafeLocation:
        return
    assert path.startswith(f"{DIR}/kfdash/")
    assert ".." not in path.split("/")


@pytest.mark.parametrize(
    "location", ["gs://b/k", "/data/other", "/data/artifacts/kfdash/../../secret", "/data/artifacts/kfdash", "relative"]
)
def test_other_locations_stay(location: str) -> None:
    assert canonical_uri(location, DIR) == location


def test_a_roundabout_path_becomes_its_uri() -> None:
    assert canonical_uri("/data/artifacts/kfdash/a/../b//c", DIR) == "minio://kfdash/b/c"


# --- localising an ExecutorInput ---


def executor_input(**artifact: Any) -> dict[str, Any]:
    return {
        "inputs": {
            "parameterValues": {"where": "/kfp-workspace/x", "other": "/kfp-workspaces"},
            "artifacts": {"in": {"artifacts": [{"name": "1", "uri": "minio://kfdash/p/in", "metadata": {}, **artifact}]}},
        },
        "outputs": {
            "parameters": {"Output": {"outputFile": "/tmp/kfp/outputs/Output"}},
            "artifacts": {"out": {"artifacts": [{"name": "out", "uri": "minio://kfdash/p/r/t/u/out", "metadata": {}}]}},
            "outputFile": "/minio/kfdash/p/r/t/u/output_metadata.json",
        },
    }


def test_a_local_step_sees_plain_absolute_paths() -> None:
    before = executor_input()
    found = localise(before, DIR, outputs_dir="/step/out")
    assert found["inputs"]["artifacts"]["in"]["artifacts"][0]["uri"] == "/data/artifacts/kfdash/p/in"
    assert found["outputs"] == {
        "parameters": {"Output": {"outputFile": "/step/out/Output"}},
        "artifacts": {"out": {"artifacts": [{"name": "out", "uri": "/data/artifacts/kfdash/p/r/t/u/out", "metadata": {}}]}},
        "outputFile": "/data/artifacts/kfdash/p/r/t/u/output_metadata.json",
    }
    assert before == executor_input()


def test_an_input_of_another_store_keeps_its_uri_and_lies_where_it_was_fetched_to() -> None:
    found = localise(executor_input(uri="gs://b/k"), DIR, outputs_dir="/o", fetched={"gs://b/k": "/fetched/k"})
    assert found["inputs"]["artifacts"]["in"]["artifacts"][0] == {
        "name": "1",
        "uri": "gs://b/k",
        "metadata": {},
        "customPath": "/fetched/k",
    }


def test_the_makers_custom_path_is_not_the_readers() -> None:
    found = localise(executor_input(customPath="/tmp/maker"), DIR, outputs_dir="/o")
    assert "customPath" not in found["inputs"]["artifacts"]["in"]["artifacts"][0]


def test_the_workspace_is_a_folder_here() -> None:
    given = executor_input(metadata={"_kfp_workspace": True, "k": 1})
    found = localise(given, DIR, outputs_dir="/o", workspace_dir="/ws/r")
    artifact = found["inputs"]["artifacts"]["in"]["artifacts"][0]
    assert artifact["customPath"] == "/ws/r/.artifacts/minio/kfdash/p/in"
    assert artifact["metadata"] == {"k": 1}
    assert found["inputs"]["parameterValues"] == {"where": "/ws/r/x", "other": "/kfp-workspaces"}


def test_values_are_moved_into_the_workspace_and_back() -> None:
    value = {"a": ["/kfp-workspace", "see /kfp-workspace/x and /kfp-workspace-2"], "n": 1}
    moved = workspace_moved(value, "/ws/r")
    assert moved == {"a": ["/ws/r", "see /ws/r/x and /kfp-workspace-2"], "n": 1}
    assert workspace_moved(moved, "/ws/r", back=True) == value


def test_outputs_in_another_store_are_refused() -> None:
    given = executor_input()
    given["outputs"]["artifacts"] = {}
    given["outputs"]["outputFile"] = "/gcs/bucket/t/output_metadata.json"
    with pytest.raises(UnsafeLocation, match="pipeline root"):
        localise(given, DIR, outputs_dir="/o")


def test_an_output_file_cannot_climb_out() -> None:
    given = executor_input()
    given["outputs"]["outputFile"] = "/minio/kfdash/../../etc/output_metadata.json"
    with pytest.raises(UnsafeLocation):
        localise(given, DIR, outputs_dir="/o")


def test_what_must_be_fetched_is_listed_once() -> None:
    given = executor_input()
    given["inputs"]["artifacts"]["many"] = {
        "artifacts": [
            {"uri": "gs://b/k"},
            {"uri": "https://example.org/x"},
            {"uri": "gs://b/k"},
            {"uri": "oci://x/y"},
            {"uri": "minio://other/k"},
            {"uri": "s3://b/w", "metadata": {"_kfp_workspace": True}},
        ]
    }
    assert inputs_elsewhere(given) == ("gs://b/k", "https://example.org/x", "minio://other/k")
    assert inputs_in_workspace(given, "/ws") == {"s3://b/w": "/ws/.artifacts/s3/b/w"}


def test_a_step_in_a_container_gets_plain_paths_for_what_lies_in_our_own_store() -> None:
    uri, path = "minio://kfdash/root/data", "/minio/kfdash/root/data"
    given = {
        "inputs": {
            "artifacts": {
                "own": {"artifacts": [{"uri": uri, "customPath": "/where/its/maker/wrote"}]},
                "bucket": {"artifacts": [{"uri": "s3://bucket/data"}]},
                "image": {"artifacts": [{"uri": "oci://models/one:1", "customPath": "/kept"}]},
            }
        },
        "outputs": {"artifacts": {"made": {"artifacts": [{"uri": uri}]}}},
    }
    seen = in_container(given)
    assert seen["inputs"]["artifacts"]["own"]["artifacts"] == [{"uri": path}]
    assert seen["inputs"]["artifacts"]["bucket"] == given["inputs"]["artifacts"]["bucket"]
    assert seen["inputs"]["artifacts"]["image"] == given["inputs"]["artifacts"]["image"]
    assert seen["outputs"]["artifacts"]["made"]["artifacts"] == [{"uri": path}]
    assert out_of_container(path) == uri
    assert out_of_container("s3://bucket/data") == "s3://bucket/data"
    assert given["inputs"]["artifacts"]["own"]["artifacts"][0]["uri"] == uri
