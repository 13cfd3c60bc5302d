"""Failures, retries, time limits, exit tasks, wrong outputs."""

import json
from typing import Any

from kfp import dsl

from tests.conformance.expected.model import Expected
from tests.conformance.features.components import (
    at_third_try,
    bad_integer,
    bad_list,
    echo,
    echo_or_default,
    failing,
    killed,
    no_program,
    not_written,
    said,
    slept,
    some,
    state_of,
    told,
    too_large,
    wrong_kind,
)
from tests.conformance.features.feature import Feature
from tests.conformance.seen import Seen


@dsl.pipeline(name="retries-with-backoff")
def retries_with_backoff(counter: str) -> str:
    return at_third_try(counter=counter).set_retry(3, backoff_duration="1s", backoff_factor=2).output


@dsl.pipeline(name="tried-inside")
def tried_inside(counter: str) -> str:
    return at_third_try(counter=counter).output


@dsl.pipeline(name="retries-of-a-group")
def retries_of_a_group(counter: str) -> str:
    return tried_inside(counter=counter).set_retry(2, backoff_duration="0s").output


@dsl.pipeline(name="ends-with-a-handler")
def ends_with_a_handler(message: str):
    with dsl.ExitHandler(said(s=f"end of {message}")):
        failing(message=message)
    with dsl.ExitHandler(said(s="end of the other")):
        echo(s=message)


@dsl.pipeline(name="handlers-inside-handlers")
def handlers_inside_handlers():
    with dsl.ExitHandler(told()):
        ends_with_a_handler(message="m")


@dsl.pipeline(name="retries-used-up")
def retries_used_up():
    failing(message="always").set_retry(2, backoff_duration="0s")
    echo(s="independent")


@dsl.pipeline(name="time-limit-of-a-step")
def time_limit_of_a_step():
    step = slept(seconds=60)
    said(s="after").after(step)
    echo(s="independent")


@dsl.pipeline(name="time-limit-of-the-run", pipeline_config=dsl.PipelineConfig(active_deadline_seconds=2))
def time_limit_of_the_run():
    slept(seconds=60)


@dsl.pipeline(name="bodies-that-fail")
def bodies_that_fail():
    with dsl.ExitHandler(told()):
        failing(message="the body fails")
        echo(s="goes on")
    with dsl.ExitHandler(told()):
        echo(s="all is well")


@dsl.pipeline(name="what-happens-at-the-end")
def what_happens_at_the_end(status: dsl.PipelineTaskFinalStatus):
    state = state_of(status=status)
    echo(s=f"ended: {state.output}, {status}")


@dsl.pipeline(name="exit-pipeline")
def exit_pipeline():
    with dsl.ExitHandler(what_happens_at_the_end()):
        failing(message="the body fails")


@dsl.pipeline(name="exit-task-fails")
def exit_task_fails():
    with dsl.ExitHandler(failing(message="the exit task fails")):
        echo(s="the body")


@dsl.pipeline(name="failures-ignored")
def failures_ignored():
    bad = failing(message="no value from here")
    echo_or_default(s=bad.output).ignore_upstream_failure()
    echo_or_default(s=bad.output).ignore_upstream_failure()
    echo_or_default(s=f"got {bad.output}.").ignore_upstream_failure()


@dsl.pipeline(name="wrong-outputs")
def wrong_outputs():
    bad_integer()
    bad_list()
    wrong_kind()
    not_written()
    too_large()
    no_program()
    killed()


@dsl.pipeline(name="after-a-skipped-group")
def after_a_skipped_group():
    flag = some(kind="false")
    with dsl.If(flag.output == True):  # noqa: E712 (it is compiled, not run)
        echo(s="skipped")
    later = said(s="later")
    said(s="even later").after(later)
    echo(s="independent")


@dsl.pipeline(name="stopped-run")
def stopped_run():
    with dsl.ExitHandler(said(s="at the end")):
        said(s="not reached").after(slept(seconds=120))


def _without_default(document: dict[str, Any]) -> None:
    """The second task's component has no default."""
    component = document["components"]["comp-echo-or-default-2"]["inputDefinitions"]["parameters"]["s"]
    del component["defaultValue"], component["isOptional"]


def _after_the_group(document: dict[str, Any]) -> None:
    document["root"]["dag"]["tasks"]["said"]["dependentTasks"] = ["condition-1"]


def _waited(seen: Seen) -> None:
    first, second, third = map(float, seen.value("at-third-try", "Output").split())
    assert 1 <= second - first < 6 and 2 <= third - second < 8


def _says(*words: str, path: str) -> Any:
    def check(seen: Seen) -> None:
        reason = seen.tasks[path]["reason"]
        assert all(word in reason for word in words), reason

    return check


def _two_reports(seen: Seen) -> None:
    reports = [seen.value(path, "Output") for path in ("told", "told-2")]
    assert [one["state"] for one in reports] == ["FAILED", "COMPLETE"]
    assert [one["task"] for one in reports] == ["exit-handler-1", "exit-handler-2"]
    assert all(one["job"].startswith("bodies-that-fail-") for one in reports)


def _state_told(seen: Seen, state: str) -> None:
    assert seen.value("told", "Output")["state"] == state


