"""The pipelines of a round. Every step leaves marks outside and prints numbered lines, so that it is seen what it did.

`<marks>/<attempt name>` gets a line `began` first and `done` last; lines are printed as `line 3 of 6`.
"""

from __future__ import annotations

import pathlib
from typing import Any

from tests.faults.stack import pipeline, task

_ITEM = {"inputDefinitions": {"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}}}
_ANYHOW = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
_VALUE = "{{$.outputs.parameters['value'].output_file}}"


def script(marks: pathlib.Path, *, lines: int = 6, pause: float = 0.05, more: str = "") -> str:
    """A step: its marks, its lines with `pause` seconds between them, and what else it does before it is done."""
    mark = f"{marks}/$KFP_POD_NAME"
    return (
        f"echo began >> {mark}; for i in $(seq {lines}); do echo line $i of {lines}; sleep {pause}; done; "
        f"{more or ':'} || exit 3; echo done >> {mark}"
    )


def whole(marks: pathlib.Path) -> dict[str, Any]:
    """A chain with a loop that has a limit, a slow step, and an exit task."""
    body = {
        "first": task("quick"),
        "loop": _loop("loop", 6, ("first",), iteratorPolicy={"parallelismLimit": 3}),
        "slow": task("slow", ("loop",)),
        "last": task("quick", ("slow",)),
    }
    tasks = {"body": task("body"), "leave": task("quick", ("body",), triggerPolicy=_ANYHOW)}
    scripts = {"quick": script(marks), "slow": script(marks, lines=12, pause=0.2)}
    return pipeline(tasks, scripts, {"comp-loop": _dag({"one": task("quick")}), "comp-body": {"dag": {"tasks": body}}})


def nested(marks: pathlib.Path) -> dict[str, Any]:
    """Loops in a loop, with a branch that is taken in every other iteration of the inner one."""
    name = "pipelinechannel--flip-value"
    given = {"parameters": {name: {"taskOutputParameter": {"producerTask": "flip", "outputParameterKey": "value"}}}}
    condition = f"inputs.parameter_values['{name}'] == 'yes'"
    branch = {
        "taken": task("branch", ("flip",), inputs=given, triggerPolicy={"condition": condition}),
        "flip": task("flip", inputs={"parameters": {"item": {"componentInputParameter": "item"}}}),
    }
    components = {
        "comp-outer": _dag({"again": _loop("inner", 2), "before": task("quick")}),
        "comp-inner": _dag(branch),
        "comp-branch": {
            "inputDefinitions": {"parameters": {name: {"parameterType": "STRING"}}},
            "dag": {"tasks": {"inside": task("quick")}},
        },
    }
    made = pipeline({"outer": _loop("outer", 3)}, {"quick": script(marks)}, components)
    value = 'mkdir -p "$(dirname "$0")"; if [ "$1" = 1 ]; then printf yes > "$0"; else printf no > "$0"; fi'
    made["components"]["comp-flip"] = {
        **_ITEM,
        "executorLabel": "exec-flip",
        "outputDefinitions": {"parameters": {"value": {"parameterType": "STRING"}}},
    }
    command = ["sh", "-c", script(marks, lines=3, more=value), _VALUE, "{{$.inputs.parameters['item']}}"]
    made["deploymentSpec"]["executors"]["exec-flip"] = {"container": {"image": "any", "command": command}}
    return made


def retried(marks: pathlib.Path, tries: pathlib.Path) -> dict[str, Any]:
    """A step whose code fails twice; `tries` is the file in which it counts."""
    count = f"n=$(cat {tries} 2>/dev/null || echo 0); echo $((n + 1)) > {tries}; [ $n -ge 2 ]"
    policy = {"maxRetryCount": 3, "backoffDuration": "0.3s", "backoffFactor": 1.5}
    tasks = {"flaky": task("flaky", retryPolicy=policy), "after": task("quick", ("flaky",))}
    return pipeline(tasks, {"flaky": script(marks, lines=3, more=count), "quick": script(marks)})


def broken(marks: pathlib.Path, flag: pathlib.Path) -> dict[str, Any]:
    """A chain in which one step fails for as long as the file `flag` is there; and an exit task."""
    body = {
        "before": task("quick"),
        "maybe": task("maybe", ("before",)),
        "beside": task("quick"),
        "after": task("quick", ("maybe",)),
    }
    tasks = {"body": task("body"), "leave": task("quick", ("body",), triggerPolicy=_ANYHOW)}
    scripts = {"quick": script(marks), "maybe": script(marks, lines=3, more=f"[ ! -e {flag} ]")}
    return pipeline(tasks, scripts, {"comp-body": {"dag": {"tasks": body}}})


def endless(marks: pathlib.Path) -> dict[str, Any]:
    """A step that has to be stopped, and an exit task."""
    body = {"quick": task("quick"), "endless": task("endless", ("quick",)), "never": task("quick", ("endless",))}
    tasks = {"body": task("body"), "leave": task("quick", ("body",), triggerPolicy=_ANYHOW)}
    scripts = {"quick": script(marks), "endless": script(marks, lines=9000, pause=0.2)}
    return pipeline(tasks, scripts, {"comp-body": {"dag": {"tasks": body}}})


def long(marks: pathlib.Path) -> dict[str, Any]:
    """Steps beside each other that take their time."""
    return pipeline({f"long-{n}": task("long") for n in range(3)}, {"long": script(marks, lines=30, pause=0.2)})


def imported(marks: pathlib.Path, number: int) -> dict[str, Any]:
    """An importer, and a step after it."""
    artifact = {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}
    made = pipeline({"importer": task("importer"), "after": task("after", ("importer",))}, {"after": script(marks)})
    made["components"]["comp-importer"] = {
        "executorLabel": "exec-importer",
        "outputDefinitions": {"artifacts": {"artifact": artifact}},
    }
    made["deploymentSpec"]["executors"]["exec-importer"] = {
        "importer": {"artifactUri": {"constant": f"gs://somewhere/{number}"}, "typeSchema": artifact["artifactType"]}
    }
    return made


def cached(marks: pathlib.Path, key: int) -> dict[str, Any]:
    """A chain whose steps are taken from the cache; `key` is one of few."""
    on = {"cachingOptions": {"enableCache": True}}
    tasks = {"one": task("one", **on), "two": task("two", ("one",), **on), "three": task("three", ("two",), **on)}
    return pipeline(tasks, {name: script(marks, lines=3, more=f": {name} {key}") for name in tasks})


def _dag(tasks: dict[str, Any]) -> dict[str, Any]:
    return {**_ITEM, "dag": {"tasks": tasks}}


def _loop(component: str, items: int, after: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    iterator = {"items": {"raw": str(list(range(items)))}, "itemInput": "item"}
    return task(component, after, parameterIterator=iterator, **more)
