"""What the language allows and the SDK does not write: documents by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.conformance.expected.model import Expected
from tests.conformance.features.feature import Feature
from tests.conformance.seen import Seen

_OUTPUT = "{{$.outputs.parameters['out'].output_file}}"
_GIVEN = "{{$.inputs.parameters['s']}}"


def document(name: str, tasks: dict[str, Any], *, root: dict[str, Any] | None = None, **components: Any) -> dict[str, Any]:
    """A pipeline of container steps: `say` prints its input `s` and gives it as `out`, `fail` ends with 3."""
    text = {"parameters": {"s": {"parameterType": "STRING", "defaultValue": "by default"}}}
    out = {"parameters": {"out": {"parameterType": "STRING"}}}
    say = ["sh", "-c", 'echo "$0"; printf %s "$0" > "$1"', _GIVEN, _OUTPUT]
    return {
        "components": {
            "comp-say": {"executorLabel": "exec-say", "inputDefinitions": text, "outputDefinitions": out},
            "comp-fail": {"executorLabel": "exec-fail", "outputDefinitions": out},
            **components,
        },
        "deploymentSpec": {
            "executors": {
                "exec-say": {"container": {"image": "any", "command": say}},
                "exec-fail": {"container": {"image": "any", "command": ["sh", "-c", "echo going down >&2; exit 3"]}},
            }
        },
        "pipelineInfo": {"name": name},
        "root": {"dag": {"tasks": tasks}, **(root or {})},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
    }


def say(s: Any = None, **more: Any) -> dict[str, Any]:
    """A task that prints a constant, or what another source gives."""
    source = s if isinstance(s, dict) else {"runtimeValue": {"constant": s}}
    inputs = {"parameters": {} if s is None else {"s": source}}
    return {"componentRef": {"name": "comp-say"}, "cachingOptions": {"enableCache": True}, "inputs": inputs, **more}


def fail(**more: Any) -> dict[str, Any]:
    """A task that fails."""
    return {"componentRef": {"name": "comp-fail"}, "cachingOptions": {"enableCache": True}, **more}


def output_of(task: str) -> dict[str, Any]:
    return {"taskOutputParameter": {"producerTask": task, "outputParameterKey": "out"}}


def only_if(condition: str) -> dict[str, Any]:
    return {"triggerPolicy": {"condition": condition}}


WHEN_ALL_ENDED = {"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}}
_LOOP = {"parameterIterator": {"itemInput": "s", "items": {"raw": '["x", "y"]'}}}

LOOP_OF_A_STEP = document(
    "loop-of-a-step",
    {"each": say(**_LOOP), "after": say("after", dependentTasks=["each"]), "never": say(**_LOOP, **only_if("1 == 2"))},
)

CONDITIONS_ON_STEPS = document(
    "conditions-on-steps",
    {
        "first": say("yes"),
        "taken": say(output_of("first"), **only_if("inputs.parameter_values['s'] == 'yes'")),
        "left": say(output_of("first"), **only_if("inputs.parameter_values['s'].startsWith('n')")),
        "below": say(output_of("taken"), dependentTasks=["left"]),
        "matched": say("a1b22", **only_if("inputs.parameter_values['s'].matches('[a-z][0-9]+') && size('äb') == 2")),
        "in-a-list": say("b", **only_if("inputs.parameter_values['s'] in ['a', 'b'] ? true : false")),
        "default": say(),
    },
)

CONDITION_OF_A_WRONG_TYPE = document(
    "condition-of-a-wrong-type",
    {"number": say("x", **only_if("int(inputs.parameter_values['s']) > 1")), "text": say("x", **only_if("'a' + 'b'"))},
)

WHEN_ALL_HAVE_ENDED = document(
    "when-all-have-ended",
    {
        "good": say("good"),
        "bad": fail(),
        "left": say("x", **only_if("false")),
        "last": say("last", dependentTasks=["good", "bad", "left"], **WHEN_ALL_ENDED),
        "value": say(output_of("bad"), **WHEN_ALL_ENDED),
        "omitted": say(output_of("bad")),
        "omitted-too": say(output_of("omitted")),
    },
)

_CHOICE = {
    "dag": {
        "tasks": {"one": say("1", **only_if("false")), "two": say("2", **only_if("false"))},
        "outputs": {
            "parameters": {
                "out": {
                    "valueFromOneof": {
                        "parameterSelectors": [
                            {"producerSubtask": "one", "outputParameterKey": "out"},
                            {"producerSubtask": "two", "outputParameterKey": "out"},
                        ]
                    }
                }
            }
        },
    },
    "outputDefinitions": {"parameters": {"out": {"parameterType": "STRING"}}},
}
NOTHING_CHOSEN = document(
    "nothing-chosen",
    {"choice": {"componentRef": {"name": "comp-choice"}}, "unrelated": say("x", dependentTasks=["choice"])},
    **{"comp-choice": _CHOICE},
)

FIELD_THAT_IS_NOT_THERE = document(
    "field-that-is-not-there",
    {
        "there": say({"componentInputParameter": "d", "parameterExpressionSelector": 'parseJson(string_value)["a"]["b"][1]'}),
        "missing": say({"componentInputParameter": "d", "parameterExpressionSelector": 'parseJson(string_value)["c"]'}),
    },
    root={"inputDefinitions": {"parameters": {"d": {"parameterType": "STRUCT", "defaultValue": {"a": {"b": [1, {"x": 2}]}}}}}},
)

ONE_STEP = document("one-step", {"say": say("hello")})

OLDER_COMPONENT = {
    "name": "Old adder",
    "inputs": [{"name": "a", "type": "Integer"}, {"name": "b", "type": "Integer", "default": "2"}],
    "outputs": [{"name": "sum", "type": "Integer"}],
    "implementation": {
        "container": {
            "image": "any",
            "command": ["sh", "-c", 'echo "$0 + $1"; echo $(($0 + $1)) > "$2"'],
            "args": [{"inputValue": "a"}, {"inputValue": "b"}, {"outputPath": "sum"}],
        }
    },
}

RETRY_WINDOW = document(
    "retry-window",
    {
        "windowed": fail(
            retryPolicy={"maxRetryCount": 5, "backoffDuration": "1.5s", "backoffFactor": 1.5, "backoffMaxDuration": "3s"}
        ),
        "none": fail(retryPolicy={"maxRetryCount": 0, "backoffDuration": "0s"}),
    },
)


def _types_told(seen: Seen) -> None:
    for path in ("number", "text"):
        reason = seen.tasks[path]["reason"]
        assert reason.count(" ") > 2 and "Traceback" not in reason, reason


def _exit_code_and_last_words(seen: Seen) -> None:
    assert "3" in seen.tasks["bad"]["reason"] and "going down" in seen.tasks["bad"]["reason"]
    assert seen.lines("bad", stream="stderr") == ["going down"]


def _missing_told(seen: Seen) -> None:
    assert "c" in seen.tasks["missing"]["reason"], seen.tasks["missing"]["reason"]


def _waited(seen: Seen) -> None:
    """The second try comes after 1.5 s; the third would come after 2.25 s more, when the window of 3 s is over."""
    first, second = (datetime.fromisoformat(one["running_at"]) for one in seen.tasks["windowed"]["attempts"])
    assert 1.4 < (second - first).total_seconds() < 6


FEATURES = {
    "loop-of-a-step": Feature(
        LOOP_OF_A_STEP,
        Expected(
            ran=None,
            values={"each[*].out": ["x", "y"], "each.out": ["x", "y"], "after.out": "after"},
            printed={"each[*]": ["x", "y"]},
            after={"after": "each"},
        ),
    ),
    "conditions-on-steps": Feature(
        CONDITIONS_ON_STEPS,
        Expected(
            ran=dict.fromkeys(("first", "taken", "matched", "in-a-list", "default"), 1),
            values={"taken.out": "yes", "default.out": "by default"},
            skipped=("left", "below"),
        ),
    ),
    "condition-of-a-wrong-type": Feature(
        CONDITION_OF_A_WRONG_TYPE,
        Expected(
            state="FAILED", ran=None, failed=("number", "text"), attempts={"number": 0, "text": 0}, check=_types_told, passes=1
        ),
    ),
    "when-all-have-ended": Feature(
        WHEN_ALL_HAVE_ENDED,
        Expected(
            state="FAILED",
            ran={"good": 1, "bad": 1, "last": 1, "value": 1},
            failed=("bad",),
            values={"last.out": "last", "value.out": "by default"},
            skipped=("left", "omitted", "omitted-too"),
            check=_exit_code_and_last_words,
        ),
    ),
    "nothing-chosen": Feature(
        NOTHING_CHOSEN, Expected(ran={"unrelated": 1}, skipped=("choice/one", "choice/two"), values={"unrelated.out": "x"})
    ),
    "field-that-is-not-there": Feature(
        FIELD_THAT_IS_NOT_THERE,
        Expected(
            state="FAILED",
            ran=None,
            failed=("missing",),
            attempts={"missing": 0},
            values={"there.out": '{"x":2}'},
            check=_missing_told,
        ),
    ),
    "retry-window": Feature(
        RETRY_WINDOW,
        Expected(
            state="FAILED",
            ran={"windowed": 1, "none": 1},
            failed=("windowed", "none"),
            attempts={"windowed": 2},
            check=_waited,
            passes=1,
        ),
    ),
}
