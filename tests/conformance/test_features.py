"""Features and traps of KFP's language that its own test pipelines lack, compiled with the SDK and run as a user would."""

from __future__ import annotations

import functools
import http.server
import json
import pathlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance.caching import Compiled, compare_caching
from tests.conformance.conftest import Launcher, Passes
from tests.conformance.expected.model import Expected
from tests.conformance.seen import Seen
from tests.running import wait_for

pytest.importorskip("kfp", reason="the pipelines are compiled with the KFP SDK")

from tests.conformance.features import FEATURES, artifacts, by_hand, endings, values  # noqa: E402
from tests.conformance.features.feature import Feature  # noqa: E402

pytestmark = pytest.mark.conformance
ALL = [pytest.param(name, one.expected, one, id=name) for name, one in FEATURES.items()]


@pytest.mark.parametrize(("name", "expected", "feature"), ALL)
def test_the_feature_does_what_the_language_says(name: str, expected: Expected, feature: Feature, passes: Passes) -> None:
    seen = passes[name].result()
    for one in seen:
        expected.compare(one)
    assert "<svg" in seen[-1].api.text(f"/runs/{seen[-1].run_id}/")


@pytest.mark.parametrize(("name", "expected", "feature"), [one for one in ALL if one.values[1].passes > 1])
def test_what_can_come_from_the_cache_does(
    name: str, expected: Expected, feature: Feature, passes: Passes, tmp_path: pathlib.Path
) -> None:
    package = tmp_path / "pipeline.yaml"
    feature.compile_to(package)
    compare_caching(passes[name].result(), Compiled(package), expected)


@pytest.fixture
def served(tmp_path: pathlib.Path) -> Iterator[str]:
    """The address of a file on a small web server."""
    (tmp_path / "data.txt").write_text("served")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/data.txt"
        server.shutdown()


def test_importers_register_once_or_anew_and_their_files_are_fetched_over_http(
    launcher: Launcher, served: str, tmp_path: pathlib.Path
) -> None:
    package = tmp_path / "imports.yaml"
    artifacts.IMPORTS.compile_to(package)
    expected = replace(artifacts.IMPORTS.expected, arguments={"uri": served})
    seen = launcher.passes(package, expected)
    for one in seen:
        expected.compare(one)
    found = [one.artifacts("importer", "artifact")[0]["artifact_id"] for one in seen]
    anew = [one.artifacts("importer-2", "artifact")[0]["artifact_id"] for one in seen]
    assert len(set(found)) == 1 and len(set(anew)) == 3


def test_an_import_into_the_workspace_is_found_there(launcher: Launcher, served: str, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "workspace.yaml"
    artifacts.IMPORTS_INTO_THE_WORKSPACE.compile_to(package)
    expected = replace(artifacts.IMPORTS_INTO_THE_WORKSPACE.expected, arguments={"uri": served})
    for one in launcher.passes(package, expected):
        expected.compare(one)


def test_what_cannot_be_imported_fails_its_reader_with_the_reason(launcher: Launcher, served: str, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "imports.yaml"
    artifacts.IMPORTS.compile_to(package)
    seen = launcher.wait(launcher.launch({"uri": served + ".missing"}, **launcher.upload(package)))
    assert seen.state == "FAILED" and "404" in seen.tasks["read"]["reason"], seen.story


def test_an_older_component_runs_as_a_pipeline_of_one_step(launcher: Launcher, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "older.yaml"
    Feature(by_hand.OLDER_COMPONENT, Expected(ran=None)).compile_to(package)
    seen = launcher.wait(launcher.launch({"a": 5}, **launcher.upload(package)))
    Expected(ran={"old-adder": 1}, values={"old-adder.sum": 7, ".sum": 7}, printed={"old-adder": ["5 + 2"]}).compare(seen)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"secretAsEnv": [{"secretName": "s", "keyToEnv": [{"secretKey": "k", "envVar": "E"}]}]}, "secret"),
        ({"secretAsVolume": [{"secretName": "s", "mountPath": "/s"}]}, "secret"),
        ({"configMapAsEnv": [{"configMapName": "c", "keyToEnv": [{"configMapKey": "k", "envVar": "E"}]}]}, "config map"),
        ({"pvcMount": [{"constant": "claim", "mountPath": "/data"}]}, "claim"),
    ],
    ids=("secret-env", "secret-volume", "config-map", "claim"),
)
def test_what_needs_a_cluster_is_refused_at_launch_with_a_sentence(
    settings: dict[str, Any], words: str, launcher: Launcher, tmp_path: pathlib.Path
) -> None:
    package = tmp_path / "settings.yaml"
    platform = {"deploymentSpec": {"executors": {"exec-say": settings}}}
    Feature(by_hand.ONE_STEP, Expected(ran=None), platform=platform).compile_to(package)
    assert words in _refusal(launcher, {}, **launcher.upload(package)).lower()


