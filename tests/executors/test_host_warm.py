"""A step forked from a warm interpreter sees, does and leaves what its command would have."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from pipelines.spec.model import ParameterType
from runs import logstore
from runs.engine.model import AttemptFailed, AttemptSucceeded, Values
from runs.executors.local.executor import LocalExecutor
from tests.executors.hosting import RunningHost, running_host
from tests.executors.lightweight import COLD, step
from tests.executors.steps import (
    add,
    fail,
    install,
    leave,
    leave_open,
    look_around,
    many_lines,
    randomness,
    slow,
    train,
    use,
    use_processes,
    variables,
)
from tests.executors.watching import Watcher, key_of

TEXT = {"Output": ParameterType.STRING}


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host(environment={"KFDASH_SECRET_KEY": "hush", "DJANGO_SETTINGS_MODULE": "x", "MY_TOKEN": "secret"}) as host:
        yield host


@pytest.fixture(scope="module")
def watcher(host: RunningHost) -> Watcher:
    watcher = Watcher(LocalExecutor(host.socket), 60)
    watcher.ready()
    return watcher


def run(watcher, function, parameters=None, **options):
    """Runs a component; returns its end and what was told."""
    made = step(function, parameters, **options)
    watcher.executor.start([made])
    return watcher.end_of(made), watcher.log_of(made)


def both(watcher, function, parameters=None, **options):
    """Runs a component warm and from a new interpreter."""
    return run(watcher, function, parameters, **options), run(watcher, function, parameters, env=COLD, **options)


def own(told, stream="o"):
    """What the component itself printed: the executor's own lines are left out."""
    return [text for text in told.texts(stream) if text.startswith("> ")]


def test_a_component_computes(watcher):
    end, _ = run(watcher, add, {"a": 1, "b": 2}, outputs={"Output": ParameterType.NUMBER_INTEGER})
    assert isinstance(end, AttemptSucceeded), end
    assert end.outputs.parameters == {"Output": 3}
    assert end.peak_memory and end.peak_memory > 5_000_000


def test_artifacts_are_files_with_metadata_and_reach_the_next_step(watcher, host):
    kinds = {"model": "system.Model", "scores": "system.Metrics"}
    end, told = run(watcher, train, {"rows": 3}, artifacts=kinds, outputs={"notes": ParameterType.STRING})
    assert isinstance(end, AttemptSucceeded), told.texts("e")
    [model], [scores] = end.outputs.artifacts["model"], end.outputs.artifacts["scores"]
    assert model["uri"].startswith("minio://kfdash/") and model["metadata"] == {"framework": "by hand"}
    assert model["custom_path"] == ""
    assert scores["metadata"] == {"accuracy": 0.5}
    assert end.outputs.parameters == {"notes": "trained on 3 rows"}
    assert (host.artifacts / model["uri"].removeprefix("minio://")).read_text() == '{"rows": 3}'
    end, told = run(watcher, use, inputs=Values(artifacts={"model": [{**model, "id": 4}]}), outputs=TEXT)
    assert isinstance(end, AttemptSucceeded), told.texts("e")
    assert end.outputs.parameters == {"Output": '{"rows": 3} by hand True'}


def test_it_sees_the_same(watcher):
    (warm, _), (cold, _) = both(watcher, look_around, outputs=TEXT)
    assert isinstance(warm, AttemptSucceeded), warm
    assert isinstance(cold, AttemptSucceeded), cold
    first, second = json.loads(warm.outputs.parameters["Output"]), json.loads(cold.outputs.parameters["Output"])
    first.pop("group"), second.pop("group")
    assert first == second


def test_the_server_s_environment_is_not_the_step_s(watcher):
    (warm, _), (cold, _) = both(watcher, variables, outputs=TEXT)
    first, second = json.loads(warm.outputs.parameters["Output"]), json.loads(cold.outputs.parameters["Output"])
    for found in (first, second):
        assert not [name for name in found if name.startswith(("KFDASH", "DJANGO", "MY_"))]
        assert "hush" not in str(found) and "secret" not in str(found)
        assert pathlib.Path(found["HOME"]).parts[-2:] == ("work", "home")
        assert "/environments/" in found["PATH"].split(":")[0]
        assert found["KFP_POD_NAME"]
    assert set(second) - set(first) <= {"PYTHONHASHSEED", "OLDPWD", "SHLVL", "_"}
    assert set(first) <= set(second)


def test_an_exception_is_told_with_its_traceback(watcher):
    (warm, told), (cold, other) = both(watcher, fail)
    assert isinstance(warm, AttemptFailed) and isinstance(cold, AttemptFailed)
    assert warm.reason == cold.reason == "Exit code 1: KeyError: 'petal_width'"
    assert warm.exit_code == 1

    def shape(lines):
        return [line.strip().split(" line ")[0].rsplit("/", 1)[-1] for line in lines]

    assert shape(told.texts("e")) == shape(other.texts("e"))
    assert "forkserver" not in " ".join(told.texts("e"))
    assert own(told) == own(other) == ["> before"]


@pytest.mark.parametrize("how", ["number", "text", "none", "large", "at once", "thread", "daemon", "signal"])
def test_it_ends_the_same(watcher, how):
    (warm, told), (cold, other) = both(watcher, leave, {"how": how})
    assert type(warm) is type(cold)
    if isinstance(warm, AttemptFailed):
        assert isinstance(cold, AttemptFailed)
        assert (warm.exit_code, warm.reason, warm.cause) == (cold.exit_code, cold.reason, cold.cause)
    assert own(told) == own(other)
    assert own(told, "e") == own(other, "e")


def test_what_it_leaves_open_is_written(watcher, tmp_path):
    for name, env in (("cold", COLD), ("warm", ())):
        end, _ = run(watcher, leave_open, {"path": str(tmp_path / name)}, env=env)
        assert isinstance(end, AttemptSucceeded)
        assert (tmp_path / name).read_text() == "in a global, "
        assert (tmp_path / f"{name}2").read_text() == "in a ring", name


def test_it_may_use_processes_of_its_own(watcher):
    end, told = run(watcher, use_processes, outputs={"Output": ParameterType.NUMBER_INTEGER})
    assert isinstance(end, AttemptSucceeded), told.texts("e")
    assert end.outputs.parameters == {"Output": 116}


def test_what_it_installs_itself_is_its_own(watcher):
    end, told = run(watcher, install, outputs=TEXT)
    assert isinstance(end, AttemptSucceeded), told.texts("e")
    assert "site" in pathlib.Path(end.outputs.parameters["Output"]).parts


def test_each_has_randomness_of_its_own(watcher):
    kinds = {"Output": ParameterType.NUMBER_DOUBLE}
    values = {run(watcher, randomness, outputs=kinds)[0].outputs.parameters["Output"] for _ in range(5)}
    assert len(values) == 5


def test_what_is_printed_is_seen_at_once(watcher):
    made = step(slow)
    watcher.executor.start([made])
    watcher.until(made, lambda told: "> first" in told.texts("o"), "the first line")
    watcher.executor.stop([key_of(made)], grace=0)
    watcher.end_of(made)


def test_a_hundred_thousand_lines_are_all_there(watcher, host):
    made = step(many_lines)
    watcher.executor.start([made])
    end = watcher.end_of(made)
    assert isinstance(end, AttemptSucceeded)
    assert sum(line.text.startswith("epoch") for line in logstore.iterate(host.logs / made.log)) == 120_000