def _report_in_a_text(seen: Seen) -> None:
    before, _, status = seen.value("what-happens-at-the-end/echo", "Output").partition(", ")
    assert before == "ended: FAILED"
    found = json.loads(status)
    assert found["state"] == "FAILED" and found["pipelineTaskName"] == "exit-handler-1"
    assert found["error"]["code"] and "the body fails" in found["error"]["message"]


def _sentences(seen: Seen) -> None:
    expected = {
        "bad-integer": ("'n'", "NUMBER_INTEGER", "seven"),
        "bad-list": ("'v'", "LIST", "[1, 2"),
        "wrong-kind": ("'d'",),
        "not-written": ("'s'",),
        "too-large": ("'s'", "MiB"),
        "no-program": ("no-such-program-anywhere",),
        "killed": ("SIGKILL",),
    }
    for path, words in expected.items():
        reason = seen.tasks[path]["reason"]
        assert all(word in reason for word in words), f"{path}: {reason}"


def _quickly(seen: Seen) -> None:
    reason = seen.tasks["slept"]["reason"]
    assert "1 s" in reason or "time limit" in reason.lower(), reason


FEATURES = {
    "retries-with-backoff": Feature(
        retries_with_backoff,
        Expected(
            ran={"at-third-try": 1},
            arguments={"counter": "{folder}/counter"},
            attempts={"at-third-try": 3},
            check=_waited,
        ),
    ),
    "retries-of-a-group": Feature(
        retries_of_a_group,
        Expected(ran={"at-third-try": 1}, arguments={"counter": "{folder}/counter"}, attempts={"tried-inside/at-third-try": 3}),
    ),
    "handlers-inside-handlers": Feature(
        handlers_inside_handlers,
        Expected(
            state="FAILED",
            ran={"failing": 1, "said": 1, "echo": 1, "said-2": 1, "told": 1},
            failed=("exit-handler-1/ends-with-a-handler/exit-handler-1/failing",),
            printed={
                "exit-handler-1/ends-with-a-handler/said": ["end of m"],
                "exit-handler-1/ends-with-a-handler/said-2": ["end of the other"],
            },
            after={
                "told": "exit-handler-1",
                "exit-handler-1/ends-with-a-handler/said": "exit-handler-1/ends-with-a-handler/exit-handler-1",
            },
            check=lambda seen: _state_told(seen, "FAILED"),
        ),
    ),
    "retries-used-up": Feature(
        retries_used_up,
        Expected(
            state="FAILED",
            ran={"failing": 1, "echo": 1},
            failed=("failing",),
            attempts={"failing": 3},
            check=_says("always", "3 attempts", path="failing"),
        ),
    ),
    "time-limit-of-a-step": Feature(
        time_limit_of_a_step,
        Expected(state="FAILED", ran={"slept": 1, "echo": 1}, failed=("slept",), skipped=("said",), check=_quickly, passes=1),
        platform={"deploymentSpec": {"executors": {"exec-slept": {"activeDeadlineSeconds": "1"}}}},
    ),
    "time-limit-of-the-run": Feature(
        time_limit_of_the_run,
        Expected(state="FAILED", ran=None, failed=(), check=_says("time limit", path=""), passes=1),
    ),
    "bodies-that-fail": Feature(
        bodies_that_fail,
        Expected(
            state="FAILED",
            ran={"failing": 1, "echo": 1, "told": 1, "echo-2": 1, "told-2": 1},
            failed=("exit-handler-1/failing",),
            values={"exit-handler-1/echo.Output": "goes on", "exit-handler-2/echo-2.Output": "all is well"},
            after={"told": "exit-handler-1", "told-2": "exit-handler-2"},
            check=_two_reports,
        ),
    ),
    "exit-pipeline": Feature(
        exit_pipeline,
        Expected(
            state="FAILED",
            ran={"failing": 1, "state-of": 1, "echo": 1},
            failed=("exit-handler-1/failing",),
            check=_report_in_a_text,
        ),
    ),
    "exit-task-fails": Feature(
        exit_task_fails,
        Expected(ran={"echo": 1, "failing": 1}, failed=("failing",), values={"exit-handler-1/echo.Output": "the body"}),
    ),
    "failures-ignored": Feature(
        failures_ignored,
        Expected(
            state="FAILED",
            ran={"failing": 1, "echo-or-default": 1, "echo-or-default-2": 1, "echo-or-default-3": 1},
            failed=("failing",),
            values={
                "echo-or-default.Output": "the default",
                "echo-or-default-2.Output": "",
                "echo-or-default-3.Output": "got .",
            },
        ),
        change=_without_default,
    ),
    "wrong-outputs": Feature(
        wrong_outputs,
        Expected(
            state="FAILED",
            ran=dict.fromkeys(("bad-integer", "bad-list", "wrong-kind", "not-written", "too-large", "no-program", "killed"), 1),
            failed=("bad-integer", "bad-list", "wrong-kind", "not-written", "too-large", "no-program", "killed"),
            check=_sentences,
            passes=1,
        ),
    ),
    "after-a-skipped-group": Feature(
        after_a_skipped_group,
        Expected(ran={"some": 1, "echo-2": 1}, skipped=("condition-1", "said", "said-2")),
        change=_after_the_group,
    ),
}