def test_what_only_affects_placement_is_run_all_the_same(launcher: Launcher, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "placement.yaml"
    settings = {
        "nodeSelector": {"labels": {"disk": "fast"}},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "imagePullPolicy": "Always",
        "podMetadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        "imagePullSecret": [{"secretName": "s"}],
    }
    platform = {"deploymentSpec": {"executors": {"exec-say": settings}}}
    expected = Expected(ran={"say": 1}, printed={"say": ["hello"]}, passes=1)
    Feature(by_hand.ONE_STEP, expected, platform=platform).compile_to(package)
    for one in launcher.passes(package, expected):
        expected.compare(one)


def test_a_value_that_is_no_choice_is_refused_with_a_sentence(launcher: Launcher, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "literals.yaml"
    values.FEATURES["literal-choices"].compile_to(package)
    source = launcher.upload(package)
    for arguments in ({"mode": "medium"}, {"level": 3}, {"mode": 1}, {"unknown": 1}):
        answer = _refusal(launcher, arguments, **source)
        assert next(iter(arguments)) in answer, answer


def test_a_step_with_a_cache_key_comes_from_the_cache_whatever_it_is_given(launcher: Launcher, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "by-key.yaml"
    Feature(values.cached_by_key, Expected(ran=None)).compile_to(package)
    source = launcher.upload(package)
    first, second = (launcher.wait(launcher.launch({"s": text}, **source)) for text in ("one", "two"))
    assert (first.value("echo", "Output"), second.value("echo", "Output")) == ("one", "one")
    assert (first.value("echo-2", "Output"), second.value("echo-2", "Output")) == ("one", "two")
    assert second.is_cached("echo") and not second.is_cached("echo-2")


def test_macros_in_arguments_are_expanded_and_defaults_are_not(launcher: Launcher, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "macros.yaml"
    Feature(values.said_again, Expected(ran=None)).compile_to(package)
    arguments = {"s": "run [[RunUUID]] at [[CurrentTime]]", "d": {"inside": ["[[RunUUID]]"]}}
    seen = launcher.wait(launcher.launch(arguments, **launcher.upload(package)))
    words = seen.value("echo", "Output").split()
    assert words[1] == seen.run_id and len(words[3]) == 14 and words[3].isdigit()
    assert seen.value("echo-2", "Output") == "[[RunUUID]]"


def test_outputs_lie_under_the_root_that_was_asked_for(launcher: Launcher, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "root.yaml"
    artifacts.FEATURES["artifacts-on-command-lines"].compile_to(package)
    place = "minio://kfdash/another/place"
    run_id = launcher.launch({}, pipeline_root=place, pipeline_package_path=str(package), enable_caching=False)
    seen = launcher.wait(run_id)
    (artifact,) = seen.artifacts("labelled-2", "out")
    assert seen.state == "SUCCEEDED", seen.story
    assert artifact["uri"].startswith(f"{place}/artifacts-on-command-lines/{run_id}/labelled-2/")


def test_a_stopped_run_ends_its_steps_and_still_runs_its_exit_task(launcher: Launcher, tmp_path: pathlib.Path) -> None:
    package = tmp_path / "stopped.yaml"
    Feature(endings.stopped_run, Expected(ran=None)).compile_to(package)
    run_id = launcher.launch({}, **launcher.upload(package))
    path = "exit-handler-1/slept"
    assert wait_for(lambda: Seen(launcher.api, run_id).tasks.get(path, {}).get("state") == "RUNNING", 30)
    launcher.client.terminate_run(run_id)
    seen = launcher.wait(run_id, 60)
    assert seen.state == "FAILED" and "stopped" in seen.run["error"]["message"]
    assert seen.tasks[""]["state"] == "CANCELED" and seen.tasks[path]["state"] == "CANCELED"
    assert seen.tasks["exit-handler-1/said-2"]["state"] == "CANCELED"
    assert seen.tasks["said"]["state"] == "SUCCEEDED" and seen.printed("said") == ["at the end"], seen.story


def _refusal(launcher: Launcher, arguments: dict[str, Any], **source: str) -> str:
    import kfp_server_api  # noqa: PLC0415 (an optional package)

    with pytest.raises(kfp_server_api.ApiException) as refused:
        launcher.launch(arguments, **source)
    assert refused.value.status == 400
    return str(json.loads(refused.value.body)["message"])
