"""The launcher and `entry` carry a step out together, whatever happens to one of them meanwhile."""

from __future__ import annotations

import json
import pathlib
import signal
import time
from typing import Any

import pytest

from tests.launcher.pod import ROOT, TOKEN, Intake, Pod, order
from tests.running import wait_for

NUMBER = {"output_parameters": {"number": "NUMBER_INTEGER"}}
MODEL = {"output_artifacts": {"model": "system.Model"}}
TWO_LINES = [("o", "line 1"), ("o", "line 2")]


@pytest.fixture
def run(tmp_path: pathlib.Path, entry_program: pathlib.Path):
    """Runs a script of the shell as a step; what intake was told."""

    def start(script: str, files: Any = None, **more: Any) -> Pod:
        command = [
            "sh",
            "-c",
            script,
            "sh",
            "{{$.outputs.parameters['number'].output_file}}",
            "{{$.outputs.artifacts['model'].path}}",
        ]
        return Pod(tmp_path, entry_program, Intake(order(command, tmp_path, **more), files))

    return start


def test_a_step_gives_its_outputs_and_its_log(run: Any) -> None:
    script = 'echo line 1; echo line 2; echo oh >&2; printf 42 > "$1"; mkdir -p "$2/deep"; echo a > "$2/deep/a"; echo b > "$2/b"'
    with run(script, **NUMBER, **MODEL) as pod:
        assert pod.end() == 0
        [result] = pod.intake.results
        assert (result["state"], result["exitCode"], result["outputs"]["parameters"]) == ("succeeded", 0, {"number": 42})
        assert result["outputs"]["artifacts"]["model"][0]["uri"] == f"{ROOT}/model"
        assert pod.intake.stored == {(f"{ROOT}/model", "deep/a"): b"a\n", (f"{ROOT}/model", "b"): b"b\n"}
        assert [line for line in pod.intake.lines() if line[0] == "o"] == TWO_LINES
        assert ("e", "oh") in pod.intake.lines()
        assert result["peakMemory"] > 0 and result["times"]["starting"] <= result["times"]["running"] <= result["times"]["finished"]
        assert pod.intake.tokens == {f"Bearer {TOKEN}"}


def test_a_step_is_told_to_run_only_once_its_container_is_there(tmp_path: pathlib.Path, entry_program: pathlib.Path) -> None:
    pod = Pod(tmp_path, entry_program, Intake(order(["true"], tmp_path)))
    (pod.volume / "bin").mkdir(parents=True)
    pod.start_launcher()
    assert wait_for(lambda: (pod.volume / "step/plan").exists())
    time.sleep(0.3)
    assert pod.intake.progress == []
    assert pod.launcher
    pod.launcher.kill()
    pod.launcher.wait()
    (tmp_path / "other").mkdir()
    with Pod(tmp_path / "other", entry_program, Intake(order(["sleep", "0.3"], tmp_path))) as begun:
        assert begun.end() == 0
        assert begun.intake.progress == ["running"]


def test_an_output_that_is_a_file_is_stored_as_one(run: Any) -> None:
    with run('echo content > "$2"; chmod 600 "$2"', **MODEL) as pod:
        assert pod.end() == 0
        assert pod.intake.stored == {(f"{ROOT}/model", ""): b"content\n"}


def test_an_output_without_a_file_is_registered_all_the_same(run: Any) -> None:
    with run("true", **MODEL) as pod:
        assert pod.end() == 0
        assert pod.intake.results[0]["outputs"]["artifacts"]["model"][0]["uri"] == f"{ROOT}/model"
        assert pod.intake.stored == {}


@pytest.mark.parametrize(
    ("script", "code", "reason", "cause"),
    [
        ("echo why >&2; exit 3", 3, "Exit code 3: why", "exit-code"),
        ("kill -SEGV $$", 139, "Ended by SIGSEGV (a crash in native code)", "signal"),
    ],
)
def test_a_step_that_fails_says_why(run: Any, script: str, code: int, reason: str, cause: str) -> None:
    with run(script, **MODEL) as pod:
        assert pod.end() == code
        [result] = pod.intake.results
        assert (result["state"], result["reason"], result["cause"], result["exitCode"]) == ("failed", reason, cause, code)
        assert pod.intake.stored == {}


