"""Pipelines to measure with: documents by hand, and lightweight components compiled by the SDK."""

import functools
import json
import pathlib
import tempfile
from typing import Any

import yaml

WRITE_ONE = ["sh", "-c", 'echo 1 >"$1"', "sh", "{{$.outputs.parameters['Output'].output_file}}"]
DEPENDS_ON = 2  # tasks of the layer before, in a layered graph


def layered(layers: int, width: int) -> dict[str, Any]:
    """Layers of container steps; each takes the outputs of two steps of the layer before."""
    tasks: dict[str, Any] = {}
    for layer in range(layers):
        for place in range(width):
            before = [f"t{layer - 1}-{(place + step) % width}" for step in range(DEPENDS_ON)] if layer else []
            tasks[f"t{layer}-{place}"] = {
                "componentRef": {"name": "comp-step"},
                "taskInfo": {"name": f"t{layer}-{place}"},
                "dependentTasks": before,
                "inputs": {
                    "parameters": {
                        f"x{n}": {"taskOutputParameter": {"producerTask": name, "outputParameterKey": "Output"}}
                        for n, name in enumerate(before)
                    }
                },
            }
    number = {"parameterType": "NUMBER_INTEGER", "isOptional": True}
    component = {
        "executorLabel": "exec-step",
        "inputDefinitions": {"parameters": {f"x{n}": number for n in range(DEPENDS_ON)}},
        "outputDefinitions": {"parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}},
    }
    return {
        "components": {"comp-step": component},
        "deploymentSpec": {"executors": {"exec-step": {"container": {"image": "any", "command": WRITE_ONE}}}},
        "pipelineInfo": {"name": f"layered-{layers}-{width}"},
        "root": {"dag": {"tasks": tasks}},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
    }


def scripts(steps: dict[str, str], after: dict[str, str] | None = None) -> dict[str, Any]:
    """A step for each script of the shell; `after` names the one that a step follows."""
    after = after or {}
    return {
        "components": {f"comp-{name}": {"executorLabel": f"exec-{name}"} for name in steps},
        "deploymentSpec": {
            "executors": {
                f"exec-{name}": {"container": {"image": "any", "command": ["sh", "-c", text]}} for name, text in steps.items()
            }
        },
        "pipelineInfo": {"name": "scripts"},
        "root": {
            "dag": {
                "tasks": {
                    name: {
                        "componentRef": {"name": f"comp-{name}"},
                        "taskInfo": {"name": name},
                        "dependentTasks": [after[name]] if name in after else [],
                    }
                    for name in steps
                }
            }
        },
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
    }


@functools.cache
def lightweight() -> dict[str, dict[str, Any]]:
    """Compiled by the SDK: `chain` of 50 tiny steps, `fan-out` of 500, `loop` of 1,000, `lines` that prints 200,000 lines."""
    from kfp import compiler, dsl  # noqa: PLC0415  # takes a second, and few figures need it

    @dsl.component(base_image="python:3.11")
    def add(x: int) -> int:
        return x + 1

    @dsl.component(base_image="python:3.11")
    def say(lines: int):
        for number in range(lines):
            print("line", number, "of a log that is long enough to look like one")

    @dsl.pipeline(name="bench-chain")
    def chain(start: int = 0):
        task = add(x=start)
        for _ in range(49):
            task = add(x=task.output)

    @dsl.pipeline(name="bench-fan-out")
    def fan_out():
        for number in range(500):
            add(x=number)

    @dsl.pipeline(name="bench-loop")
    def loop():
        with dsl.ParallelFor(list(range(1000))) as number:
            add(x=number)

    @dsl.pipeline(name="bench-lines")
    def lines(count: int = 200_000):
        say(lines=count)

    @dsl.pipeline(name="bench-one")
    def one():
        say(lines=1)

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, pipeline in {"chain": chain, "fan-out": fan_out, "loop": loop, "lines": lines, "one": one}.items():
            path = pathlib.Path(folder) / f"{name}.yaml"
            compiler.Compiler().compile(pipeline, str(path))
            found[name] = yaml.safe_load(path.read_text())
    return found


def uncached(document: dict[str, Any]) -> dict[str, Any]:
    """The same document whose steps are not looked up in the cache."""
    text = json.dumps(document).replace('"enableCache": true', '"enableCache": false')
    return dict(json.loads(text))
