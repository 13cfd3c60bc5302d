"""What every executor does, as tests: subclass `ExecutorContract` (and `ProcessContract`) and give the fixture `executor`.

Written with pods in mind: nothing is assumed about shared file systems or about speed (`patience` is how long to wait).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar

import pytest

from pipelines.spec.model import ParameterType
from runs.engine.model import (
    AttemptFailed,
    AttemptLost,
    AttemptProgressed,
    AttemptStopped,
    AttemptSucceeded,
    Phase,
    Values,
)
from runs.executors.base import AttemptOrder, Executor
from tests.executors.watching import Act, Exit, Give, OnStop, Say, Sleep, Watcher, key_of, order

LONG = 600.0  # seconds of a step that is not meant to end by itself


class ExecutorContract:
    """For every executor. Override `make` where a shell script is not what it runs."""

    patience: ClassVar[float] = 30.0

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        """The executor, closed at the end."""
        raise NotImplementedError

    @pytest.fixture
    def watcher(self, executor: Executor) -> Iterator[Watcher]:
        """Whoever hears what the executor tells."""
        watcher = Watcher(executor, self.patience)
        watcher.ready()
        yield watcher
        watcher.close()

    def make(self, executor: Executor, *acts: Act, **fields: object) -> AttemptOrder:
        """An order for a step that does these acts."""
        return order(*acts, **fields)  # type: ignore[arg-type]

    # --- ends ---

    def test_a_step_that_ends_well_succeeds(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, Say("hello"))
        assert executor.start([step]) == {}
        end = watcher.end_of(step)
        assert isinstance(end, AttemptSucceeded)
        assert end.at.tzinfo is not None
        assert end.running_at is not None and end.running_at <= end.at

    def test_the_phases_are_told_in_order(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, Sleep(0.3))
        executor.start([step])
        watcher.end_of(step)
        phases = [fact.phase for fact in watcher.told(step).facts if isinstance(fact, AttemptProgressed)]
        assert Phase.RUNNING in phases
        assert phases == sorted(phases, key=list(Phase).index)

    def test_an_exit_code_fails_the_attempt(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, Say("oh"), Exit(3))
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptFailed)
        assert (end.exit_code, end.cause, end.retryable) == (3, "exit-code", True)
        assert "3" in end.reason

    def test_the_end_is_told_once(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor)
        executor.start([step])
        watcher.log_of(step)
        assert len(watcher.told(step).ends) == 1

    def test_a_time_limit_fails_the_attempt(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, Say("begun"), Sleep(LONG), timeout=1.5)
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptFailed)
        assert end.cause == "timeout"

    # --- outputs ---

    @pytest.mark.parametrize(
        ("type", "text", "value"),
        [
            (ParameterType.STRING, "a 'b' \"c\"\n", "a 'b' \"c\"\n"),
            (ParameterType.NUMBER_INTEGER, " 42\n", 42),
            (ParameterType.NUMBER_DOUBLE, "2.5", 2.5),
            (ParameterType.BOOLEAN, "true", True),
            (ParameterType.LIST, '[1, "two"]', [1, "two"]),
            (ParameterType.STRUCT, '{"k": {"n": null}}', {"k": {"n": None}}),
        ],
    )
    def test_an_output_parameter_is_read_by_its_type(
        self, executor: Executor, watcher: Watcher, type: ParameterType, text: str, value: object
    ) -> None:
        step = self.make(executor, Give("Output", text), outputs={"Output": type})
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptSucceeded), end
        assert end.outputs.parameters == {"Output": value}

    def test_an_output_that_was_not_written_fails_the_attempt_by_name(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, outputs={"forgotten": ParameterType.STRING})
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptFailed)
        assert end.cause == "outputs"
        assert "'forgotten'" in end.reason

    def test_an_output_that_is_no_number_fails_the_attempt_by_name(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, Give("n", "many"), outputs={"n": ParameterType.NUMBER_INTEGER})
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptFailed)
        assert "'n'" in end.reason and "many" in end.reason

    def test_an_artifact_keeps_its_canonical_uri(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, artifacts={"model": "system.Model"})
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptSucceeded), end
        [model] = end.outputs.artifacts["model"]
        assert model["uri"] == step.executor_input["outputs"]["artifacts"]["model"]["artifacts"][0]["uri"]
        assert (model["id"], model["name"], model["type"]) == (0, "model", "system.Model")

    # --- doing nothing twice ---

    def test_a_repeated_start_does_nothing_twice(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, Say("once"), Sleep(0.5))
        executor.start([step])
        executor.start([step, step])
        told = watcher.log_of(step)
        executor.start([step])
        last = self.make(executor)
        executor.start([last])
        watcher.end_of(last)
        assert told.texts("o") == ["once"]
        assert len(watcher.told(step).ends) == 1

    def test_attempts_of_a_task_are_apart(self, executor: Executor, watcher: Watcher) -> None:
        first = self.make(executor, Exit(1), run_id="11111111-0000-4000-8000-00000000000a")
        second = self.make(executor, run_id="11111111-0000-4000-8000-00000000000a", number=2)
        assert first.name != second.name
        executor.start([first])
        assert isinstance(watcher.end_of(first), AttemptFailed)
        executor.start([second])
        assert isinstance(watcher.end_of(second), AttemptSucceeded)

    # --- logs ---

    def test_lines_come_in_order_with_their_streams(self, executor: Executor, watcher: Watcher) -> None:
        acts: list[Act] = []
        for number in range(5):
            acts += [Say(f"out {number}"), Sleep(0.1), Say(f"err {number}", "e"), Sleep(0.1)]
        step = self.make(executor, *acts)
        executor.start([step])
        told = watcher.log_of(step)
        assert told.texts("o") == [f"out {number}" for number in range(5)]
        assert told.texts("e") == [f"err {number}" for number in range(5)]
        assert [line.number for line in told.lines] == list(range(1, len(told.lines) + 1))
        assert [line.at for line in told.lines] == sorted(line.at for line in told.lines)
        mine = [line.stream for line in told.lines if line.stream in "oe"]
        assert mine == ["o", "e"] * 5

    def test_the_log_ends_once(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, Say("x"))
        executor.start([step])
        assert watcher.log_of(step).log_ended == 1

    def test_text_of_any_kind_comes_through(self, executor: Executor, watcher: Watcher) -> None:
        texts = ["", "  two spaces", "ünïcödé ✓ 漢字", "<script>alert(1)</script>", "x" * 3000]
        step = self.make(executor, *[Say(text) for text in texts])
        executor.start([step])
        assert watcher.log_of(step).texts("o") == texts

    # --- stop ---

    def test_a_stopped_step_may_say_goodbye(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, OnStop("goodbye"), Say("ready"), Sleep(LONG))
        executor.start([step])
        watcher.until(step, lambda told: "ready" in told.texts("o"), "the first line")
        executor.stop([key_of(step)], grace=10)
        assert isinstance(watcher.end_of(step), AttemptStopped)
        assert "goodbye" in watcher.log_of(step).texts("o")

    def test_a_step_that_ignores_the_stop_is_ended_after_the_grace_period(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, OnStop(None), Say("ready"), Sleep(LONG))
        executor.start([step])
        watcher.until(step, lambda told: "ready" in told.texts("o"), "the first line")
        executor.stop([key_of(step)], grace=1)
        assert isinstance(watcher.end_of(step), AttemptStopped)

    def test_a_forced_stop_is_not_asked(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, OnStop(None), Say("ready"), Sleep(LONG))
        executor.start([step])
        watcher.until(step, lambda told: "ready" in told.texts("o"), "the first line")
        executor.stop([key_of(step)], grace=0)
        assert isinstance(watcher.end_of(step), AttemptStopped)

    def test_a_graceful_stop_can_become_a_forced_one(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, OnStop(None), Say("ready"), Sleep(LONG))
        executor.start([step])
        watcher.until(step, lambda told: "ready" in told.texts("o"), "the first line")
        executor.stop([key_of(step)], grace=LONG)
        executor.stop([key_of(step)], grace=0)
        assert isinstance(watcher.end_of(step), AttemptStopped)

    def test_stopping_an_attempt_it_never_had_is_told_as_stopped(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor)
        executor.stop([key_of(step)], grace=5)
        assert isinstance(watcher.end_of(step), AttemptStopped)

    def test_stopping_what_has_ended_changes_nothing(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor)
        executor.start([step])
        watcher.end_of(step)
        executor.stop([key_of(step)], grace=0)
        [known] = executor.look([key_of(step)])
        assert isinstance(known.fact, AttemptSucceeded)

    # --- look and forget ---

    def test_look_tells_the_newest_phase(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, Sleep(LONG))
        executor.start([step])
        watcher.running(step)
        [known] = executor.look([key_of(step)])
        assert known.run_id == step.run_id
        assert isinstance(known.fact, AttemptProgressed) and known.fact.phase is Phase.RUNNING
        executor.stop([key_of(step)], grace=0)
        watcher.end_of(step)

    def test_look_tells_the_end_again(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor, Give("Output", "kept"), outputs={"Output": ParameterType.STRING})
        executor.start([step])
        end = watcher.end_of(step)
        [known] = executor.look([key_of(step)])
        assert known.fact == end

    def test_look_tells_that_an_unknown_attempt_is_lost(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor)
        [known] = executor.look([key_of(step)])
        assert isinstance(known.fact, AttemptLost)
        assert (known.fact.path, known.fact.number) == (step.path, step.number)

    def test_what_is_forgotten_is_unknown(self, executor: Executor, watcher: Watcher) -> None:
        step = self.make(executor)
        executor.start([step])
        watcher.end_of(step)
        executor.forget([key_of(step)])
        executor.forget([key_of(step)])
        [known] = executor.look([key_of(step)])
        assert isinstance(known.fact, AttemptLost)

    # --- many ---

    def test_many_at_once_all_end(self, executor: Executor, watcher: Watcher) -> None:
        steps = [self.make(executor, Say(str(n)), *([Exit(n)] if n % 3 else [])) for n in range(20)]
        executor.start(steps)
        for number, step in enumerate(steps):
            end = watcher.end_of(step)
            assert isinstance(end, AttemptFailed if number % 3 else AttemptSucceeded), end
            assert watcher.log_of(step).texts("o") == [str(number)]

    def test_two_watchers_hear_the_same(self, executor: Executor, watcher: Watcher) -> None:
        other = Watcher(executor, self.patience)
        other.ready()
        step = self.make(executor, Say("both"))
        executor.start([step])
        assert watcher.end_of(step) == other.end_of(step)
        other.close()


class ProcessContract(ExecutorContract):
    """For executors that run real processes; scripts are POSIX shell."""

    def test_an_artifact_reaches_the_next_step(self, executor: Executor, watcher: Watcher) -> None:
        made = self._end(
            executor, watcher, "printf content > {{$.outputs.artifacts['data'].path}}", artifacts={"data": "system.Dataset"}
        )
        reader = order(
            script="cat {{$.inputs.artifacts['data'].path}} > {{$.outputs.parameters['text'].output_file}}",
            inputs=Values(artifacts={"data": [{**made.outputs.artifacts["data"][0], "id": 7}]}),  # type: ignore[list-item]
            outputs={"text": ParameterType.STRING},
        )
        executor.start([reader])
        end = watcher.end_of(reader)
        assert isinstance(end, AttemptSucceeded), end
        assert end.outputs.parameters == {"text": "content"}

    def test_a_folder_is_an_artifact_too(self, executor: Executor, watcher: Watcher) -> None:
        script = "d={{$.outputs.artifacts['tree'].path}}; mkdir -p $d/a/b; printf 1 > $d/a/b/one; printf 2 > $d/two"
        made = self._end(executor, watcher, script, artifacts={"tree": "system.Artifact"})
        reader = order(
            script="d={{$.inputs.artifacts['tree'].path}}; cat $d/a/b/one $d/two > {{$.outputs.parameters['text'].output_file}}",
            inputs=Values(artifacts={"tree": made.outputs.artifacts["tree"]}),
            outputs={"text": ParameterType.STRING},
        )
        executor.start([reader])
        end = watcher.end_of(reader)
        assert isinstance(end, AttemptSucceeded), end
        assert end.outputs.parameters == {"text": "12"}

    def test_a_custom_path_is_copied_to_the_artifact(self, executor: Executor, watcher: Watcher) -> None:
        output = json.dumps({"artifacts": {"data": {"artifacts": [{"custom_path": "PLACE/data", "metadata": {"rows": 3}}]}}})
        script = (
            "place=$(mktemp -d); printf custom > $place/data; out={{$.outputs.output_file}}; mkdir -p $(dirname $out); "
            f"printf '%s' '{output}' | sed \"s|PLACE|$place|\" > $out"
        )
        made = self._end(executor, watcher, script, artifacts={"data": "system.Dataset"})
        [value] = made.outputs.artifacts["data"]
        assert value["metadata"] == {"rows": 3}
        reader = order(
            script="cat {{$.inputs.artifacts['data'].path}} > {{$.outputs.parameters['text'].output_file}}",
            inputs=Values(artifacts={"data": [value]}),
            outputs={"text": ParameterType.STRING},
        )
        executor.start([reader])
        end = watcher.end_of(reader)
        assert isinstance(end, AttemptSucceeded), end
        assert end.outputs.parameters == {"text": "custom"}

    def test_the_executor_output_wins_over_the_file(self, executor: Executor, watcher: Watcher) -> None:
        script = (
            "out={{$.outputs.output_file}}; mkdir -p $(dirname $out); "
            """printf '{"parameterValues": {"x": 5}}' > $out; printf 6 > {{$.outputs.parameters['x'].output_file}}"""
        )
        end = self._end(executor, watcher, script, outputs={"x": ParameterType.NUMBER_INTEGER})
        assert end.outputs.parameters == {"x": 5}

    def test_what_a_failed_attempt_wrote_is_gone_for_the_next(self, executor: Executor, watcher: Watcher) -> None:
        run_id = "22222222-0000-4000-8000-00000000000b"
        fields = {"artifacts": {"a": "system.Artifact"}, "outputs": {"x": ParameterType.STRING}, "run_id": run_id}
        writes = "printf old > {{$.outputs.parameters['x'].output_file}}; printf old > {{$.outputs.artifacts['a'].path}}; exit 1"
        first = order(script=writes, **fields)  # type: ignore[arg-type]
        executor.start([first])
        watcher.end_of(first)
        second = order(script="test ! -e {{$.outputs.artifacts['a'].path}}", number=2, **fields)  # type: ignore[arg-type]
        executor.start([second])
        end = watcher.end_of(second)
        assert isinstance(end, AttemptFailed)
        assert end.exit_code in (0, None) and "'x'" in end.reason

    @pytest.mark.parametrize(
        "text", ['it\'s "quoted"', "two\nlines", "$(HOME) $HOME `id`", "{{$}} {{$.inputs.parameters['text']}}", ""]
    )
    def test_a_value_is_passed_as_it_is(self, executor: Executor, watcher: Watcher, text: str) -> None:
        step = order(
            args=('printf %s "$1" > "$2"', "sh", "{{$.inputs.parameters['text']}}", "{{$.outputs.parameters['text'].output_file}}"),
            inputs=Values({"text": text}),
            outputs={"text": ParameterType.STRING},
        )
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptSucceeded), end
        assert end.outputs.parameters == {"text": text}

    def test_the_step_has_its_environment_and_not_the_servers(
        self, executor: Executor, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KFDASH_SECRET_KEY", "not for steps")
        step = order(script="env", env=(("GREETING", "hello there"),))
        executor.start([step])
        lines = watcher.log_of(step).texts("o")
        assert "GREETING=hello there" in lines
        assert "KFP_RETRY_INDEX=0" in lines
        assert not [line for line in lines if line.startswith("KFDASH_")]

    def test_a_child_left_behind_does_not_hold_the_step(self, executor: Executor, watcher: Watcher) -> None:
        step = order(script="sleep 3000 & echo started")
        executor.start([step])
        assert isinstance(watcher.end_of(step), AttemptSucceeded)
        assert watcher.log_of(step).texts("o") == ["started"]

    def test_a_last_line_without_its_end_is_a_line(self, executor: Executor, watcher: Watcher) -> None:
        step = order(script="printf 'one\\ntwo'")
        executor.start([step])
        assert watcher.log_of(step).texts("o") == ["one", "two"]

    def test_many_lines_come_complete(self, executor: Executor, watcher: Watcher) -> None:
        step = order(script="i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done")
        executor.start([step])
        told = watcher.log_of(step)
        assert told.texts("o") == [f"line {number}" for number in range(5000)]
        assert [line.number for line in told.lines] == list(range(1, len(told.lines) + 1))

    def test_a_killed_step_says_by_what(self, executor: Executor, watcher: Watcher) -> None:
        step = order(script="kill -9 $$")
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptFailed)
        assert "SIGKILL" in end.reason or "137" in end.reason

    def test_a_program_that_is_not_there_fails_with_its_name(self, executor: Executor, watcher: Watcher) -> None:
        step = order(command=("no-such-program",), args=("x",))
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptFailed)
        assert "no-such-program" in end.reason

    def _end(self, executor: Executor, watcher: Watcher, script: str, **fields: object) -> AttemptSucceeded:
        step = order(script=script, **fields)  # type: ignore[arg-type]
        executor.start([step])
        end = watcher.end_of(step)
        assert isinstance(end, AttemptSucceeded), end
        return end