def test_a_program_that_the_image_does_not_have_is_named(tmp_path: pathlib.Path, entry_program: pathlib.Path) -> None:
    with Pod(tmp_path, entry_program, Intake(order(["no-such-program"], tmp_path))) as pod:
        assert pod.end() == 127
        [result] = pod.intake.results
        assert result["state"] == "failed" and "no-such-program" in result["reason"] and result["cause"] == "not-found"


def test_a_time_limit_is_kept(run: Any) -> None:
    with run("sleep 60", timeout=0.3) as pod:
        assert pod.end() == 124
        assert pod.intake.results[0]["reason"] == "Took longer than its limit of 0.3 s"


def test_a_step_that_is_asked_to_end_was_stopped(run: Any) -> None:
    with run("trap 'exit 7' TERM; echo line 1; sleep 60 & wait") as pod:
        assert wait_for(lambda: b"line 1" in pod.intake.log)
        pod.entry.send_signal(signal.SIGTERM)
        assert pod.end() == 7
        assert pod.intake.results[0]["state"] == "stopped"


def test_an_output_that_was_not_written_fails_the_step(run: Any) -> None:
    with run("true", **NUMBER) as pod:
        pod.end()
        [result] = pod.intake.results
        assert result["state"] == "failed" and result["reason"].startswith("The output 'number' was not written")


def test_inputs_are_in_place_before_the_step_begins(tmp_path: pathlib.Path, entry_program: pathlib.Path) -> None:
    folder, file, custom = "minio://kfdash/in/folder", "minio://kfdash/in/file", "minio://kfdash/in/custom"
    artifacts = {
        "folder": {"artifacts": [{"name": "1", "uri": folder}]},
        "file": {"artifacts": [{"name": "2", "uri": file}]},
        "custom": {"artifacts": [{"name": "3", "uri": custom, "customPath": "/its/maker/wrote/here"}]},
    }
    names = [f"{{{{$.inputs.artifacts['{name}'].path}}}}" for name in artifacts]
    command = ["sh", "-c", 'cat "$1/a" "$1/deep/b" "$2" "$3"', "sh", *names]
    files = {folder: {"a": b"A\n", "deep/b": b"B\n"}, file: {"": b"file\n"}, custom: {"": b"custom\n"}}
    with Pod(tmp_path, entry_program, Intake(order(command, tmp_path, inputs={"artifacts": artifacts}), files)) as pod:
        assert pod.end() == 0, pod.intake.lines()
        assert [text for _, text in pod.intake.lines()] == ["A", "B", "file", "custom"]


def test_an_input_that_is_gone_fails_the_step_before_it_begins(tmp_path: pathlib.Path, entry_program: pathlib.Path) -> None:
    uri = "minio://kfdash/in/gone"
    made = order(
        ["touch", str(tmp_path / "ran")], tmp_path, inputs={"artifacts": {"x": {"artifacts": [{"name": "1", "uri": uri}]}}}
    )
    with Pod(tmp_path, entry_program, Intake(made, {uri: {}})) as pod:
        assert pod.end() == 125
        assert pod.intake.results[0]["reason"] == f"There is nothing at {uri}."
        assert not (tmp_path / "ran").exists()


