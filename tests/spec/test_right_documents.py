"""What breaks no rule though it looks odd, and the other spelling of fields."""

from __future__ import annotations

from typing import Any

import pytest
from small_pipelines import commanded, constant, container, loop, output, parsed, pipeline, problems_of, step, task

Json = Any

GOOD: dict[str, Json] = {
    "the smallest": pipeline(),
    "a number as text": pipeline(
        {"make": task("make"), "use": task("t", parameters={"n": output("make", "count")})},
        {"t": step("use", inputs={"n": "STRING"})},
    ),
    "an input that only a text refers to": pipeline(
        {"make": task("make"), "t": task("t", parameters={"s": constant("{{$.inputs.parameters['x']}}!"), "x": output("make")})},
        {"t": step("use", inputs={"s": "STRING"})},
    ),
    "a setting from a parameter, as the SDK passes it on": pipeline(
        {
            "make": task("make"),
            "t": task(
                "t",
                parameters={
                    "cpu_limit": constant("{{$.inputs.parameters['pipelinechannel--cpu']}}"),
                    "pipelinechannel--cpu": output("make"),
                },
            ),
        },
        {"t": step("cpu")},
        {"cpu": container(resources={"resourceCpuLimit": "{{$.inputs.parameters['pipelinechannel--cpu']}}"})},
    ),
    "anything in a Python component's source": commanded(
        command=["sh", "-c", "python3 -m kfp.dsl.executor_main", "print('{{$.nonsense}}')"]
    ),
    "a loop over the text of a list": loop({"inputParameter": "l"}, l=output("make")),
    "items of any kind for a text": loop({"raw": '[1, "b", {"c": 2}]'}, kind="STRING"),
    "snake_case": {
        "pipeline_info": {"name": "snake"},
        "schema_version": "2.1.0",
        "deployment_spec": {"executors": {"e": {"container": {"image": "x", "resources": {"resource_cpu_limit": "1"}}}}},
        "components": {"c": {"executor_label": "e"}},
        "root": {"dag": {"tasks": {"t": {"component_ref": {"name": "c"}, "caching_options": {"enable_cache": True}}}}},
    },
}


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD.keys())
def test_what_is_right_is_taken(document: Json) -> None:
    assert problems_of(document) == []


def test_snake_case_is_read_like_camel_case() -> None:
    document = parsed(GOOD["snake_case"])
    executor = document.spec.executors["e"]
    assert document.pipeline["root"]["dag"]["tasks"]["t"] == {
        "componentRef": {"name": "c"},
        "cachingOptions": {"enableCache": True},
    }
    assert document.spec.root.dag is not None and document.spec.root.dag.tasks["t"].caching.enabled
    assert executor.resources.cpu_limit == "1"  # type: ignore[union-attr]