def test_custom_paths_are_copied_out(tmp_path: pathlib.Path, entry_program: pathlib.Path) -> None:
    custom = tmp_path / "somewhere/model"
    said = json.dumps({"artifacts": {"model": {"artifacts": [{"name": "model", "customPath": str(custom)}]}}})
    script = f"mkdir -p {custom.parent}; echo content > {custom}; printf '%s' '{said}' > {tmp_path}/outputs/executor.json"
    with Pod(tmp_path, entry_program, Intake(order(["sh", "-c", script], tmp_path, **MODEL))) as pod:
        assert pod.end() == 0, pod.intake.results
        assert pod.intake.stored == {(f"{ROOT}/model", ""): b"content\n"}


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.15, 0.3, 0.6])
def test_a_launcher_that_is_killed_goes_on_where_it_was(run: Any, moment: float) -> None:
    script = 'for i in 1 2 3 4 5 6; do echo line $i; sleep 0.05; done; printf 42 > "$1"; echo content > "$2"'
    with run(script, **NUMBER, **MODEL) as pod:
        time.sleep(moment)
        pod.restart_launcher()
        assert pod.end() == 0
        assert {json.dumps(result["outputs"]["parameters"]) for result in pod.intake.results} == {'{"number": 42}'}
        assert pod.intake.lines() == [("o", f"line {n}") for n in range(1, 7)]


def test_answers_that_are_lost_are_asked_for_again(run: Any) -> None:
    pod = run('echo line 1; echo line 2; printf 42 > "$1"; echo content > "$2"', **NUMBER, **MODEL)
    pod.intake.lost = ["/v1/order", "/v1/log", "/v1/uploads", "/v1/artifact", "/v1/result"]
    with pod:
        assert pod.end() == 0
        assert pod.intake.results[-1]["outputs"]["parameters"] == {"number": 42}
        assert pod.intake.lines() == TWO_LINES


def test_an_attempt_that_is_over_is_not_run(run: Any, tmp_path: pathlib.Path) -> None:
    pod = run(f"touch {tmp_path}/ran")
    pod.intake.refuse["/v1/order"] = (410, "The attempt was stopped.")
    with pod:
        assert pod.end() == 125
        assert not (tmp_path / "ran").exists()
        assert b"The attempt was stopped." in pod.entry.stdout.read()


def test_a_launcher_that_is_started_again_asks_as_one_whose_step_has_begun(run: Any) -> None:
    """Else what the step has stored already would be cleared away, perhaps under the eyes of the next step."""
    with run("echo line 1; sleep 0.4") as pod:
        assert wait_for(lambda: b"line 1" in pod.intake.log)
        pod.restart_launcher()
        assert pod.end() == 0
        assert pod.intake.asked == ["", "begun=1"]


def test_a_launcher_ends_by_itself_once_the_steps_container_has(run: Any) -> None:
    with run("echo line 1") as pod:
        assert pod.entry.wait(20) == 0
        assert pod.launcher.wait(5) == 0
        assert pod.intake.lines() == [("o", "line 1")]


def test_a_launcher_stays_while_the_steps_container_does(run: Any) -> None:
    with run("true") as pod:
        assert wait_for((pod.volume / "step/ended").exists)
        pod.entry.send_signal(signal.SIGSTOP)
        assert wait_for((pod.volume / "step/collected").exists)
        time.sleep(0.3)
        assert pod.launcher.poll() is None
        pod.entry.send_signal(signal.SIGCONT)
        assert pod.launcher.wait(5) == 0


def test_the_rest_of_the_log_is_sent_when_the_attempt_is_over(run: Any) -> None:
    with run("echo line 1; sleep 0.4; echo line 2") as pod:
        assert wait_for(lambda: b"line 1" in pod.intake.log)
        pod.launcher.kill()
        pod.launcher.wait()
        assert wait_for((pod.volume / "step/ended").exists)
        pod.intake.refuse["/v1/order"] = (410, "The attempt is over.")
        pod.start_launcher()
        assert pod.end() == 0
        assert pod.intake.lines() == TWO_LINES


def test_an_intake_that_is_away_for_a_while_costs_nothing(run: Any) -> None:
    with run('echo line 1; sleep 0.2; echo line 2; printf 42 > "$1"; echo content > "$2"', **NUMBER, **MODEL) as pod:
        assert wait_for(lambda: b"line 1" in pod.intake.log)
        pod.intake.away = True
        assert wait_for((pod.volume / "step/ended").exists)
        assert pod.entry.poll() is None
        pod.intake.away = False
        assert pod.end() == 0
        assert pod.intake.results[-1]["outputs"]["parameters"] == {"number": 42}
        assert pod.intake.lines() == TWO_LINES


SECRET = "only the launcher may read this"  # noqa: S105


@pytest.fixture
def secret(tmp_path: pathlib.Path) -> pathlib.Path:
    """A file that lies elsewhere."""
    (tmp_path / "secret").mkdir()
    file = tmp_path / "secret/token"
    file.write_text(SECRET)
    return file


def test_a_parameter_that_is_a_link_is_not_followed(run: Any, secret: pathlib.Path) -> None:
    with run(f'ln -s {secret} "$1"', output_parameters={"number": "STRING"}) as pod:
        pod.end()
        [result] = pod.intake.results
        assert result["state"] == "failed" and "it is a link that leads elsewhere" in result["reason"]
        assert SECRET not in json.dumps(result)


def test_links_within_an_artifact_are_followed_as_far_as_they_stay_there(run: Any, secret: pathlib.Path) -> None:
    script = f'mkdir -p "$2"; echo a > "$2/a"; ln -s a "$2/b"; ln -s {secret} "$2/c"; ln -s {secret.parent} "$2/d"'
    with run(script, **MODEL) as pod:
        assert pod.end() == 0
        assert pod.intake.stored == {(f"{ROOT}/model", "a"): b"a\n", (f"{ROOT}/model", "b"): b"a\n"}


def test_an_artifact_that_is_a_link_is_what_the_step_sees_there(run: Any, tmp_path: pathlib.Path) -> None:
    """The launcher would look for it in its own image: `entry` copies it, with the rights of the step."""
    script = f'mkdir -p {tmp_path}/elsewhere; echo a > {tmp_path}/elsewhere/a; ln -s {tmp_path}/elsewhere "$2"'
    with run(script, **MODEL) as pod:
        assert pod.end() == 0
        assert pod.intake.stored == {(f"{ROOT}/model", "a"): b"a\n"}
        assert (tmp_path / "kfdash/out/0/a").exists()


def test_segments_of_the_log_are_not_taken_from_elsewhere(tmp_path: pathlib.Path, run: Any, secret: pathlib.Path) -> None:
    secret.write_text(f"1 o {SECRET}\n")
    log = tmp_path / "kfdash/log"
    with run(f"ln -s {secret} {log}/000000000009.log; sleep 0.2; exit 3") as pod:
        assert pod.end(60) == 3
        assert SECRET not in pod.intake.log.decode() + json.dumps(pod.intake.results)


@pytest.mark.parametrize(
    ("answer", "sentence", "told"),
    [
        (b"<html>Welcome</html>", "is not kfdash: KFDASH_LAUNCHER_URL leads elsewhere.", False),
        ([], "KFDASH_IMAGE is not of the version of kfdash that runs.", True),
        ({"order": {"name": "step-1", "of": "another version"}}, "KFDASH_IMAGE is not of the version of kfdash that runs.", True),
    ],
)
def test_an_order_that_is_none_is_not_carried_out(run: Any, answer: Any, sentence: str, told: bool) -> None:
    pod = run("true")
    pod.intake.instead["/v1/order"] = answer
    with pod:
        assert pod.end() == 125
        assert sentence in pod.entry.stdout.read().decode()
        assert [sentence in result["reason"] for result in pod.intake.results] == [True] * told


@pytest.mark.parametrize("answer", [{"urls": []}, {"urls": [1]}, {}, [], b"<html>"])
def test_addresses_that_are_none_fail_the_step(run: Any, answer: Any) -> None:
    pod = run('echo content > "$2"', **MODEL)
    pod.intake.instead["/v1/uploads"] = answer
    with pod:
        assert pod.end() == 0
        assert pod.intake.results[0]["reason"].startswith("Its outputs could not be stored: ")
